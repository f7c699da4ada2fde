package modelproxy

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/pkg/modelproxy"

// identity of a provider in telemetry.
type identity []attribute.KeyValue

var providerNames = map[string]attribute.KeyValue{
	providerOpenAI:     semconv.GenAIProviderNameOpenAI,
	providerAnthropic:  semconv.GenAIProviderNameAnthropic,
	providerAzure:      semconv.GenAIProviderNameAzureAIOpenAI,
	providerGoogle:     semconv.GenAIProviderNameGCPGemini,
	providerBedrock:    semconv.GenAIProviderNameAWSBedrock,
	providerOllama:     semconv.GenAIProviderNameKey.String("ollama"), // the conventions have no name for these two
	providerCompatible: semconv.GenAIProviderNameKey.String("openai_compatible"),
}

func newIdentity(u *upstream) identity {
	port, err := strconv.Atoi(u.base.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[u.base.Scheme]
	}
	return identity{providerNames[u.Provider], semconv.ServerAddress(u.base.Hostname()), semconv.ServerPort(port)}
}

// telemetry of calls, by the semantic conventions of OpenTelemetry for GenAI.
type telemetry struct {
	tokens     metric.Int64Histogram
	duration   metric.Float64Histogram
	firstChunk metric.Float64Histogram
	fallbacks  metric.Int64Counter
	tracer     trace.Tracer
	propagator propagation.TraceContext
	shutdown   []func(context.Context) error

	// Names of models come from requests and answers.
	requested, answered *metrics.Open
}

// startTelemetry exposes metrics on a port and sends spans where the environment of
// OpenTelemetry says; without an endpoint in it nothing is traced.
func startTelemetry(ctx context.Context, cfg *Config, b *budget, getenv func(string) string) (*telemetry, error) {
	t := &telemetry{requested: metrics.RequestLabel.Open(), answered: metrics.ResponseModel.Open(), tracer: tracenoop.Tracer{}}
	service, err := resource.Merge(resource.NewSchemaless(attribute.String("service.name", cfg.Agent), attribute.String("service.namespace", cfg.Namespace)),
		resource.Environment())
	if err != nil {
		return nil, err
	}
	var meters metric.MeterProvider = noop.NewMeterProvider()
	if cfg.MetricsPort > 0 {
		registry := promclient.NewRegistry()
		exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
		if err != nil {
			return nil, err
		}
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(service), runtime.ExemplarFilter(cfg.Exemplars))
		if err := t.expose(ctx, cfg, registry); err != nil {
			return nil, err
		}
		meters = provider
		t.shutdown = append(t.shutdown, provider.Shutdown)
	}
	exporter, err := runtime.NewSpanExporter(ctx, getenv)
	if err != nil {
		return nil, err
	}
	if exporter != nil {
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(service))
		t.tracer = provider.Tracer(scope)
		t.shutdown = append(t.shutdown, provider.Shutdown)
	}
	return t, t.instrument(meters.Meter(scope), b)
}

func (t *telemetry) expose(ctx context.Context, cfg *Config, registry *promclient.Registry) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(cfg.MetricsPort))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: cfg.Exemplars}))
	server, bounded := httpserver.New(httpserver.Options{Name: "metrics", Handler: mux}, listener)
	go func() {
		if err := server.Serve(bounded); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("metrics are no longer served", "error", err)
		}
	}()
	t.shutdown = append(t.shutdown, server.Shutdown)
	return nil
}

func (t *telemetry) instrument(meter metric.Meter, b *budget) error {
	var errs [6]error
	t.tokens, errs[0] = metrics.Tokens.Int64Histogram(meter)
	t.duration, errs[1] = metrics.ModelDuration.Float64Histogram(meter)
	t.firstChunk, errs[2] = metrics.ModelFirstChunk.Float64Histogram(meter)
	t.fallbacks, errs[3] = metrics.ModelFallbacks.Int64Counter(meter)
	if b != nil {
		errs[4] = metrics.BudgetLimit.ObserveInt64Gauge(meter, metrics.ObserveNumber(func() int64 { return b.share }))
		errs[5] = metrics.BudgetRemaining.ObserveInt64Gauge(meter, metrics.ObserveNumber(func() int64 {
			left, _ := b.left()
			return left
		}))
	}
	return errors.Join(errs[:]...)
}

