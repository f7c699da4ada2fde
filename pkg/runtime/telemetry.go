package runtime

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// NewLogger logs as the function does: JSON lines, or text.
func NewLogger(cfg *Config, w io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "warning": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[cfg.LogLevel], ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey:
			a.Key = "timestamp"
		case slog.LevelKey:
			a.Key = "severity"
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options)).With("logger", "runtime")
}

// Telemetry exports metrics and traces until it is shut down.
type Telemetry struct {
	shutdown []func(context.Context) error
}

// StartTelemetry exposes metrics to Prometheus on cfg.MetricsPort and sends
// spans where the environment of OpenTelemetry says (OTEL_EXPORTER_OTLP_ENDPOINT
// or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); without one there is no tracing.
func StartTelemetry(ctx context.Context, cfg *Config, getenv func(string) string) (*Telemetry, error) {
	t := &Telemetry{}
	if cfg.MetricsPort > 0 {
		exporter, err := prometheus.New()
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
		otel.SetMeterProvider(provider)
		mux := http.NewServeMux()
		mux.Handle("/metrics", promhttp.Handler())
		server := &http.Server{Addr: ":" + strconv.Itoa(cfg.MetricsPort), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		go func() {
			if err := server.ListenAndServe(); err != nil && !strings.Contains(err.Error(), "Server closed") {
				slog.Error("metrics cannot be served", "error", err)
			}
		}()
		t.shutdown = append(t.shutdown, server.Shutdown, provider.Shutdown)
	}
	if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter)) // sampler by OTEL_TRACES_SAMPLER
		otel.SetTracerProvider(provider)
		t.shutdown = append(t.shutdown, provider.Shutdown)
	}
	return t, nil
}

// Shutdown sends what is left.
func (t *Telemetry) Shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, f := range t.shutdown {
		if err := f(ctx); err != nil {
			slog.Warn("telemetry was lost", "error", err)
		}
	}
}
