package runtime

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// lameDuck is how long new requests are still taken when the runtime was told
// to end: others need a moment to learn that this replica goes.
const lameDuck = time.Second

const (
	// maxHeaderBytes bounds the header of a request, in bytes: net/http's own bound is 1 MiB.
	maxHeaderBytes = 256 << 10
	// maxPerAddress bounds the connections of one remote address.
	maxPerAddress = 64
)

// addressLimit closes connections of a remote address beyond the limit at once. Those
// from the pod itself are not counted: all of the queue proxy's are.
type addressLimit struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[netip.Addr]int
}

// Accept implements net.Listener.
func (l *addressLimit) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := ipOf(c.RemoteAddr())
		if !from.IsValid() || from.IsLoopback() || from == ipOf(c.LocalAddr()) {
			return c, nil
		}
		if l.add(from, 1) {
			return &countedConn{c, sync.OnceFunc(func() { l.add(from, -1) })}, nil
		}
		_ = c.Close()
	}
}

// add counts connections of an address, and reports whether they are within the limit.
func (l *addressLimit) add(from netip.Addr, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]+n > l.most {
		return false
	}
	if l.open == nil {
		l.open = map[netip.Addr]int{}
	}
	if l.open[from] += n; l.open[from] == 0 {
		delete(l.open, from)
	}
	return true
}

func ipOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// countedConn counts until it is closed.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// Serve answers on the listener until ctx ends, then drains: requests that still
// come in the next moment are served, and all that are in flight may end within
// cfg.DrainTimeout.
func Serve(ctx context.Context, cfg *Config, handler http.Handler, listener net.Listener) error {
	// A ReadHeaderTimeout would set two deadlines a request, which is measured; the
	// queue proxy in front has one. What comes past the queue proxy is bounded by
	// connections.
	server := &http.Server{Handler: handler, MaxHeaderBytes: maxHeaderBytes, ConnState: awaitResponse} //nolint:gosec // see above
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(finalListener{patientListener{&addressLimit{Listener: listener, most: maxPerAddress}}})
	}()
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
