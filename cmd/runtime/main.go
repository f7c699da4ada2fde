// Command runtime is PID 1 of a function's container: the HTTP and CloudEvents
// front of the worker processes that call the handler.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// lameDuck is how long requests are still taken after SIGTERM: others need a
// moment to learn that this replica goes.
const lameDuck = time.Second

func main() {
	if err := run(); err != nil {
		fail(err)
	}
}

// fail ends the container with a message where a person looks for it: the log
// and the termination message.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	path := os.Getenv("LAMBDA_TERMINATION_LOG")
	if path == "" {
		path = "/dev/termination-log"
	}
	_ = os.WriteFile(path, []byte(err.Error()), 0o644) //nolint:gosec // read by the kubelet; not there outside of Kubernetes
	os.Exit(1)
}

func run() error {
	cfg, err := runtime.ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	slog.SetDefault(runtime.NewLogger(cfg, os.Stderr))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	telemetry, err := runtime.StartTelemetry(ctx, cfg, os.Getenv)
	if err != nil {
		return err
	}
	defer telemetry.Shutdown()
	metrics, err := runtime.NewMetrics()
	if err != nil {
		return err
	}
	pool := runtime.NewPool(cfg, metrics, os.Stdout, os.Stderr)
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(cfg.Port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: runtime.NewServer(cfg, pool, metrics), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	select {
	case err := <-pool.Failed():
		return err
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	return drain(server, pool, cfg)
}

// drain lets what is in flight end.
func drain(server *http.Server, pool *runtime.Pool, cfg *runtime.Config) error {
	time.Sleep(min(lameDuck, cfg.DrainTimeout/2))
	ctx, cancel := context.WithTimeout(context.Background(), cfg.DrainTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("requests were still in flight at the end of the drain timeout", "timeout", cfg.DrainTimeout)
		err = nil
	}
	pool.Close()
	return err
}
