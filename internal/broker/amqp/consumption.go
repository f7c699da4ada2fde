package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// maxMissing is the backoff at most while a queue does not exist.
	maxMissing = 2 * time.Second
	// stable is how long a subscription has to last for the backoff to begin again.
	stable = 2 * time.Second
)

// proof is the time between two looks at an empty queue before it is consumed.
const proof = 200 * time.Millisecond

// afterCancel is half of the delay after RabbitMQ cancelled a consumer: it is deleting
// the queue.
const afterCancel = 500 * time.Millisecond

// maxCrash is the backoff at most after RabbitMQ crashed over a queue, the node has no
// replica of a stream, or the server ignores the prefetch: each attempt costs all scopes
// their connection.
const maxCrash = time.Minute

// errCrash: RabbitMQ closed the connection while this queue was about to be consumed.
var errCrash = errors.New("RabbitMQ failed when the queue was consumed")

// errNoReplica: RabbitMQ reads a stream only on nodes that have a replica of it.
var errNoReplica = errors.New("the node of RabbitMQ has no replica of the stream; connecting again, maybe to another node (an administrator adds a replica: rabbitmq-streams add_replica)")

// errOverrun: a server ignores the prefetch. The library would keep all that it sends in
// memory.
var errOverrun = errors.New("the server delivers more messages than the prefetch allows")

var errStopped = errors.New("the consumer was cancelled by this program")

var errCancelled = errors.New("RabbitMQ cancelled the consumer")

// consumption subscribes to one queue, again and again.
type consumption struct {
	e *Engine
	c queue.Consumer
	// ctx of all deliveries; it ends with Close.
	ctx  context.Context
	lost context.CancelCauseFunc
	// stop ends the goroutine, and done says that it has ended.
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}

	mu     sync.Mutex
	sub    *subscription
	err    error
	inHand map[*delivery]struct{}
}

// Consume implements queue.Subscriber.
func (e *Engine) Consume(_ context.Context, c queue.Consumer) (queue.Consumption, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	out := &consumption{
		e: e, c: c, stop: make(chan struct{}), done: make(chan struct{}),
		err: unavailable(errConnecting), inHand: map[*delivery]struct{}{},
	}
	out.ctx, out.lost = context.WithCancelCause(e.o.ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, unavailable(errClosed)
	}
	e.consumptions[out] = struct{}{}
	e.o.running.Go(out.run)
	return out, nil
}

// run until stop.
func (c *consumption) run() {
	defer c.finish()
	defer close(c.done)
	ctx, cancel := context.WithCancel(c.e.o.ctx)
	defer cancel()
	go func() {
		select {
		case <-c.stop:
			cancel() // an attempt to subscribe that is under way
		case <-ctx.Done():
		}
	}()
	var delay backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := c.consume(ctx)
		if isClosed(c.stop) {
			c.set(nil, unavailable(errStopped))
			return
		}
		c.set(nil, err)
		if err == nil { // the connection was replaced
			delay = backoff{}
			continue
		}
		if time.Since(began) > stable {
			delay = backoff{}
		}
		delay.after(err)
		delay.wait(ctx, nil)
	}
}

// after an error, the backoff depends on what an attempt costs.
func (b *backoff) after(err error) {
	b.limit = maxBackoff
	switch {
	case errors.Is(err, queue.ErrNoQueue):
		b.limit = maxMissing
	case errors.Is(err, errCancelled):
		b.last = max(b.last, afterCancel)
	case errors.Is(err, errCrash), errors.Is(err, errNoReplica), errors.Is(err, errOverrun):
		b.last, b.limit = max(b.last, afterCancel), maxCrash
	}
}

// consume until the subscription ends. The error is nil if it shall begin again at once.
func (c *consumption) consume(ctx context.Context) error {
	sub, err := c.subscribe(ctx)
	if err != nil {
		return err
	}
	c.set(sub, nil)
	return sub.receive()
}

func (c *consumption) set(sub *subscription, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sub, c.err = sub, err
	if isClosed(c.stop) && sub != nil {
		go sub.cancel()
	}
}

// Err implements queue.Consumption.
func (c *consumption) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.sub == nil { // between two subscriptions
		return unavailable(errConnecting)
	}
	return c.err
}

// Cancel implements queue.Consumption.
func (c *consumption) Cancel(ctx context.Context) error {
	c.stopOnce.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.stop)
		if c.sub != nil {
			go c.sub.cancel()
		}
	})
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements queue.Consumption.
func (c *consumption) Close() error {
	c.leaveAlone()
	// A broker that does not answer keeps nothing: its connection is closed.
	err := c.Cancel(context.Background())
	c.mu.Lock()
	all := make([]*delivery, 0, len(c.inHand))
	for d := range c.inHand {
		all = append(all, d)
	}
	c.mu.Unlock()
	slices.SortFunc(all, func(a, b *delivery) int { return cmp.Compare(a.tag, b.tag) })
	for _, d := range all {
		_ = d.Return() // else its channel was lost, and the message is back already
	}
	c.finish()
	return err
}

// finish once there is neither a consumer nor a message in hand.
func (c *consumption) finish() {
	c.mu.Lock()
	finished := isClosed(c.done) && len(c.inHand) == 0
	c.mu.Unlock()
	if !finished {
		return
	}
	c.lost(fmt.Errorf("the consumption of %s was closed", c.c.Queue))
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	delete(c.e.consumptions, c)
}

// hold counts a message in hand.
func (c *consumption) hold(d *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inHand[d] = struct{}{}
}

// drop is false if the message is no longer in hand.
func (c *consumption) drop(d *delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := c.inHand[d]
	delete(c.inHand, d)
	return held
}
