package runtime

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/pkg/runtime"

// Metrics of a runtime, and its tracer.
type Metrics struct {
	invocations metric.Int64Counter
	duration    metric.Float64Histogram
	restarts    metric.Int64Counter
	tracer      trace.Tracer
	propagator  propagation.TextMapPropagator
	outcomes    map[string]metric.MeasurementOption
}

// NewMetrics makes the instruments of OpenTelemetry's global providers.
func NewMetrics() (*Metrics, error) {
	meter := otel.Meter(scope)
	m := &Metrics{tracer: otel.Tracer(scope), propagator: propagation.TraceContext{}, outcomes: map[string]metric.MeasurementOption{}}
	var err error
	if m.invocations, err = meter.Int64Counter("lambda.invocations", metric.WithDescription("Invocations of the handler by outcome: success, error, timeout, rejected."), metric.WithUnit("{invocation}")); err != nil {
		return nil, err
	}
	if m.duration, err = meter.Float64Histogram("lambda.invocation.duration", metric.WithDescription("Time from request to reply, waiting for a worker included."), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60)); err != nil {
		return nil, err
	}
	if m.restarts, err = meter.Int64Counter("lambda.worker.restarts", metric.WithDescription("Workers that died or were ended and were replaced."), metric.WithUnit("{restart}")); err != nil {
		return nil, err
	}
	for _, o := range []string{"success", "error", "timeout", "rejected"} {
		m.outcomes[o] = metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", o)))
	}
	return m, nil
}

func (m *Metrics) invoked(ctx context.Context, outcome string, d time.Duration) {
	m.invocations.Add(ctx, 1, m.outcomes[outcome])
	m.duration.Record(ctx, d.Seconds(), m.outcomes[outcome])
}

func (m *Metrics) restarted() {
	m.restarts.Add(context.Background(), 1)
}

// startSpan continues the request's trace, as W3C Trace Context has it.
func (m *Metrics) startSpan(r *http.Request) (context.Context, trace.Span) {
	ctx := m.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	return m.tracer.Start(ctx, "invoke", trace.WithSpanKind(trace.SpanKindServer))
}