// observation of one call.
type observation struct {
	t     *telemetry
	q     *call
	start time.Time
	first time.Duration
	span  trace.Span
}

// begin a call, in the trace that the agent's request tells of.
func (t *telemetry) begin(r *http.Request, q *call) (context.Context, *observation) {
	o := &observation{t: t, q: q, start: time.Now()}
	ctx := t.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	model := t.requested.Bound(q.model)
	ctx, o.span = t.tracer.Start(ctx, q.operation+" "+model, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.GenAIOperationNameKey.String(q.operation), semconv.GenAIRequestModel(model))) // what samplers decide by
	return ctx, o
}

func (o *observation) firstByte() { o.first = time.Since(o.start) }

func (o *observation) fellBack(ctx context.Context, u *upstream, f *failure) {
	o.t.fallbacks.Add(ctx, 1, metric.WithAttributes(providerNames[u.Provider], o.t.requested.Of(u.Name), semconv.ErrorTypeKey.String(f.kind)))
}

// end a call. Neither prompts nor answers are in what is recorded.
func (o *observation) end(ctx context.Context, res *result, f *failure) {
	attributes := []attribute.KeyValue{semconv.GenAIOperationNameKey.String(o.q.operation), o.t.requested.Of(o.q.model)}
	if res.upstream != nil {
		attributes = append(attributes, res.upstream.identity...)
	}
	if res.model != "" {
		attributes = append(attributes, o.t.answered.Of(res.upstream.withoutKey(res.model)))
	}
	if f != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(f.kind))
		o.span.SetStatus(codes.Error, f.message)
	}
	set := metric.WithAttributes(attributes...)
	o.t.duration.Record(ctx, time.Since(o.start).Seconds(), set)
	if o.first > 0 && o.q.stream {
		o.t.firstChunk.Record(ctx, o.first.Seconds(), set)
	}
	if res.reported { // the conventions want no estimates
		o.t.tokens.Record(ctx, res.input, set, metric.WithAttributes(semconv.GenAITokenTypeInput))
		if o.q.operation != "embeddings" {
			o.t.tokens.Record(ctx, res.output, set, metric.WithAttributes(semconv.GenAITokenTypeOutput))
		}
	}
	slog.DebugContext(ctx, "a model was called", "operation", o.q.operation, "model", o.t.requested.Bound(o.q.model), "input_tokens", res.input, "output_tokens", res.output,
		"seconds", time.Since(o.start).Seconds(), "failure", f != nil)
	if o.span.IsRecording() {
		o.span.SetAttributes(append(o.q.asked(), attributes...)...)
		o.span.SetAttributes(res.answered()...)
	}
	o.span.End()
}

// asked is what else a span tells of a request.
func (q *call) asked() (attributes []attribute.KeyValue) {
	fields := q.fields
	if q.ollama {
		fields = q.options
	}
	for name, attribute := range map[string]func(float64) attribute.KeyValue{"temperature": semconv.GenAIRequestTemperature, "top_p": semconv.GenAIRequestTopP} {
		var n *float64
		if json.Unmarshal(fields[name], &n) == nil && n != nil {
			attributes = append(attributes, attribute(*n))
		}
	}
	if q.output > 0 {
		attributes = append(attributes, semconv.GenAIRequestMaxTokens(int(q.output)))
	}
	if n := q.choices(); n > 1 {
		attributes = append(attributes, semconv.GenAIRequestChoiceCount(int(n)))
	}
	return attributes
}

// answered is what else a span tells of an answer.
func (r *result) answered() (attributes []attribute.KeyValue) {
	if r.reported {
		attributes = append(attributes, semconv.GenAIUsageInputTokens(int(r.input)), semconv.GenAIUsageOutputTokens(int(r.output)))
	}
	if r.id != "" {
		attributes = append(attributes, semconv.GenAIResponseID(r.upstream.withoutKey(r.id)))
	}
	if len(r.finish) > 0 {
		reasons := make([]string, len(r.finish))
		for i, reason := range r.finish {
			reasons[i] = r.upstream.withoutKey(reason)
		}
		attributes = append(attributes, semconv.GenAIResponseFinishReasons(reasons...))
	}
	return attributes
}

func (t *telemetry) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, f := range t.shutdown {
		if err := f(ctx); err != nil {
			slog.Warn("telemetry was lost", "error", err)
		}
	}
}
