package runtime

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/brunovlucena/knative-lambda-operator/test/otlpcollector"
)

// TestTracesOverGRPC: spans of invocations reach a collector that speaks OTLP over gRPC,
// by the environment that the operator sets for an endpoint of host:port.
func TestTracesOverGRPC(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	c := otlpcollector.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+c.Address)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	f := start(t, "def handler(event, context):\n    return 1\n")
	f.sendEvent(t, ``, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	eventually(t, "the span", func() bool { return len(c.Spans()) > 0 })
	span := c.Spans()[0]
	if got := hex.EncodeToString(span.GetTraceId()); got != trace || span.GetName() != "invoke" || hex.EncodeToString(span.GetParentSpanId()) != "b7ad6b7169203331" {
		t.Errorf("span %q of trace %s with parent %x, want invoke in the trace and under the span of the request", span.GetName(), got, span.GetParentSpanId())
	}
}

func TestSpanExporter(t *testing.T) {
	for name, tt := range map[string]struct {
		env    map[string]string
		path   string // of what is posted over HTTP
		grpc   bool
		warned string
	}{
		"nothing is asked for": {env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
		"the default":          {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http"}, path: "/v1/traces"},
		"HTTP":                 {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, path: "/v1/traces"},
		"HTTP for traces":      {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, path: "/"},
		"gRPC":                 {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, grpc: true},
		"gRPC for traces":      {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, grpc: true},
		"an unknown protocol":  {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, path: "/v1/traces", warned: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"another, named first": {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "zipkin"}, path: "/v1/traces", warned: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"},
	} {
		t.Run(name, func(t *testing.T) {
			paths := make(chan string, 1)
			web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
			defer web.Close()
			c := otlpcollector.Start(t)
			for k, v := range tt.env {
				t.Setenv(k, map[string]string{"http": web.URL, "grpc": "http://" + c.Address}[v])
				if strings.HasSuffix(k, "PROTOCOL") {
					t.Setenv(k, v)
				}
			}
			var log bytes.Buffer
			before := slog.Default()
			slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
			defer slog.SetDefault(before)

			exporter, err := NewSpanExporter(t.Context(), os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			if warned := log.String(); (warned != "") != (tt.warned != "") || !strings.Contains(warned, tt.warned) {
				t.Errorf("logged %q, want a warning that names %q", warned, tt.warned)
			}
			if exporter == nil {
				if tt.path != "" || tt.grpc {
					t.Error("there is no exporter")
				}
				return
			}
			provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
			_, span := provider.Tracer(scope).Start(t.Context(), "s")
			span.End()
			if err := provider.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			var path string
			select {
			case path = <-paths:
			default:
			}
			if n := len(c.Spans()); path != tt.path || (n == 1) != tt.grpc {
				t.Errorf("%d spans over gRPC and a request for %q over HTTP, want gRPC %v and %q", n, path, tt.grpc, tt.path)
			}
		})
	}
}
