package amqp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// link keeps one connection for one purpose: it connects again, with backoff, when
// the connection breaks, and replaces it when the credentials change.
type link struct {
	o       *settings
	purpose string
	start   sync.Once

	mu      sync.Mutex
	conn    *conn
	err     error         // of the last attempt to connect; nil while one is under way
	changed chan struct{} // closed at the next change of conn or err
	open    map[*conn]struct{}
}

var errConnecting = errors.New("connecting to RabbitMQ")

func newLink(o *settings, purpose string) *link {
	return &link{o: o, purpose: purpose, changed: make(chan struct{}), open: map[*conn]struct{}{}}
}

// get returns a connection. It waits for an attempt that is under way, and fails at
// once between two attempts.
func (l *link) get(ctx context.Context) (*conn, error) {
	l.start.Do(func() { l.o.running.Go(func() { l.keep(l.o.ctx) }) })
	for {
		if err := ctx.Err(); err != nil {
			return nil, unavailable(err)
		}
		l.mu.Lock()
		c, err, changed := l.conn, l.err, l.changed
		l.mu.Unlock()
		switch {
		case c != nil && !c.isLost():
			return c, nil
		case err != nil:
			return nil, unavailable(err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, unavailable(fmt.Errorf("%w: %w", errConnecting, ctx.Err()))
		case <-l.o.ctx.Done():
			return nil, unavailable(errClosed)
		}
	}
}

// ready says why the link cannot be used.
func (l *link) ready() error {
	l.mu.Lock()
	c, err := l.conn, l.err
	l.mu.Unlock()
	if c == nil || c.isLost() {
		if err == nil {
			err = errConnecting
		}
		return unavailable(err)
	}
	if reason, _ := c.isBlocked(); reason != "" {
		return fmt.Errorf("%w: %s", queue.ErrBlocked, reason)
	}
	return nil
}

func (l *link) set(c *conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.err = c, err
	close(l.changed)
	l.changed = make(chan struct{})
}

// keep a connection until ctx ends.
func (l *link) keep(ctx context.Context) {
	var delay backoff
	logged := "" // the same error is logged once
	for ctx.Err() == nil {
		c, err := l.dial(ctx)
		if err != nil {
			l.set(nil, err)
			if text := err.Error(); text != logged {
				logged = text
				l.o.Logger.Warn("Cannot connect to RabbitMQ; retrying", "connection", l.purpose, "error", err)
			}
			delay.wait(ctx, nil)
			l.set(nil, nil)
			continue
		}
		logged = ""
		c = l.hold(ctx, c)
		if ctx.Err() != nil {
			c.close()
			break
		}
		l.o.Logger.Warn("The connection to RabbitMQ was lost; connecting again", "connection", l.purpose, "error", c.failure(errLost))
		if time.Since(c.born) > maxBackoff {
			delay = backoff{}
		} else {
			l.set(nil, errLost)
			delay.wait(ctx, nil)
		}
		l.set(nil, nil)
	}
	l.set(nil, errClosed)
}

// hold a connection, or the one that replaces it, until it is lost, which it returns.
func (l *link) hold(ctx context.Context, c *conn) *conn {
	l.set(c, nil)
	ticker := time.NewTicker(l.o.Rotation)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return c
		case <-c.lost:
			return c
		case <-ticker.C:
		}
		credentials, err := l.o.credentials()
		if err != nil || credentials.fingerprint() == c.fingerprint {
			continue
		}
		next, err := l.dial(ctx)
		if err != nil { // the old connection still works
			l.o.Logger.Warn("Cannot connect to RabbitMQ with its new credentials; retrying", "connection", l.purpose, "error", err)
			continue
		}
		l.set(next, nil)
		old := c
		l.o.running.Go(old.retire)
		c = next
	}
}

func (l *link) dial(ctx context.Context) (*conn, error) {
	credentials, err := l.o.credentials()
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, &l.o.Options, credentials, l.o.Name+" "+l.purpose)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.open[c] = struct{}{}
	l.mu.Unlock()
	go func() {
		<-c.lost
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
	}()
	return c, nil
}

// connections that are open, those that drain included.
func (l *link) connections() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.open))
	for c := range l.open {
		out = append(out, c)
	}
	return out
}

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// backoff doubles from minBackoff to a limit, with jitter.
type backoff struct{ last, limit time.Duration }

// wait until the time has come, ctx ends or now is closed.
func (b *backoff) wait(ctx context.Context, now <-chan struct{}) {
	limit := b.limit
	if limit == 0 {
		limit = maxBackoff
	}
	b.last = min(max(2*b.last, minBackoff), limit)
	timer := time.NewTimer(b.last/2 + rand.N(b.last/2)) //nolint:gosec // spreads attempts; it is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-now:
	}
}
