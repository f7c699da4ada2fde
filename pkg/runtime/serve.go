package runtime

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// lameDuck is how long new requests are still taken when the runtime was told
// to end: others need a moment to learn that this replica goes.
const lameDuck = time.Second

// Serve answers on the listener until ctx ends, then drains: requests that still
// come in the next moment are served, and all that are in flight may end within
// cfg.DrainTimeout.
func Serve(ctx context.Context, cfg *Config, handler http.Handler, listener net.Listener) error {
	// A ReadHeaderTimeout would set two deadlines a request, which is measured; the
	// queue proxy in front has one.
	server := &http.Server{Handler: handler} //nolint:gosec // see above
	served := make(chan error, 1)
	go func() { served <- server.Serve(patientListener{listener}) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	deadline := time.Now().Add(cfg.DrainTimeout)
	slog.Info("draining", "timeout", cfg.DrainTimeout.String())
	select {
	case err := <-served:
		return err
	case <-time.After(min(lameDuck, cfg.DrainTimeout/2)):
	}
	drain, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("requests were cut off: they were in flight at the end of the drain timeout", "timeout", cfg.DrainTimeout.String())
		return nil
	}
	return err
}
