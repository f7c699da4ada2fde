// Package amqp implements package queue on RabbitMQ.
//
// An Engine has one connection for publishing and one for everything else: RabbitMQ
// stops reading a connection that publishes when it is short of memory or disk, and
// acknowledgements must get through then.
package amqp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

const (
	defaultTimeout   = 10 * time.Second
	defaultHeartbeat = 10 * time.Second
	defaultRotation  = 10 * time.Second
	closeTimeout     = 5 * time.Second
	// drainTimeout of a connection whose credentials were replaced: more than a message
	// may be in hand.
	drainTimeout = 20 * time.Minute
)

var (
	errClosed = errors.New("the connection was closed by this program")
	errLost   = errors.New("the connection was lost")
)

var (
	_ queue.Publisher  = (*Engine)(nil)
	_ queue.Subscriber = (*Engine)(nil)
	_ queue.Topology   = (*Engine)(nil)
)

// Options of an Engine.
type Options struct {
	// Credentials is the folder of a mounted Secret; see ReadCredentials.
	Credentials string
	// Current credentials, where they are not in a folder.
	Current func() Credentials
	// Name of this program in RabbitMQ's list of connections.
	Name string
	// Dial connects to RabbitMQ; by default to any address. It is egress.Dialer with a
	// policy where a tenant chooses the address.
	Dial func(ctx context.Context, network, hostPort string) (net.Conn, error)
	// MaxMessage is the largest message that is read from a RabbitMQ that is not trusted, in
	// bytes: it is disconnected if it sends a larger one. 0 is no limit.
	MaxMessage int64
	// Lazy connects at first use. By default an Engine connects when it is made, so that
	// Ready says whether it can.
	Lazy bool
	// TopologyOnly leaves out the connection for publishing until something is published.
	TopologyOnly bool
	// Timeout for each write and each confirmation; by default 10 s. A connection on which
	// a write takes longer, or an answer three times as long, is closed.
	Timeout time.Duration
	// Heartbeat interval; by default 10 s. A connection is closed when RabbitMQ has been
	// silent for 1.5 intervals.
	Heartbeat time.Duration
	// Rotation is the interval in which the credentials are read again; by default 10 s.
	Rotation time.Duration
	Logger   *slog.Logger
}

// settings are Options with their defaults, and the life of an Engine.
type settings struct {
	Options

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Engine is a client of RabbitMQ.
type Engine struct {
	o          *settings
	publishing *link
	consuming  *link // and topology
	publishers publishers
	scopes     scopes
	control    control

	settled atomic.Int64 // time of the last acknowledgement, in nanoseconds

	mu           sync.Mutex
	closed       bool
	consumptions map[*consumption]struct{}
}

// New returns an Engine that connects in the background.
func New(o Options) *Engine {
	o.Name = cmp.Or(o.Name, "knative-lambda")
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.Heartbeat = cmp.Or(o.Heartbeat, defaultHeartbeat)
	o.Rotation = cmp.Or(o.Rotation, defaultRotation)
	if o.Dial == nil {
		o.Dial = egress.Dialer(func(string, netip.Addr) error { return nil })
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	all := &settings{Options: o}
	all.ctx, all.stop = context.WithCancel(context.Background())
	e := &Engine{o: all, consumptions: map[*consumption]struct{}{}}
	e.publishing, e.consuming = newLink(all, "publishing"), newLink(all, "consuming")
	e.publishers = publishers{link: e.publishing, opening: make(chan struct{}, 1)}
	e.scopes = scopes{link: e.consuming, byName: map[string]*scope{}}
	e.control = control{link: e.consuming, busy: make(chan struct{}, 1)}
	for _, l := range e.wanted() {
		if o.Lazy {
			break
		}
		all.running.Go(func() { _, _ = l.get(all.ctx) })
	}
	return e
}

// credentials as they are now.
func (o *Options) credentials() (Credentials, error) {
	if o.Current != nil {
		return o.Current(), nil
	}
	return ReadCredentials(o.Credentials)
}

// wanted connections.
func (e *Engine) wanted() []*link {
	if e.o.TopologyOnly {
		return []*link{e.consuming}
	}
	return []*link{e.consuming, e.publishing}
}

// Ready is nil if messages can be published and consumed. Errors: queue.ErrUnavailable,
// queue.ErrBlocked, with the reason.
func (e *Engine) Ready() error {
	var errs []error
	for _, l := range e.wanted() {
		errs = append(errs, l.ready())
	}
	return errors.Join(errs...)
}

// Connections is the number of open connections. It is more than two for the time that
// connections with replaced credentials take to drain.
func (e *Engine) Connections() int {
	return len(e.publishing.connections()) + len(e.consuming.connections())
}

// Blocked says whether RabbitMQ accepts no messages because it is short of memory or
// disk.
func (e *Engine) Blocked() bool {
	return errors.Is(e.publishing.ready(), queue.ErrBlocked)
}

// Close ends every consumption, waits until ctx ends for messages whose confirmation is
// outstanding, and closes the connections. Messages in hand return to their queues.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	var wg sync.WaitGroup
	for c := range e.consumptions {
		wg.Go(func() { _ = c.Close() })
	}
	e.mu.Unlock()
	wg.Wait()
	err := e.publishers.drain(ctx)
	time.Sleep(time.Until(time.Unix(0, e.settled.Load()).Add(settling)))
	e.o.stop()
	for _, l := range []*link{e.consuming, e.publishing} {
		for _, c := range l.connections() {
			wg.Go(c.close)
		}
	}
	wg.Wait()
	return errors.Join(err, e.wait(ctx))
}

// wait until the goroutines of this engine have ended.
func (e *Engine) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.o.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin fails once the engine is closed.
func (e *Engine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return unavailable(errClosed)
	}
	return nil
}
