package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// consumption hands out the messages of one queue, in a goroutine of its own.
type consumption struct {
	e *Engine
	c queue.Consumer
	// ctx of the deliveries; it ends with Close.
	ctx   context.Context
	lost  context.CancelFunc
	woken chan struct{}
	// stop ends the goroutine, and done says that it has ended.
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}

	// Of a stream: the position of the last message, and the age of the first.
	position uint64 // guarded by the engine's lock
	since    time.Time

	closed bool                   // guarded by the engine's lock
	inHand map[*delivery]struct{} // guarded by the engine's lock
}

// Consume implements queue.Subscriber.
func (e *Engine) Consume(ctx context.Context, c queue.Consumer) (queue.Consumption, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return nil, err
	}
	out := &consumption{
		e: e, c: c, woken: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		inHand: map[*delivery]struct{}{}, since: time.Now().Add(-c.Replay),
	}
	out.ctx, out.lost = context.WithCancel(context.WithoutCancel(ctx))
	e.consumers[c.Queue] = append(e.consumers[c.Queue], out)
	go out.run()
	return out, nil
}

func (c *consumption) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		if d := c.take(); d != nil {
			c.c.Handler(c.ctx, d)
			continue
		}
		select {
		case <-c.stop:
			return
		case <-c.woken:
		}
	}
}

// take the next message, or nil if there is none for this consumer.
func (c *consumption) take() *delivery {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	s := c.e.queues[c.c.Queue]
	if s == nil || len(s.ready) == 0 || !c.hasRoom() || !c.first(s) {
		return nil
	}
	i := c.next(s)
	if i == nil {
		return nil
	}
	d := &delivery{c: c, store: s, item: i, redelivered: i.redelivered}
	c.inHand[d] = struct{}{}
	if len(s.ready) > 0 {
		c.e.wake(c.c.Queue) // this consumer may have no room left
	}
	return d
}

// next message of a queue, which leaves it, or of a stream, where it stays.
func (c *consumption) next(s *store) *item {
	if !s.isStream() {
		return s.take()
	}
	i := s.after(c.position, c.since)
	if i != nil {
		c.position = i.position
	}
	return i
}

func (c *consumption) hasRoom() bool { return len(c.inHand) < c.c.Prefetch }

// first says whether this consumer is the one to get the next message.
func (c *consumption) first(s *store) bool {
	consumers := c.e.consumers[c.c.Queue]
	if s.isStream() {
		return slices.Contains(consumers, c)
	}
	if s.declaration.Ordered {
		return len(consumers) > 0 && consumers[0] == c
	}
	return slices.Contains(consumers, c) && !slices.ContainsFunc(consumers, func(other *consumption) bool {
		return other.c.Priority > c.c.Priority && other.hasRoom()
	})
}

// Err implements queue.Consumption.
func (c *consumption) Err() error {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if c.e.closed || c.closed {
		return fmt.Errorf("%w: the consumption of %s is closed", queue.ErrUnavailable, c.c.Queue)
	}
	_, err := c.e.find(c.c.Queue)
	return err
}

// Cancel implements queue.Consumption.
func (c *consumption) Cancel(ctx context.Context) error {
	c.e.mu.Lock()
	c.unsubscribe()
	c.e.mu.Unlock()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unsubscribe is called with the lock held.
func (c *consumption) unsubscribe() {
	c.stopOnce.Do(func() {
		close(c.stop)
		c.e.consumers[c.c.Queue] = slices.DeleteFunc(c.e.consumers[c.c.Queue], func(other *consumption) bool { return other == c })
		if len(c.e.consumers[c.c.Queue]) == 0 {
			delete(c.e.consumers, c.c.Queue)
		}
		c.e.wake(c.c.Queue)
	})
}

// Close implements queue.Consumption. The messages return in the step in which the
// consumer ends, so that the next consumer of an ordered queue gets them first.
func (c *consumption) Close() error {
	c.e.mu.Lock()
	c.unsubscribe()
	for d := range c.inHand {
		d.giveBack()
	}
	c.closed = true
	c.lost()
	c.e.mu.Unlock()
	<-c.done
	return nil
}

// delivery is a message in hand.
type delivery struct {
	c           *consumption
	store       *store
	item        *item
	redelivered bool
	settled     bool // guarded by the engine's lock
}

// Message implements queue.Delivery.
func (d *delivery) Message() *queue.Message { return d.item.message }

// Redelivered implements queue.Delivery.
func (d *delivery) Redelivered() bool { return d.redelivered }

// Sent implements queue.Delivery.
func (d *delivery) Sent() time.Time { return d.item.stored }

// Ack implements queue.Delivery.
func (d *delivery) Ack() error { return d.settle(d.remove) }

// Return implements queue.Delivery.
func (d *delivery) Return() error { return d.settle(d.giveBack) }

func (d *delivery) settle(how func()) error {
	d.c.e.mu.Lock()
	defer d.c.e.mu.Unlock()
	switch {
	case d.c.closed:
		return fmt.Errorf("%w: the consumption of %s is closed", queue.ErrUnavailable, d.c.c.Queue)
	case d.settled:
		return queue.ErrSettled
	}
	how()
	return nil
}

// remove is called with the lock held, as is giveBack.
func (d *delivery) remove() {
	d.settled = true
	delete(d.c.inHand, d)
	d.c.e.wake(d.c.c.Queue)
}

func (d *delivery) giveBack() {
	d.store.giveBack(d.item) // of a deleted queue: it is dropped with the queue
	d.remove()
}
