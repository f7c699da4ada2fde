package server

import (
	"context"
	"errors"
	"net/http"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/pkg/receiver"

type telemetry struct {
	letters, commands, agents metric.Int64Counter
	commandLabel              *metrics.Open
}

// newTelemetry returns the receiver's instruments and what serves them to
// Prometheus. depth tells how many letters there are.
func newTelemetry(depth metric.Int64Callback) (*telemetry, http.Handler, error) {
	registry := promclient.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter(scope)
	t := &telemetry{commandLabel: metrics.CommandLabel.Open()}
	var errs [4]error
	t.letters, errs[0] = metrics.ReceivedLetters.Int64Counter(meter)
	t.commands, errs[1] = metrics.Commands.Int64Counter(meter)
	t.agents, errs[2] = metrics.AgentEvents.Int64Counter(meter)
	errs[3] = metrics.LetterDepth.ObserveInt64Gauge(meter, depth)
	if errs[0] == nil { // a rate needs a first value
		t.letters.Add(context.Background(), 0, metrics.Set(metrics.LetterLabel.Of("stored")))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return t, mux, errors.Join(errs[:]...)
}

func (t *telemetry) letter(ctx context.Context, outcome string) {
	t.letters.Add(ctx, 1, metrics.Set(metrics.LetterLabel.Of(outcome)))
}

func (t *telemetry) command(ctx context.Context, command, outcome string) {
	t.commands.Add(ctx, 1, metrics.Set(t.commandLabel.Of(command), metrics.AnswerLabel.Of(outcome)))
}

func (t *telemetry) agent(ctx context.Context, what, outcome string) {
	t.agents.Add(ctx, 1, metrics.Set(metrics.AgentEventLabel.Of(what), metrics.AnswerLabel.Of(outcome)))
}
