package runtime

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// stderr of the process, whatever a function makes of os.Stderr.
var stderr = os.Stderr

// Main is PID 1 of a function's container: it serves what start makes until
// SIGTERM. It ends the process with status 1 where that cannot be.
//
// An invoker that loads its handler in the background has a method Failed, and one
// that has something to end a method Close, as Pool has. Its method Drain is called on
// SIGTERM, while calls still come.
func Main(start func(*Config, *Telemetry) (Invoker, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	ctx, drain := context.WithCancel(ctx)
	if err := run(ctx, drain, start); err != nil {
		fail(err) // before the end of ctx, at which a server that still runs says that it drains
	}
	drain()
	stop()
}

func run(ctx context.Context, drain func(), start func(*Config, *Telemetry) (Invoker, error)) error {
	cfg, err := ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	slog.SetDefault(NewLogger(cfg, stderr).With("logger", "runtime"))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(cfg.Port))
	if err != nil {
		return err
	}
	telemetry, err := StartTelemetry(ctx, cfg, os.Getenv)
	if err != nil {
		return err
	}
	defer telemetry.Shutdown()
	invoker, err := start(cfg, telemetry)
	if err != nil {
		return err
	}
	if c, ok := invoker.(interface{ Close() }); ok {
		defer c.Close()
	}
	if d, ok := invoker.(interface{ Drain() }); ok {
		defer context.AfterFunc(ctx, d.Drain)()
	}
	var failed <-chan error
	if f, ok := invoker.(interface{ Failed() <-chan error }); ok {
		failed = f.Failed()
	}
	server := NewServer(cfg, invoker, telemetry)
	defer server.Close()

	served := make(chan error, 1)
	go func() { served <- Serve(ctx, cfg, server, listener) }()
	select {
	case err := <-failed:
		return err
	case err := <-served:
		return err
	case <-server.Exhausted():
		drain()
		return cmp.Or(<-served, errExhausted)
	}
}

// fail ends the container with a message where a person looks for it: the last
// line of the log, and the termination message, which Kubernetes shows in the
// pod's status.
func fail(err error) {
	fmt.Fprintln(stderr, err)
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
