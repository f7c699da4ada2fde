package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/pkg/runtime"

// outcome of an invocation: the only label of its metrics, of metrics.InvocationLabel.
type outcome string

const (
	outcomeSuccess   outcome = "success"
	outcomeError     outcome = "error"     // the handler raised an error, or returned what cannot be sent
	outcomePermanent outcome = "permanent" // the handler raised a permanent error
	outcomeTimeout   outcome = "timeout"
	outcomeDied      outcome = "worker_died"
	outcomeRejected  outcome = "rejected"  // the request was wrong
	outcomeBusy      outcome = "busy"      // too many requests waited
	outcomeCancelled outcome = "cancelled" // the client went away before its turn
	// outcomeUndelivered: the sink did not take the reply.
	outcomeUndelivered outcome = "reply_undelivered"
)

// Telemetry holds a runtime's instruments and exports what they measure, until
// it is shut down.
type Telemetry struct {
	duration   metric.Float64Histogram
	coldStarts metric.Int64Counter
	loading    metric.Float64Histogram
	restarts   metric.Int64Counter
	responses  metric.Int64Counter
	blocked    metric.Int64Counter
	aborts     metric.Int64Counter
	byOutcome  map[outcome]*measurement
	loaded     atomic.Int64 // when the first worker was; 0 before

	tracer     trace.Tracer // nil where nothing is traced
	propagator propagation.TraceContext
	shutdown   []func(context.Context) error
}

// measurement of invocations with one outcome.
type measurement struct {
	count  atomic.Int64 // told when somebody asks: this costs a request next to nothing
	option metric.MeasurementOption
	record []metric.RecordOption // the same, made once
}

// StartTelemetry exposes metrics to Prometheus on cfg.MetricsPort and exports
// spans as NewSpanExporter has it; without an exporter nothing is traced.
func StartTelemetry(ctx context.Context, cfg *Config, getenv func(string) string) (*Telemetry, error) {
	t := &Telemetry{}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
	service, err := resource.Merge(resource.NewSchemaless(attribute.String("service.name", cfg.Function), attribute.String("service.namespace", cfg.Namespace)),
		resource.Environment())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	var meters metric.MeterProvider = noop.NewMeterProvider()
	if cfg.MetricsPort > 0 {
		provider, err := t.exposeMetrics(ctx, cfg, service)
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		otel.SetMeterProvider(provider) // for functions that are linked in
		meters = provider
	}
	exporter, err := NewSpanExporter(ctx, getenv)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if exporter != nil {
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(service)) // sampled by OTEL_TRACES_SAMPLER
		otel.SetTracerProvider(provider)
		t.tracer = provider.Tracer(scope)
		t.shutdown = append(t.shutdown, provider.Shutdown)
	}
	return t, t.instrument(meters.Meter(scope))
}

func (t *Telemetry) exposeMetrics(ctx context.Context, cfg *Config, service *resource.Resource) (*sdkmetric.MeterProvider, error) {
	registry := promclient.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(cfg.MetricsPort))
	if err != nil {
		return nil, fmt.Errorf("%w (LAMBDA_METRICS_PORT chooses another port, LAMBDA_METRICS=false none)", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: cfg.Exemplars}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeaderBytes}
	go func() {
		if err := server.Serve(&addressLimit{Listener: listener, most: maxPerAddress}); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("metrics are no longer served", "error", err)
		}
	}()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(service), ExemplarFilter(cfg.Exemplars))
	t.shutdown = append(t.shutdown, server.Shutdown, provider.Shutdown)
	return provider, nil
}

// ExemplarFilter keeps exemplars of what is measured in a sampled trace, or none.
func ExemplarFilter(on bool) sdkmetric.Option {
	if on {
		return sdkmetric.WithExemplarFilter(exemplar.TraceBasedFilter)
	}
	return sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter)
}

