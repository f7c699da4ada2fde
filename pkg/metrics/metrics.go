// Package metrics declares every instrument of this project: its name, unit and
// labels, and what values these may have. Whoever measures makes its instruments of
// this table, and docs/metrics.md is written from it. It imports nothing but
// OpenTelemetry's API, as functions in Go are linked with it.
package metrics

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
)

// Kind of an instrument.
type Kind string

// The kinds, as Prometheus has them.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Component that has an instrument.
type Component string

// The components.
const (
	Controller Component = "controller"
	Receiver   Component = "receiver"
	Broker     Component = "broker"
	Runtime    Component = "runtime"
	ModelProxy Component = "model proxy"
)

// Instrument of a component.
type Instrument struct {
	Component Component
	Kind      Kind
	// Name by the conventions of OpenTelemetry.
	Name string
	// Unit in UCUM.
	Unit string
	// Description in one sentence.
	Description string
	// Labels that a measurement may have.
	Labels []*Label
	// Bounds of a histogram's buckets.
	Bounds []float64
}

// Label of a measurement. Its values are bounded, whatever it is given: each is a
// time series.
type Label struct {
	Name string
	// Meaning in a few words.
	Meaning string
	// Values are all of them; nil where they are not known beforehand.
	Values []string
	// Most is how many values that are not known beforehand are told apart.
	Most int
}

// Other is the value in the place of those that are not known, or too many.
const Other = "other"

// maxLength of a value that is not known beforehand.
const maxLength = 128

// Of is a label whose values are known, with one of them or with Other.
func (l *Label) Of(value string) attribute.KeyValue {
	if !slices.Contains(l.Values, value) {
		value = Other
	}
	return attribute.String(l.Name, value)
}

// Open is a label whose values are not known beforehand, with those that there were.
type Open struct {
	*Label
	mu   sync.RWMutex
	seen map[string]bool
}

// Open begins without any value.
func (l *Label) Open() *Open { return &Open{Label: l, seen: map[string]bool{}} }

// Of is the label with the value, or with Other.
func (o *Open) Of(value string) attribute.KeyValue { return attribute.String(o.Name, o.Bound(value)) }

// Bound is the value, or Other where there are too many.
func (o *Open) Bound(value string) string {
	o.mu.RLock()
	known := o.seen[value]
	o.mu.RUnlock()
	if known {
		return value
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.seen[value] {
		if len(o.seen) >= o.Most || len(value) > maxLength {
			return Other
		}
		o.seen[value] = true
	}
	return value
}

// Prometheus is the instrument's name as Prometheus has it: of a histogram without
// _bucket, _sum and _count.
func (i *Instrument) Prometheus() string {
	name := strings.ReplaceAll(i.Name, ".", "_")
	if i.Unit == "s" {
		name += "_seconds"
	}
	if i.Kind == Counter {
		name += "_total"
	}
	return name
}

// Prometheus is the label's name as Prometheus has it.
func (l *Label) Prometheus() string { return strings.ReplaceAll(l.Name, ".", "_") }

func (i *Instrument) is(k Kind) error {
	if i.Kind != k {
		return fmt.Errorf("%s is a %s, not a %s", i.Name, i.Kind, k)
	}
	return nil
}

// Int64Counter makes the instrument.
func (i *Instrument) Int64Counter(m metric.Meter) (metric.Int64Counter, error) {
	if err := i.is(Counter); err != nil {
		return nil, err
	}
	return m.Int64Counter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
}

// ObserveInt64Counter makes the instrument, which is told by the callback whenever it is
// asked, and by those of other calls.
func (i *Instrument) ObserveInt64Counter(m metric.Meter, callback metric.Int64Callback) error {
	if err := i.is(Counter); err != nil {
		return err
	}
	counter, err := m.Int64ObservableCounter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
	if err != nil {
		return err
	}
	return observe(m, counter, callback)
}

// ObserveInt64Gauge makes the instrument, which is told by the callback whenever it is
// asked, and by those of other calls.
func (i *Instrument) ObserveInt64Gauge(m metric.Meter, callback metric.Int64Callback) error {
	if err := i.is(Gauge); err != nil {
		return err
	}
	gauge, err := m.Int64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
	if err != nil {
		return err
	}
	return observe(m, gauge, callback)
}

// observe registers the callback beside those that the instrument has: a callback that
// is given with an instrument of the same name as another is ignored.
func observe(m metric.Meter, i metric.Int64Observable, callback metric.Int64Callback) error {
	_, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return callback(ctx, observer{all: o, of: i})
	}, i)
	return err
}

// observer of one instrument.
type observer struct {
	embedded.Int64Observer
	all metric.Observer
	of  metric.Int64Observable
}

func (o observer) Observe(value int64, options ...metric.ObserveOption) {
	o.all.ObserveInt64(o.of, value, options...)
}

// Int64Histogram makes the instrument.
func (i *Instrument) Int64Histogram(m metric.Meter) (metric.Int64Histogram, error) {
	if err := i.is(Histogram); err != nil {
		return nil, err
	}
	return m.Int64Histogram(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description), metric.WithExplicitBucketBoundaries(i.Bounds...))
}

// Float64Histogram makes the instrument.
func (i *Instrument) Float64Histogram(m metric.Meter) (metric.Float64Histogram, error) {
	if err := i.is(Histogram); err != nil {
		return nil, err
	}
	return m.Float64Histogram(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description), metric.WithExplicitBucketBoundaries(i.Bounds...))
}

// Set of labels, made once for what is measured often.
func Set(labels ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(labels...))
}

// ObserveNumber tells a number that has no labels.
func ObserveNumber(number func() int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(number())
		return nil
	}
}
