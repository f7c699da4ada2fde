package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// lane consumes one queue of a Trigger until it is stopped.
//
// Of an unordered queue, up to parallelism events are sent at once, and as many wait for
// a retry. Of an ordered one, one event is in hand until it is settled.
type lane struct {
	w           *worker
	on          Connection
	queue       string
	ordered     bool
	parallelism int

	consumption queue.Consumption
	started     chan struct{} // is closed when consumption is set
	closing     atomic.Bool   // nothing new is sent
	stopping    chan struct{} // is closed when what was not sent is to be given back
	sending     chan struct{} // has an element for each event that is sent
	mu          sync.Mutex
	sealed      bool           // no item is added
	items       sync.WaitGroup // guarded by mu until it is sealed
	inHand      atomic.Int64
	retrying    atomic.Int64 // wait for a retry in hand
	excess      atomic.Int64 // are to become dead letters because the queue is full

	// returned is the event of an ordered queue that was in hand for too long.
	returned atomic.Pointer[progress]
}

// progress of the delivery of an event.
type progress struct {
	id, source string
	failed     int
	due        time.Time
}

func startLane(w *worker, on Connection, name string, parallelism int) (*lane, error) {
	l := &lane{
		w: w, on: on, queue: name, ordered: assignment.Ordered(name), parallelism: parallelism,
		started: make(chan struct{}), stopping: make(chan struct{}), sending: make(chan struct{}, parallelism),
	}
	s := w.current.Load()
	if s == nil {
		return nil, queue.ErrNoQueue
	}
	c := queue.Consumer{Queue: name, Scope: s.namespace, Prefetch: 2 * parallelism, Handler: l.handle}
	if l.ordered {
		// With a channel of its own, the consumer can end together with its event in hand.
		c.Prefetch, c.Scope = 1, name
		if priority := w.d.options.Priority; priority != nil {
			c.Priority = priority(name)
		}
	}
	consumption, err := on.Consume(w.d.ctx, c)
	if err != nil {
		return nil, err
	}
	l.consumption = consumption
	close(l.started)
	return l, nil
}

// handle a delivery: it starts a goroutine, as queue.Handler asks. One that comes when
// stop waits already returns when the lane is closed.
func (l *lane) handle(ctx context.Context, d queue.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sealed {
		return
	}
	l.inHand.Add(1)
	l.w.inHand.Add(1)
	l.items.Add(1)
	l.w.d.running.Go(func() {
		defer l.items.Done()
		defer l.w.inHand.Add(-1)
		defer l.inHand.Add(-1)
		l.process(ctx, d)
	})
}

// seal the lane: from then on, the items can be waited for.
func (l *lane) seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true
}

// stop the lane. Events that are being sent are settled when that ends; stop waits for
// them only if the queue is ordered, because the next consumer must not overtake them.
func (l *lane) stop() {
	<-l.started
	l.closing.Store(true)
	if l.ordered {
		// The consumer stays: a canceled one with an event in hand is no longer active, and
		// RabbitMQ would start the next. Closing returns the event in the same step.
		l.seal()
		close(l.stopping)
		l.items.Wait()
		l.close()
		return
	}
	// Cancel first: what is returned would come back here.
	l.cancel()
	l.seal()
	close(l.stopping)
	l.w.d.running.Go(func() {
		l.items.Wait()
		l.close()
	})
}

func (l *lane) cancel() {
	ctx, cancel := context.WithTimeout(l.w.d.ctx, closeTimeout)
	defer cancel()
	if err := l.consumption.Cancel(ctx); err != nil {
		slog.Warn("Cannot cancel a consumer; its events return when it is closed", "queue", l.queue, "error", err)
	}
}

func (l *lane) close() {
	if err := l.consumption.Close(); err != nil {
		slog.Warn("Cannot close a consumer; its events return with the connection", "queue", l.queue, "error", err)
	}
}

// ack settles an event for good.
func (l *lane) ack(it *item) {
	if l.ordered && l.closing.Load() {
		// Acknowledged first, one more event would be pushed and returned behind its
		// successor.
		l.cancel()
	}
	if err := it.delivery.Ack(); err != nil {
		slog.WarnContext(it.ctx, "Cannot acknowledge an event; it is delivered again", "queue", l.queue, "event", it.event.ID(), "error", err)
	}
}

// relieve an unordered or ordered queue that is nearly full: the oldest events become
// dead letters, because a full queue refuses events for its whole Broker.
func (l *lane) relieve(s *subscription, state queue.State) {
	limit := l.w.d.options.MaxLength
	if s.deadLetterQueue == "" || state.Messages <= limit/10*8 {
		l.excess.Store(0)
		return
	}
	// The other replicas move their share.
	share := max(state.Consumers, 1)
	if l.ordered {
		share = 1
	}
	l.excess.Store(int64((state.Messages - limit/10*7 + share - 1) / share))
	l.w.wake()
}

// takeExcess reports whether this event is to become a dead letter.
func (l *lane) takeExcess() bool {
	for {
		n := l.excess.Load()
		if n <= 0 {
			return false
		}
		if l.excess.CompareAndSwap(n, n-1) {
			return true
		}
	}
}
