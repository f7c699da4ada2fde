package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/observability"
	o11yconfigmap "knative.dev/pkg/observability/configmap"
	"knative.dev/pkg/observability/resource"
	"knative.dev/pkg/observability/runtime"
	"knative.dev/pkg/observability/tracing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const (
	scope = "github.com/brunovlucena/knative-lambda-operator/internal/broker"
	// service is the program's name in traces.
	service = "knative-lambda-broker"
)

// monitored is what an Engine says of its connections.
type monitored interface {
	Blocked() bool
	Connections() int
}

// telemetry of the program.
type telemetry struct {
	meters    *sdkmetric.MeterProvider
	traces    *tracing.TracerProvider
	handler   http.Handler
	profiling *runtime.ProfilingHandler
}

// newTelemetry reads config-observability once: a change of how traces are exported needs
// a new pod.
func newTelemetry(ctx context.Context, kube kubernetes.Interface, namespace string, engine Engine, own func() int) (*telemetry, error) {
	cfg, err := observabilityConfig(ctx, kube, namespace)
	if err != nil {
		return nil, err
	}
	registry := promclient.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	t := &telemetry{meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)), profiling: runtime.NewProfilingHandler()}
	t.profiling.SetEnabled(cfg.Runtime.ProfilingEnabled())
	if t.traces, err = tracing.NewTracerProvider(ctx, cfg.Tracing, sdktrace.WithResource(resource.Default(service))); err != nil {
		return nil, fmt.Errorf("cannot export traces as ConfigMap %s says: %w", o11yconfigmap.Name(), err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.handler = mux
	return t, t.observe(engine, own)
}

// observe the connection of the installation, and how many there are besides.
func (t *telemetry) observe(engine Engine, own func() int) error {
	m, ok := engine.(monitored)
	if !ok {
		return nil
	}
	meter := t.meters.Meter(scope)
	return errors.Join(
		metrics.Connections.ObserveInt64Gauge(meter, metrics.ObserveNumber(func() int64 { return int64(m.Connections() + own()) })),
		metrics.Blocked.ObserveInt64Gauge(meter, metrics.ObserveNumber(func() int64 {
			if m.Blocked() {
				return 1
			}
			return 0
		})),
	)
}

func (t *telemetry) shutdown(ctx context.Context) error {
	return errors.Join(t.meters.Shutdown(ctx), t.traces.Shutdown(ctx))
}

func observabilityConfig(ctx context.Context, kube kubernetes.Interface, namespace string) (*observability.Config, error) {
	cm, err := kube.CoreV1().ConfigMaps(namespace).Get(ctx, o11yconfigmap.Name(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return observability.DefaultConfig(), nil
	}
	if err != nil {
		return nil, err
	}
	cfg, err := o11yconfigmap.Parse(cm)
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s: %w", cm.Name, err)
	}
	return cfg, nil
}
