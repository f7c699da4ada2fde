package delay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// prefetch bounds what is in hand of each queue.
	prefetch = 32
	// scope of the consumers, which are no namespace's.
	scope = "lambda-delay"
	// minWait and maxWait are between attempts to store a message.
	minWait = 100 * time.Millisecond
	maxWait = 5 * time.Second
)

// Consumer returns events to the queues of their Triggers when they are due.
type Consumer struct {
	Subscriber queue.Subscriber
	Publisher  queue.Publisher
	// Trigger returns the queue of a Trigger, and false if there is no such Trigger. It
	// has to know every Trigger before Start.
	Trigger func(types.UID) (queue string, ok bool)

	stop         chan struct{}
	stopOnce     sync.Once
	consumptions []queue.Consumption
	inHand       sync.WaitGroup
}

// Start to consume the queues of all steps.
func (c *Consumer) Start(ctx context.Context) error {
	c.stop = make(chan struct{})
	for _, step := range Steps {
		consumption, err := c.Subscriber.Consume(ctx, queue.Consumer{
			Queue: Queue(step), Scope: scope, Prefetch: prefetch,
			Handler: func(ctx context.Context, d queue.Delivery) {
				c.inHand.Go(func() { c.hold(ctx, d, step) })
			},
		})
		if err != nil {
			return err
		}
		c.consumptions = append(c.consumptions, consumption)
	}
	return nil
}

// Stop returns what waits and lets moves end, or closes the consumers when the context
// ends.
func (c *Consumer) Stop(ctx context.Context) error {
	var errs []error
	for _, consumption := range c.consumptions {
		errs = append(errs, consumption.Cancel(ctx))
	}
	if c.stop != nil {
		c.stopOnce.Do(func() { close(c.stop) })
	}
	ended := make(chan struct{})
	go func() { c.inHand.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		errs = append(errs, ctx.Err())
	}
	for _, consumption := range c.consumptions {
		errs = append(errs, consumption.Close())
	}
	return errors.Join(errs...)
}

// hold a message until it is released. With a constant delay, those behind it are
// released later.
func (c *Consumer) hold(ctx context.Context, d queue.Delivery, step time.Duration) {
	if !c.sleep(ctx, time.Until(releaseOf(d.Message()))) {
		_ = d.Return() // fails if the channel is lost, which returns it as well
		return
	}
	for wait := minWait; ; wait = min(2*wait, maxWait) {
		err := c.forward(ctx, d.Message(), step)
		if err == nil {
			_ = d.Ack() // if it fails the message comes again: a duplicate
			return
		}
		slog.WarnContext(ctx, "Cannot move a delayed event; trying again", "queue", Queue(step), "error", err)
		if !c.sleep(ctx, wait) {
			_ = d.Return()
			return
		}
	}
}

// sleep reports false if the message is to be returned, or is lost.
func (c *Consumer) sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
	case <-c.stop:
	}
	return false
}

// forward a message. nil means that it can be acknowledged.
func (c *Consumer) forward(ctx context.Context, m *queue.Message, step time.Duration) error {
	transit, now := event.TransitOf(m), time.Now()
	if rest := transit.Due.Sub(now); rest > Steps[0] {
		return put(ctx, c.Publisher, m, stepFor(rest), now)
	}
	target, known := c.Trigger(transit.Trigger)
	if !known || target == "" {
		target = transit.Queue
	}
	if target == "" {
		slog.ErrorContext(ctx, "Dropped a delayed message that names no queue", "queue", Queue(step))
		return nil
	}
	err := c.Publisher.Put(ctx, target, event.EncodeTransit(m, transit))
	switch {
	case errors.Is(err, queue.ErrNoQueue) && !known:
		return nil // the Trigger was deleted
	case errors.Is(err, queue.ErrFull), errors.Is(err, queue.ErrNoQueue):
		// To the tail again: others must not wait for it. A queue that was lost is
		// declared again within a minute.
		return put(ctx, c.Publisher, m, step, now)
	}
	return err
}
