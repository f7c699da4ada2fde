package modelproxy

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// drain is how long calls may go on after the end was asked for. Kubernetes ends the
// pod sooner where the agent's requests may not take so long.
const drain = 10 * time.Minute

// pause is how long an agent may stop reading a stream of tokens.
const pause = 10 * time.Minute

// Run serves until ctx ends, and then what runs.
func Run(ctx context.Context, getenv func(string) string) error {
	cfg, err := Load(getenv)
	if err != nil {
		return err
	}
	slog.SetDefault(runtime.NewLogger(&runtime.Config{LogLevel: cfg.LogLevel, LogFormat: cfg.LogFormat, LogTraceContext: cfg.LogTraceContext}, os.Stderr).With("logger", "model-proxy"))
	b, err := newBudget(cfg, time.Now)
	if err != nil {
		return err
	}
	t, err := startTelemetry(ctx, cfg, b, getenv)
	if err != nil {
		return err
	}
	defer t.close()
	// Nobody but the containers of this pod: it has the key, and asks for none.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)))
	if err != nil {
		return err
	}
	return httpserver.Serve(ctx, httpserver.Options{Name: "model proxy", Handler: newServer(cfg, b, t), WriteTimeout: pause, DrainTimeout: drain}, listener)
}
