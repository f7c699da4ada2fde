package dispatch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
)

// TestMetrics: what a delivery, a failure and a queue that waits report.
func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		reader := f.measure()
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			switch r.Event.ID() {
			case "0":
				return ok()
			case "1":
				return fails(400, false)
			}
			time.Sleep(10 * time.Minute)
			return ok()
		})
		f.apply(parallel(2), retries(1, linear, "PT1S"))
		for i := range 10 {
			e := anEvent(fmt.Sprint(i))
			e.SetExtension("knativearrivaltime", time.Now().UTC().Format(time.RFC3339Nano))
			f.publish(e)
			if i < 2 { // they are settled before the others fill the places
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Minute)
		got := collect(t, reader)
		const of = " greeter team"
		for name, want := range map[string]string{
			"lambda.broker.deliveries delivered" + of:             "1",
			"lambda.broker.deliveries dead_letter" + of:           "1",
			"lambda.broker.in.hand" + of:                          "4",
			"lambda.broker.queue.events" + of:                     "4",
			"lambda.broker.oldest.event" + of:                     "60",
			"kn.eventing.dispatch.duration default team 202" + of: "1",
			"kn.eventing.dispatch.duration default team 400" + of: "1",
			"kn.eventing.process.duration default team" + of:      "4",
		} {
			if got[name] != want {
				t.Errorf("%s is %q, want %q; there are %q", name, got[name], want, slices.Sorted(maps.Keys(got)))
			}
		}
		f.d.Remove(f.trigger.UID)
		time.Sleep(time.Minute)
		if _, left := collect(t, reader)["lambda.broker.queue.events"+of]; left {
			t.Error("a deleted Trigger is still reported")
		}
	})
}

// measure begins a replica with metrics.
func (f *fixture) measure() sdkmetric.Reader {
	f.t.Helper()
	reader := sdkmetric.NewManualReader()
	m, err := NewMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), noop.NewTracerProvider())
	f.must(err)
	f.options.Metrics = m
	f.stop(time.Minute)
	f.begin(f.engine, f.engine)
	return reader
}

// collect the numbers, by name and the values of labels; of histograms the count.
func collect(t *testing.T, reader sdkmetric.Reader) map[string]string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[labelled(m.Name, p.Attributes)] = fmt.Sprint(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					got[labelled(m.Name, p.Attributes)] = fmt.Sprint(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[labelled(m.Name, p.Attributes)] = fmt.Sprint(p.Count)
				}
			}
		}
	}
	return got
}

// labelled has the Trigger's name and namespace at last.
func labelled(name string, labels attribute.Set) string {
	var trigger string
	for _, kv := range labels.ToSlice() { // sorted by name
		if strings.HasPrefix(string(kv.Key), "kn.trigger.") {
			trigger += " " + kv.Value.Emit()
		}
	}
	for _, key := range []attribute.Key{"kn.broker.name", "kn.broker.namespace", "http.response.status_code", "outcome", "reason", "result"} {
		if v, ok := labels.Value(key); ok {
			name += " " + v.Emit()
		}
	}
	return name + trigger
}
