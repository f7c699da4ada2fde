package ingress

import (
	"context"
	"errors"
	"strconv"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/eventing/pkg/observability"
	"knative.dev/eventing/pkg/tracing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/internal/broker/ingress"

// Telemetry of the ingress: metrics and spans as those of Knative's own brokers.
type Telemetry struct {
	tracer                  trace.Tracer
	duration                metric.Float64Histogram
	refusals, unroutedCount metric.Int64Counter
	name, namespace, status *metrics.Open
}

// NewTelemetry makes the instruments.
func NewTelemetry(meters metric.MeterProvider, traces trace.TracerProvider) (*Telemetry, error) {
	meter := meters.Meter(scope)
	t := &Telemetry{
		tracer: traces.Tracer(scope),
		name:   metrics.BrokerLabel.Open(), namespace: metrics.BrokerNamespaceLabel.Open(), status: metrics.HTTPStatusLabel.Open(),
	}
	var errs [3]error
	t.duration, errs[0] = metrics.DispatchDuration.Float64Histogram(meter)
	t.refusals, errs[1] = metrics.Refused.Int64Counter(meter)
	t.unroutedCount, errs[2] = metrics.Unrouted.Int64Counter(meter)
	err := errors.Join(errs[:]...)
	if err == nil { // a rate needs a first value
		t.unroutedCount.Add(context.Background(), 0)
		t.refusals.Add(context.Background(), 0, metrics.Set(metrics.RefusedLabel.Of("invalid")))
	}
	return t, err
}

func (t *Telemetry) refused(ctx context.Context, reason string) {
	t.refusals.Add(ctx, 1, metrics.Set(metrics.RefusedLabel.Of(reason)))
}

func (t *Telemetry) unrouted(ctx context.Context) { t.unroutedCount.Add(ctx, 1) }

// stored records how long an event took. Types of events are no labels: their number is
// in the hands of senders.
func (t *Telemetry) stored(ctx context.Context, b Broker, status int, d time.Duration) {
	t.duration.Record(ctx, d.Seconds(), metrics.Set(t.name.Of(b.Name), t.namespace.Of(b.Namespace), t.status.Of(strconv.Itoa(status))))
}

// span of an event that is being stored.
func (t *Telemetry) span(ctx context.Context, b Broker, e *cloudevents.Event) (context.Context, trace.Span) {
	destination := tracing.BrokerMessagingDestination(types.NamespacedName{Namespace: b.Namespace, Name: b.Name})
	ctx, span := t.tracer.Start(ctx, destination, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		span.SetAttributes(observability.MessagingLabels(destination, "send")...)
		span.SetAttributes(observability.BrokerName.With(b.Name), observability.BrokerNamespace.With(b.Namespace))
		span.SetAttributes(eventLabels(e)...)
	}
	return ctx, span
}

func eventLabels(e *cloudevents.Event) []attribute.KeyValue {
	labels := []attribute.KeyValue{
		observability.CloudEventType.With(e.Type()),
		observability.CloudEventSource.With(e.Source()),
		observability.CloudEventSpecVersion.With(e.SpecVersion()),
	}
	if s := e.Subject(); s != "" {
		labels = append(labels, observability.CloudEventSubject.With(s))
	}
	return labels
}
