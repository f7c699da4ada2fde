package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// minStoreWait and maxStoreWait are between attempts to store a message while
	// RabbitMQ is away.
	minStoreWait = 100 * time.Millisecond
	maxStoreWait = 5 * time.Second
)

// errLost: the event is not in hand any more, or is about to come back.
var errLost = errors.New("the event is no longer in hand")

// store calls put until the message broker has confirmed or refused. errLost means that
// nothing else must be done with the event.
func (l *lane) store(it *item, put func(context.Context) error) error {
	ctx, cancel := l.withoutChannel(it)
	defer cancel()
	for wait := minStoreWait; ; wait = min(2*wait, maxStoreWait) {
		if it.lost() {
			return errLost
		}
		err := put(ctx)
		if !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrBlocked) {
			return err
		}
		slog.WarnContext(ctx, "Cannot store an event; trying again", "queue", l.queue, "error", err)
		if ctx.Err() != nil || time.Since(it.since)+wait > maxInHand {
			it.giveUp()
			return errLost
		}
		select {
		case <-time.After(wait):
		case <-it.ctx.Done():
		case <-ctx.Done():
		}
	}
}

// withoutChannel returns a context that outlives the channel, and ends when deliveries
// are given up: what the broker may have stored already is better confirmed.
func (l *lane) withoutChannel(it *item) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(it.ctx))
	stop := context.AfterFunc(l.w.d.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// message of the event as it came, with the attempts that have failed.
func (l *lane) message(it *item, of *queue.Message) *queue.Message {
	transit := it.transit
	transit.Attempts, transit.Due = int32(min(it.failed, 1<<30)), it.due //nolint:gosec // it is within the bounds
	transit.Queue = l.queue
	if s := l.w.current.Load(); s != nil {
		transit.Trigger = s.uid
	}
	return event.EncodeTransit(of, transit)
}

// delay moves an event to a delay queue until it is due.
func (l *lane) delay(it *item) (done bool) {
	return l.move(it, l.message(it, it.delivery.Message()), moveDelayed)
}

// move a message to a delay queue, and acknowledge the event.
func (l *lane) move(it *item, m *queue.Message, reason string) (done bool) {
	return l.moved(it, l.putDelayed(it, m), reason)
}

// putDelayed stores a message in a delay queue.
func (l *lane) putDelayed(it *item, m *queue.Message) error {
	return l.store(it, func(ctx context.Context) error {
		err := delay.Put(ctx, l.on, m)
		if errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrNoQueue) {
			// The event has no other place to go; the administrator has to make room.
			return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
		}
		return err
	})
}

// moved acknowledges an event if its copy is stored.
func (l *lane) moved(it *item, err error, reason string) (done bool) {
	switch {
	case errors.Is(err, errLost):
	case err != nil:
		slog.ErrorContext(it.ctx, "Cannot move an event; it is delivered again", "queue", l.queue, "error", err)
		it.giveUp()
	default:
		l.ack(it)
		l.w.d.options.Metrics.moved(l.w.current.Load(), reason)
	}
	return true
}

// giveBack an event when the lane stops. Attempts that have failed are counted by a
// move to the tail; an ordered event keeps its place and they are made again.
func (l *lane) giveBack(it *item) (done bool) {
	<-l.stopping
	switch {
	case l.ordered:
		return true // it returns when the lane is closed
	case !it.progressed():
		it.giveUp()
		return true
	case time.Until(it.due) > maxHandWait:
		return l.delay(it)
	}
	m := l.message(it, it.delivery.Message())
	err := l.store(it, func(ctx context.Context) error { return l.on.Put(ctx, l.queue, m) })
	if errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrNoQueue) {
		return l.delay(it)
	}
	return l.moved(it, err, moveStopping)
}
