package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// maxPublishers is the number of channels for publishing at most.
	maxPublishers = 8
	// busy is how many confirmations may be outstanding on each channel before another
	// one is opened.
	busy = 32
	// maxAbandoned is how many messages of a channel may be left without their
	// confirmation by callers that gave up, before it is replaced.
	maxAbandoned = 1000
	drainPoll    = 10 * time.Millisecond
)

// publishers is the pool of channels for publishing.
type publishers struct {
	link    *link
	opening chan struct{} // held while a channel is opened

	mu          sync.Mutex
	conn        *conn
	all         []*publisher
	outstanding int // confirmations
}

// take the channel with the fewest outstanding confirmations.
func (p *publishers) take(ctx context.Context) (*publisher, error) {
	for {
		c, err := p.link.get(ctx)
		if err != nil {
			return nil, err
		}
		if reason, _ := c.isBlocked(); reason != "" {
			return nil, fmt.Errorf("%w: %s", queue.ErrBlocked, reason)
		}
		if !c.use() {
			continue // another connection has taken over
		}
		ch, wanted := p.pick(c)
		if wanted {
			err = p.open(ctx, c, ch != nil)
		}
		if ch != nil {
			return ch, nil
		}
		c.release()
		if err != nil {
			return nil, err
		}
	}
}

// pick a channel of a connection; wanted says that there is place for another one.
func (p *publishers) pick(c *conn) (ch *publisher, wanted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != c {
		if p.conn != nil && c.born.Before(p.conn.born) {
			return nil, false // the caller gets the newer one next
		}
		p.conn, p.all = c, nil // the others end with their connection
	}
	p.all = slices.DeleteFunc(p.all, (*publisher).unusable)
	for _, candidate := range p.all {
		if ch == nil || candidate.active < ch.active {
			ch = candidate
		}
	}
	if ch != nil {
		ch.active++
		p.outstanding++
	}
	return ch, len(p.all) < maxPublishers && (ch == nil || ch.active > busy)
}

// give back a channel whose message is settled.
func (p *publishers) give(ch *publisher) {
	p.mu.Lock()
	ch.active--
	p.outstanding--
	end := ch.active == 0 && ch.replaced()
	p.mu.Unlock()
	if end {
		go func() { _ = ch.conn.call(context.Background(), ch.channel.Close) }()
	}
	ch.conn.release()
}

// open another channel, in the background if it is optional. One is opened at a time.
func (p *publishers) open(ctx context.Context, c *conn, optional bool) error {
	select {
	case p.opening <- struct{}{}:
	default:
		if optional {
			return nil
		}
		select {
		case p.opening <- struct{}{}:
			<-p.opening // by now there is one
			return nil
		case <-ctx.Done():
			return unavailable(context.Cause(ctx))
		}
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-p.opening }()
		ch, err := openPublisher(c)
		if err == nil {
			p.add(c, ch)
		}
		done <- err
	}()
	if optional {
		return nil
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

func (p *publishers) add(c *conn, ch *publisher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == c {
		p.all = append(p.all, ch)
	}
}

// drain waits until no confirmation is outstanding, or ctx ends.
func (p *publishers) drain(ctx context.Context) error {
	for {
		p.mu.Lock()
		n := p.outstanding
		p.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return fmt.Errorf("%d messages were not confirmed: %w", n, ctx.Err())
		}
	}
}

// publisher is a channel for publishing. Many messages are on it at once.
type publisher struct {
	conn     *conn
	channel  *amqp.Channel
	requests chan *request
	barrier  chan struct{}
	lost     chan struct{}

	active int // outstanding confirmations; guarded by the pool's lock

	mu        sync.Mutex
	pending   map[string]*request // by correlation identifier
	last      uint64
	abandoned int
	cause     error
}

// openPublisher opens a channel.
func openPublisher(c *conn) (*publisher, error) {
	p := &publisher{
		conn: c, requests: make(chan *request), barrier: make(chan struct{}), lost: make(chan struct{}), pending: map[string]*request{},
	}
	err := c.call(context.Background(), func() (err error) {
		if p.channel, err = c.amqp.Channel(); err != nil {
			return err
		}
		returns := p.channel.NotifyReturn(make(chan amqp.Return))
		closes := p.channel.NotifyClose(make(chan *amqp.Error, 1))
		go p.collect(returns, closes)
		return p.channel.Confirm(false)
	})
	if err != nil {
		return nil, asUnavailable(err)
	}
	go p.write()
	return p, nil
}

// collect what RabbitMQ returns, until the channel is closed.
func (p *publisher) collect(returns chan amqp.Return, closes chan *amqp.Error) {
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				p.end(<-closes)
				return
			}
			p.mu.Lock()
			if request := p.pending[r.CorrelationId]; request != nil {
				request.returned = true
			}
			p.mu.Unlock()
		case p.barrier <- struct{}{}:
		}
	}
}

func (p *publisher) end(err *amqp.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.cause = err
	}
	close(p.lost)
}

// failure says why the channel was lost.
func (p *publisher) failure(ctx context.Context) error {
	select {
	case <-p.lost: // the cause is known
	case <-p.conn.lost:
	case <-ctx.Done():
	}
	p.mu.Lock()
	cause := p.cause
	p.mu.Unlock()
	if cause == nil {
		cause = errClosed
	}
	return asUnavailable(p.conn.failure(cause))
}

func (p *publisher) remember(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	r.publishing.CorrelationId = strconv.FormatUint(p.last, 10)
	p.pending[r.publishing.CorrelationId] = r
}

func (p *publisher) forget(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, r.publishing.CorrelationId)
}

func (p *publisher) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned++
}

// replaced says that the channel takes no further messages, because RabbitMQ owes it
// too many confirmations.
func (p *publisher) replaced() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.abandoned >= maxAbandoned
}

func (p *publisher) unusable() bool {
	return p.replaced() || p.channel.IsClosed() || isClosed(p.lost)
}

// asUnavailable makes queue.ErrUnavailable of whatever RabbitMQ answered.
func asUnavailable(err error) error {
	if err == nil || errors.Is(err, queue.ErrUnavailable) {
		return err
	}
	return unavailable(err)
}