func (t *Telemetry) instrument(meter metric.Meter) error {
	t.byOutcome = make(map[outcome]*measurement, len(metrics.InvocationLabel.Values))
	for _, o := range metrics.InvocationLabel.Values {
		option := metrics.Set(metrics.InvocationLabel.Of(o))
		t.byOutcome[outcome(o)] = &measurement{option: option, record: []metric.RecordOption{option}}
	}
	var errs [8]error
	errs[0] = metrics.Invocations.ObserveInt64Counter(meter, t.countInvocations)
	t.duration, errs[1] = metrics.InvocationDuration.Float64Histogram(meter)
	t.coldStarts, errs[2] = metrics.ColdStarts.Int64Counter(meter)
	t.loading, errs[3] = metrics.WorkerLoadDuration.Float64Histogram(meter)
	t.restarts, errs[4] = metrics.WorkerRestarts.Int64Counter(meter)
	t.responses, errs[5] = metrics.ResponseEvents.Int64Counter(meter)
	t.blocked, errs[6] = metrics.WorkersBlocked.Int64Counter(meter)
	t.aborts, errs[7] = metrics.StreamAborts.Int64Counter(meter)
	return errors.Join(errs[:]...)
}

func (t *Telemetry) invoked(ctx context.Context, o outcome, d time.Duration) {
	m := t.byOutcome[o]
	m.count.Add(1)
	t.duration.Record(ctx, d.Seconds(), m.record...)
}

// countInvocations tells how many there were of each outcome that there was.
func (t *Telemetry) countInvocations(_ context.Context, o metric.Int64Observer) error {
	for _, m := range t.byOutcome {
		if n := m.count.Load(); n > 0 {
			o.Observe(n, m.option)
		}
	}
	return nil
}

func (t *Telemetry) coldStarted(ctx context.Context) { t.coldStarts.Add(ctx, 1) }

// HandlerLoaded counts a worker that has loaded the handler.
func (t *Telemetry) HandlerLoaded(duration time.Duration) {
	t.loaded.CompareAndSwap(0, time.Now().UnixNano())
	t.loading.Record(context.Background(), duration.Seconds())
}
func (t *Telemetry) responseSent(delivered bool) {
	result := "delivered"
	if !delivered {
		result = "lost"
	}
	t.responses.Add(context.Background(), 1, metrics.Set(metrics.ResponseLabel.Of(result)))
}

// WorkerRestarted counts a worker that is replaced.
func (t *Telemetry) WorkerRestarted() { t.restarts.Add(context.Background(), 1) }

// WorkerBlocked counts that a worker does not respond.
func (t *Telemetry) WorkerBlocked() { t.blocked.Add(context.Background(), 1) }

// streamAborted counts a reply whose body was cut off.
func (t *Telemetry) streamAborted(ctx context.Context, reason string) {
	t.aborts.Add(ctx, 1, metrics.Set(metrics.AbortLabel.Of(reason)))
}

// startSpan continues the trace that traceparent and tracestate tell of. It
// returns the traceparent for the handler: the span's, or where nothing is
// traced the one that came in.
func (t *Telemetry) startSpan(ctx context.Context, start time.Time, traceparent, tracestate string) (context.Context, trace.Span, string) {
	if t.tracer == nil && traceparent == "" {
		return ctx, trace.SpanFromContext(ctx), traceparent
	}
	carrier := propagation.MapCarrier{"traceparent": traceparent, "tracestate": tracestate}
	if t.tracer == nil { // log lines name the trace all the same
		return t.propagator.Extract(ctx, carrier), trace.SpanFromContext(ctx), traceparent
	}
	ctx, span := t.tracer.Start(t.propagator.Extract(ctx, carrier), "invoke", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(start))
	t.propagator.Inject(ctx, carrier)
	return ctx, span, carrier["traceparent"]
}

// Shutdown sends what has not been sent yet.
func (t *Telemetry) Shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, f := range t.shutdown {
		if err := f(ctx); err != nil {
			slog.Warn("telemetry was lost", "error", err)
		}
	}
}
