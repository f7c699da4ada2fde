package server

import (
	"context"
	"errors"
	"net/http"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/pkg/receiver"

type telemetry struct {
	letters, commands, agents metric.Int64Counter
}

// newTelemetry returns the receiver's instruments and what serves them to
// Prometheus.
func newTelemetry() (*telemetry, http.Handler, error) {
	registry := promclient.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter(scope)
	t := &telemetry{}
	var errs [3]error
	t.letters, errs[0] = meter.Int64Counter("lambda.receiver.dead.letters", metric.WithUnit("{event}"),
		metric.WithDescription("Events that brokers could not deliver, by whether they were stored."))
	t.commands, errs[1] = meter.Int64Counter("lambda.receiver.commands", metric.WithUnit("{command}"),
		metric.WithDescription("Commands by outcome."))
	t.agents, errs[2] = meter.Int64Counter("lambda.receiver.agent.events", metric.WithUnit("{event}"),
		metric.WithDescription("Controls and approval requests of agents by outcome."))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return t, mux, errors.Join(errs[:]...)
}

func (t *telemetry) letter(ctx context.Context, outcome string) {
	t.letters.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}

func (t *telemetry) command(ctx context.Context, command, outcome string) {
	t.commands.Add(ctx, 1, metric.WithAttributes(attribute.String("command", command), attribute.String("outcome", outcome)))
}

func (t *telemetry) agent(ctx context.Context, what, outcome string) {
	t.agents.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", what), attribute.String("outcome", outcome)))
}
