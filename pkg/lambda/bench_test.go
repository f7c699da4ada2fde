package lambda

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// BenchmarkLinked measures what a request costs a function in Go, without sockets.
func BenchmarkLinked(b *testing.B) {
	cfg := &runtime.Config{MaxBody: 1 << 20, EventSource: "/bench", Function: "f"}
	telemetry, err := runtime.StartTelemetry(b.Context(), cfg, func(string) string { return "" })
	if err != nil {
		b.Fatal(err)
	}
	type greeting struct {
		Message string `json:"message"`
	}
	invoker, err := NewInvoker(func(_ context.Context, in struct{ Name string }) (greeting, error) {
		return greeting{"Hello, " + in.Name + "!"}, nil
	}, runtime.Limits{Timeout: time.Minute, Concurrency: 100}, "f", "ns", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	server := runtime.NewServer(cfg, invoker, telemetry)
	for name, headers := range map[string][]string{
		"plain":  {"Content-Type", "application/json"},
		"binary": {"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "io.example.bench"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(`{"name": "Ada"}`))
				for i := 0; i < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				server.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
