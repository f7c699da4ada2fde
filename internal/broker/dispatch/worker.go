package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// retryConsume is how long to wait after a failure to consume, and suspendFor how long a
// Trigger is not consumed whose namespace has too many bytes in hand.
const (
	retryConsume = time.Second
	suspendFor   = time.Second
	// inspectDraining is how often a queue is looked at that is about to be deleted.
	inspectDraining = time.Second
)

// worker serves one Trigger: it keeps a lane for each queue that is to be consumed.
type worker struct {
	d *Dispatcher
	// current is nil once the Trigger was deleted.
	current atomic.Pointer[subscription]
	woken   chan struct{} // run has to look again

	mu      sync.Mutex
	changed chan struct{} // is closed at each change
	until   time.Time     // suspended until then

	// lanes are run's own.
	lanes   map[string]*lane
	watched map[string]queue.State

	arrival atomic.Int64 // of the event that was picked up last, in milliseconds
	inHand  atomic.Int64
}

func newWorker(d *Dispatcher, s *subscription) *worker {
	w := &worker{d: d, woken: make(chan struct{}, 1), changed: make(chan struct{}), lanes: map[string]*lane{}, watched: map[string]queue.State{}}
	w.current.Store(s)
	return w
}

// set what the Trigger is now, and let events that wait look at it.
func (w *worker) set(s *subscription) {
	w.current.Store(s)
	w.wake()
}

func (w *worker) wake() {
	w.mu.Lock()
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// change is closed when something may be different from now.
func (w *worker) change() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// suspend stops to consume for a while.
func (w *worker) suspend() {
	w.mu.Lock()
	w.until = time.Now().Add(suspendFor)
	w.mu.Unlock()
	w.wake()
}

func (w *worker) suspended() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.until)
}

// run until the Trigger was deleted or the dispatcher stops.
func (w *worker) run() {
	inspect := time.NewTicker(w.d.options.InspectEvery)
	defer inspect.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		s := w.current.Load()
		if wait := w.reconcile(s); wait > 0 {
			again.Reset(wait)
		}
		if s == nil || w.d.isStopping() {
			w.d.options.Metrics.forget(w)
			return
		}
		select {
		case <-w.woken:
		case <-again.C:
			if w.current.Load().draining() {
				w.inspect()
			}
		case <-inspect.C:
			w.inspect()
		}
	}
}

// reconcile the lanes with the subscription. It returns how long to wait before it is to
// be called again, 0 if that is not needed.
func (w *worker) reconcile(s *subscription) (again time.Duration) {
	on := w.connection(s)
	wanted := w.wanted(s)
	if on == nil { // Reconnect calls again
		wanted = nil
	}
	for name, l := range w.lanes {
		if n, ok := wanted[name]; !ok || n != l.parallelism || l.on != on {
			l.stop()
			delete(w.lanes, name)
		}
	}
	for name, n := range wanted {
		if w.lanes[name] != nil {
			continue
		}
		l, err := startLane(w, on, name, n)
		if err != nil {
			slog.Error("Cannot consume a queue; trying again", "trigger", s.key(), "queue", name, "error", err)
			again = retryConsume
			continue
		}
		w.lanes[name] = l
	}
	if wait := w.suspended(); wait > 0 {
		again = wait
	}
	if s.draining() && again == 0 {
		again = inspectDraining
	}
	return again
}

// connection of the queues; nil while it is not open.
func (w *worker) connection(s *subscription) Connection {
	if s == nil {
		return nil
	}
	return w.d.connection(s.connection)
}

// wanted lanes: the parallelism by queue.
func (w *worker) wanted(s *subscription) map[string]int {
	wanted := map[string]int{}
	if s == nil || s.waiting != "" || w.d.isStopping() {
		return wanted
	}
	suspended := w.suspended() > 0
	for _, name := range s.queues {
		switch {
		case w.drained(s, name):
		case assignment.Ordered(name):
			// It has one event in hand; without a consumer another replica would continue.
			wanted[name] = 1
		case !suspended:
			wanted[name] = s.parallelism
		}
	}
	return wanted
}

// drained reports whether a queue that gets no more events is empty: without consumers
// the controller can delete it. Another replica may still return an event.
func (w *worker) drained(s *subscription, name string) bool {
	if name == s.queue {
		return false
	}
	state, known := w.watched[name]
	l := w.lanes[name]
	return known && state.Messages == 0 && (l == nil || l.inHand.Load() == 0)
}

// inspect the queues: their length for metrics, and whether they are full or empty.
func (w *worker) inspect() {
	s := w.current.Load()
	if s == nil || s.queue == "" {
		return
	}
	names := s.queues
	if !slices.Contains(names, s.queue) {
		names = append(slices.Clone(names), s.queue)
	}
	on := w.connection(s)
	if on == nil {
		return
	}
	total := 0
	clear(w.watched)
	for _, name := range names {
		ctx, cancel := context.WithTimeout(w.d.ctx, closeTimeout)
		state, err := on.Inspect(ctx, name)
		cancel()
		if err != nil {
			if !errors.Is(err, queue.ErrNoQueue) {
				slog.Warn("Cannot look at a queue", "trigger", s.key(), "queue", name, "error", err)
			}
			continue
		}
		w.watched[name] = state
		total += state.Messages
		if l := w.lanes[name]; l != nil {
			l.relieve(s, state)
		}
	}
	w.d.options.Metrics.queue(w, s, total)
}
