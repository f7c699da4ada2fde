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
	// prefetch bounds what is in hand of each queue, and prefetchBudgeted where a budget
	// counts it: RabbitMQ sends that many messages before any can be refused.
	prefetch, prefetchBudgeted = 32, 1
	// scope of the consumers, which are no namespace's.
	scope = "lambda-delay"
	// minWait and maxWait are between attempts to store a message.
	minWait = 100 * time.Millisecond
	maxWait = 5 * time.Second
	// pause is for how long a queue is not consumed at least, if the budget has no room.
	pause = time.Second
)

// Consumer returns events to the queues of their Triggers when they are due.
type Consumer struct {
	Subscriber queue.Subscriber
	Publisher  queue.Publisher
	// Trigger returns the queue of a Trigger, and false if there is no such Trigger. It
	// has to know every Trigger before Start.
	Trigger func(types.UID) (queue string, ok bool)
	// Budget holds the bytes of a message in hand, or returns nil if there is no room. It
	// is for a RabbitMQ whose messages users write; nil means no bound of bytes.
	Budget func(bytes int64) (release func())

	stop     chan struct{}
	stopOnce sync.Once
	inHand   sync.WaitGroup

	mu      sync.Mutex
	stopped bool                        // nothing is consumed again
	queues  map[time.Duration]*consumed // by step
}

// consumed queue of a step.
type consumed struct {
	step        time.Duration
	consumption queue.Consumption
	suspended   bool // another takes its place
}

// Start to consume the queues of all steps.
func (c *Consumer) Start(ctx context.Context) error {
	c.stop, c.queues = make(chan struct{}), map[time.Duration]*consumed{}
	for _, step := range Steps {
		if err := c.consume(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// consume the queue of a step, unless the Consumer was stopped.
func (c *Consumer) consume(ctx context.Context, step time.Duration) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	most := prefetch
	if c.Budget != nil {
		most = prefetchBudgeted
	}
	q := &consumed{step: step}
	q.consumption, err = c.Subscriber.Consume(ctx, queue.Consumer{
		Queue: Queue(step), Scope: scope, Prefetch: most,
		Handler: func(ctx context.Context, d queue.Delivery) { c.handle(ctx, d, q) },
	})
	if err == nil {
		c.queues[step] = q
	}
	return err
}

// handle a delivery. One that comes when Stop waits already returns when it closes the
// consumer.
func (c *Consumer) handle(ctx context.Context, d queue.Delivery, q *consumed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.inHand.Go(func() { c.process(ctx, d, q) })
	}
}

// halt returns what is consumed.
func (c *Consumer) halt() (all []queue.Consumption) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for _, q := range c.queues {
		all = append(all, q.consumption)
	}
	return all
}

// Stop returns what waits and lets moves end, or closes the consumers when the context
// ends.
func (c *Consumer) Stop(ctx context.Context) error {
	var errs []error
	consumptions := c.halt()
	for _, consumption := range consumptions {
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
	for _, consumption := range consumptions {
		errs = append(errs, consumption.Close())
	}
	return errors.Join(errs...)
}

// process a message, within the budget. It waits no longer than its queue delays messages,
// whatever its header claims.
func (c *Consumer) process(ctx context.Context, d queue.Delivery, q *consumed) {
	wait := min(time.Until(releaseOf(d.Message())), q.step)
	if c.Budget != nil {
		release := c.Budget(int64(len(d.Message().Body)))
		if release == nil {
			c.refuse(ctx, d, q, wait)
			return
		}
		defer release()
	}
	c.hold(ctx, d, q.step, wait)
}

// refuse a message: its queue is consumed again when it is released.
func (c *Consumer) refuse(ctx context.Context, d queue.Delivery, q *consumed, wait time.Duration) {
	c.mu.Lock()
	first := !q.suspended
	q.suspended = true
	c.mu.Unlock()
	running := context.WithoutCancel(ctx) // ctx ends with the consumption
	if first {
		_ = q.consumption.Cancel(running) // first: what is returned would come back
	}
	_ = d.Return()
	if !first {
		return
	}
	_ = q.consumption.Close()
	c.inHand.Go(func() { c.resume(running, q.step, max(wait, pause)) }) // without the message
}

// resume consuming a queue after a while.
func (c *Consumer) resume(ctx context.Context, step, after time.Duration) {
	if !c.sleep(ctx, after) {
		return
	}
	if err := c.consume(ctx, step); err != nil {
		slog.ErrorContext(ctx, "Cannot consume a delay queue again", "queue", Queue(step), "error", err)
	}
}

// hold a message until it is released. With a constant delay, those behind it are
// released later.
func (c *Consumer) hold(ctx context.Context, d queue.Delivery, step, wait time.Duration) {
	if !c.sleep(ctx, wait) {
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
