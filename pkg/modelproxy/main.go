package modelproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// drain is how long calls may go on after the end was asked for. Kubernetes ends the
// pod sooner where the agent's requests may not take so long.
const drain = 10 * time.Minute

// Run serves until ctx ends, and then what runs.
func Run(ctx context.Context, getenv func(string) string) error {
	cfg, err := Load(getenv)
	if err != nil {
		return err
	}
	slog.SetDefault(runtime.NewLogger(&runtime.Config{LogLevel: cfg.LogLevel, LogFormat: cfg.LogFormat}, os.Stderr).With("logger", "model-proxy"))
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
	server := &http.Server{Handler: newServer(cfg, b, t), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
