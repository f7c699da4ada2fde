// Package lambdatest is for the tests of functions in Go.
package lambdatest

import (
	"cmp"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// Options of a server. The zero value has the defaults of a function.
type Options struct {
	Timeout         time.Duration // of a call; 295 s
	MaxBody         int           // of a request or reply, in bytes; 16 MiB
	Name, Namespace string        // of the function
	Logger          *slog.Logger  // slog.Default
}

// NewServer serves a handler as a function's pod does: plain requests and CloudEvents, with
// timeouts and limits. It is closed when the test ends.
func NewServer(t testing.TB, handler any, o Options) *httptest.Server {
	t.Helper()
	cfg := &runtime.Config{MaxBody: cmp.Or(o.MaxBody, config.DefaultMaxBody), Function: cmp.Or(o.Name, "function"), Namespace: o.Namespace,
		EventSource: "io.knative.lambda/function"}
	telemetry, err := runtime.StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	limits := runtime.Limits{Timeout: cmp.Or(o.Timeout, config.DefaultTimeout), Concurrency: config.DefaultConcurrency}
	invoker, err := lambda.NewInvoker(handler, limits, cfg.Function, cfg.Namespace, cmp.Or(o.Logger, slog.Default()))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(runtime.NewServer(cfg, invoker, telemetry))
	t.Cleanup(server.Close)
	return server
}
