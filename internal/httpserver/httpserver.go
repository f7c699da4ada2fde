// Package httpserver runs the HTTP servers of this project with one set of bounds: how
// long a peer may take, how many connections it may hold, and how many bytes of request
// bodies the process keeps.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
)

// Defaults of Options.
const (
	defaultHeader      = 10 * time.Second
	defaultRead        = time.Minute
	defaultWrite       = 30 * time.Second
	defaultIdle        = 2 * time.Minute
	defaultConnections = 4096
	defaultPerAddress  = 256
	defaultDrain       = 30 * time.Second
	// maxHeader bounds the header of a request, in bytes.
	maxHeader = 64 << 10
)

// Options of a server. A zero value stands for the default.
type Options struct {
	// Name of the server in logs.
	Name string
	// Handler of the requests.
	Handler http.Handler
	// TLS is nil for plain HTTP.
	TLS *tls.Config
	// HeaderTimeout bounds reading a request's header: 10 s.
	HeaderTimeout time.Duration
	// ReadTimeout bounds reading a whole request: 60 s. It ends when the body has been
	// read, so that a handler may take longer.
	ReadTimeout time.Duration
	// WriteTimeout bounds each write to the connection: 30 s. A stream may take as long
	// as it likes, provided its reader keeps up.
	WriteTimeout time.Duration
	// IdleTimeout bounds how long a connection waits for its next request: 2 min.
	IdleTimeout time.Duration
	// Connections bounds the connections of the server: 4096.
	Connections int
	// PerAddress bounds the connections of one remote address: 256. Connections from
	// the machine itself, such as a sidecar's, count only against Connections.
	PerAddress int
	// LameDuck is how long new requests are still accepted after ctx has ended, so that
	// others learn first that this replica stops.
	LameDuck time.Duration
	// DrainTimeout bounds how long requests in flight may take after that: 30 s.
	DrainTimeout time.Duration
}

func orDefault[T comparable](value *T, byDefault T) {
	var zero T
	if *value == zero {
		*value = byDefault
	}
}

func (o *Options) complete() {
	orDefault(&o.HeaderTimeout, defaultHeader)
	orDefault(&o.ReadTimeout, defaultRead)
	orDefault(&o.WriteTimeout, defaultWrite)
	orDefault(&o.IdleTimeout, defaultIdle)
	orDefault(&o.Connections, defaultConnections)
	orDefault(&o.PerAddress, defaultPerAddress)
	orDefault(&o.DrainTimeout, defaultDrain)
}

// New returns a server with the bounds of o, and the listener that it is to serve: the
// connections that inner accepts, within the bounds.
func New(o Options, inner net.Listener) (*http.Server, net.Listener) {
	o.complete()
	var listener net.Listener = newListener(inner, &o)
	if o.TLS != nil {
		listener = tls.NewListener(listener, o.TLS)
	}
	return &http.Server{
		Handler:           loggingPanics(o.Name, withoutReadDeadline(o.Handler)),
		ReadHeaderTimeout: o.HeaderTimeout,
		ReadTimeout:       o.ReadTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug), // peers that break off
	}, listener
}

// Serve answers on the listener until ctx ends, and drains. Requests that are still in
// flight when the drain timeout ends are cut off, which is logged and no error.
func Serve(ctx context.Context, o Options, inner net.Listener) error {
	o.complete()
	server, listener := New(o, inner)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-served:
		return err
	case <-time.After(o.LameDuck):
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.DrainTimeout)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("Requests in flight were cut off at the end of the drain timeout", "server", o.Name, "timeout", o.DrainTimeout.String())
		return server.Close()
	}
	return err
}

// Endpoint is a server and its address.
type Endpoint struct {
	Options
	// Address to listen on, such as :8080.
	Address string
}

// ListenAndServe serves all endpoints until ctx ends or one of them fails, and drains.
func ListenAndServe(ctx context.Context, endpoints ...Endpoint) error {
	group, running := errgroup.WithContext(ctx)
	for _, e := range endpoints {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.Address)
		if err != nil {
			return err
		}
		group.Go(func() error { return Serve(running, e.Options, listener) })
	}
	return group.Wait()
}

// loggingPanics logs a panic of a handler as the error that it is: the log of net/http
// has peers that break off, too. The connection is closed as after any panic.
func loggingPanics(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it, too
				slog.ErrorContext(r.Context(), "A request panicked", "server", name, "method", r.Method, "panic", p, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}

// withoutReadDeadline ends the deadline of reading a request once its body has been
// read: the server goes on reading, to learn of a peer that breaks off, and would take
// the deadline for that.
func withoutReadDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end := func() { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			end()
		} else {
			r.Body = &body{r.Body, end}
		}
		next.ServeHTTP(w, r)
	})
}

// body calls end at its end.
type body struct {
	io.ReadCloser
	end func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.end()
	}
	return n, err
}
