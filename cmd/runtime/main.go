// Command runtime is PID 1 of a function's container: the HTTP and CloudEvents
// front of the worker processes that call the handler.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// The heap is so small that the default would collect it many times a
		// second under load.
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fail(err)
	}
}

func run(ctx context.Context) error {
	cfg, err := runtime.ConfigFromEnv(os.Getenv)
	poolCfg, poolErr := runtime.PoolConfigFromEnv(os.Getenv)
	if err := errors.Join(err, poolErr); err != nil {
		return err
	}
	slog.SetDefault(runtime.NewLogger(cfg, os.Stderr))

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(cfg.Port))
	if err != nil {
		return err
	}
	telemetry, err := runtime.StartTelemetry(ctx, cfg, os.Getenv)
	if err != nil {
		return err
	}
	defer telemetry.Shutdown()
	pool := runtime.NewPool(poolCfg, telemetry, os.Stdout, os.Stderr)
	defer pool.Close()

	server := runtime.NewServer(cfg, pool, telemetry)
	defer server.Close()

	served := make(chan error, 1)
	go func() { served <- runtime.Serve(ctx, cfg, server, listener) }()
	select {
	case err := <-pool.Failed():
		return err
	case err := <-served:
		return err
	}
}

// fail ends the container with a message where a person looks for it: the last
// line of the log, and the termination message, which Kubernetes shows in the
// pod's status.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	path := os.Getenv("LAMBDA_TERMINATION_LOG")
	if path == "" {
		path = "/dev/termination-log"
	}
	// Not created where it is not there: then this is no container of Kubernetes.
	if f, openErr := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0); openErr == nil {
		fmt.Fprintln(f, err)
		_ = f.Close() // nothing to be done about it
	}
	os.Exit(1)
}
