package dispatch

import (
	"context"
	"log/slog"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// phaseSink is the phase of dead letters that wait for their sink or queue.
	phaseSink = "sink"
	// phaseReply is that of replies and outcomes of calls that the Broker did not store yet.
	phaseReply = "reply"
)

// item is an event in hand.
type item struct {
	// ctx ends when the channel is lost: the event may be in another replica's hands, so
	// that it must not be moved or acknowledged.
	ctx      context.Context
	delivery queue.Delivery
	event    *cloudevents.Event
	transit  event.Transit
	since    time.Time
	failed   int // attempts, those of earlier stays included
	due      time.Time
	returned bool
}

// lost reports whether the event is no longer in hand.
func (it *item) lost() bool { return it.returned || it.ctx.Err() != nil }

// concluded reports whether the subscriber is not called: the event is what came of another
// one, or a dead letter.
func (it *item) concluded() bool { return it.transit.Phase != "" }

// giveUp returns the event to its place. It fails if the channel is lost, which returns
// it as well.
func (it *item) giveUp() {
	it.returned = true
	_ = it.delivery.Return()
}

// progressed reports whether attempts have failed since the event was last moved.
func (it *item) progressed() bool { return it.failed > int(it.transit.Attempts) }

// process a delivery until it is settled.
func (l *lane) process(ctx context.Context, d queue.Delivery) {
	it := &item{ctx: ctx, delivery: d, transit: event.TransitOf(d.Message()), since: time.Now()}
	it.failed, it.due = int(it.transit.Attempts), it.transit.Due
	release, ok := l.hold(it)
	defer release()
	if !ok {
		it.giveUp()
		return
	}
	decoded, err := event.Decode(d.Message())
	if err != nil {
		l.malformed(it, err)
		return
	}
	it.event = decoded
	l.recall(it)
	l.observeArrival(it)
	for !l.step(it) {
	}
}

// hold the bytes of an event for its namespace. Over its share, the event is returned
// and the Triggers of the namespace with most are not consumed for a while.
func (l *lane) hold(it *item) (release func(), ok bool) {
	s, budget := l.w.current.Load(), l.w.d.options.Budget
	if budget == nil || s == nil {
		return func() {}, true
	}
	if release := budget.Hold(s.namespace, int64(len(it.delivery.Message().Body))); release != nil {
		return release, true
	}
	if l.ordered { // it has no other in hand
		return func() {}, true
	}
	l.w.d.suspendLargest(s.namespace)
	return func() {}, false
}

// suspendLargest suspends the Triggers of the namespace with most bytes in hand, and
// those of the one that got no more.
func (d *Dispatcher) suspendLargest(refused string) {
	largest, _ := d.options.Budget.Largest()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.workers {
		if s := w.current.Load(); s != nil && (s.namespace == largest || s.namespace == refused) {
			w.suspend()
		}
	}
}

// recall what is known of an event that was returned because it was in hand for too
// long.
func (l *lane) recall(it *item) {
	if p := l.returned.Swap(nil); p != nil && p.id == it.event.ID() && p.source == it.event.Source() {
		it.failed, it.due = p.failed, p.due
	}
}

// step makes at most one attempt. It reports whether the event is settled, or lost.
func (l *lane) step(it *item) (done bool) {
	changed := l.w.change()
	s := l.w.current.Load()
	switch {
	case it.lost():
		return true
	case s == nil: // the Trigger was deleted
		return l.settle(it, outcomeDeleted)
	case !it.concluded() && s.filter.filter != nil && !l.wants(it, s):
		return l.settle(it, outcomeFiltered)
	case l.closing.Load():
		return l.giveBack(it)
	case s.waiting != "": // the lane is about to be stopped
		l.pause(it, changed, nil)
		return false
	case !it.concluded() && s.deletedTarget != "":
		return l.bury(it, s, targetDeleted(s.deletedTarget))
	case !it.concluded() && l.takeExcess():
		return l.bury(it, s, fullQueue())
	}
	if wait := time.Until(it.due); wait > 0 {
		return l.await(it, s, wait, changed)
	}
	return l.attempt(it, s, changed)
}

// wants evaluates the Trigger's filter.
func (l *lane) wants(it *item, s *subscription) bool {
	matches, err := s.filter.filter.Match(it.ctx, it.event)
	if err != nil {
		// Not a warning: an author decides how often it happens.
		slog.DebugContext(it.ctx, "The filter of a Trigger failed", "trigger", s.key(), "event", it.event.ID(), "matches", matches, "error", err)
		l.w.d.options.Metrics.delivered(s, outcomeFilterFailed)
	}
	return matches
}

// settle acknowledges an event.
func (l *lane) settle(it *item, outcome string) (done bool) {
	l.ack(it)
	l.w.d.options.Metrics.delivered(l.w.current.Load(), outcome)
	return true
}

// await the time of the next attempt, in hand or in a delay queue.
func (l *lane) await(it *item, s *subscription, wait time.Duration, changed <-chan struct{}) (done bool) {
	tooLong := time.Since(it.since)+wait+s.policy.RequestTimeout() > maxInHand
	if l.ordered {
		if left := maxInHand - time.Since(it.since); tooLong && left < wait {
			wait = max(left, 0)
		}
	} else {
		if wait > maxHandWait || tooLong {
			return l.delay(it)
		}
		defer l.retrying.Add(-1)
		if l.retrying.Add(1) > int64(l.parallelism) {
			return l.delay(it)
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	l.pause(it, changed, timer.C)
	if l.ordered && time.Since(it.since) >= maxInHand {
		return l.returnToHead(it)
	}
	return false
}

// pause until something has changed or the timer fires.
func (l *lane) pause(it *item, changed <-chan struct{}, timer <-chan time.Time) {
	select {
	case <-timer:
	case <-changed:
	case <-l.stopping:
	case <-it.ctx.Done():
	}
}

// returnToHead of an ordered queue, from where it comes back at once.
func (l *lane) returnToHead(it *item) (done bool) {
	l.returned.Store(&progress{it.event.ID(), it.event.Source(), it.failed, it.due})
	it.giveUp()
	return true
}

// attempt a delivery, once fewer than parallelism are under way.
func (l *lane) attempt(it *item, s *subscription, changed <-chan struct{}) (done bool) {
	release := l.acquire(it, s, changed)
	if release == nil {
		return false
	}
	defer release()
	if l.closing.Load() {
		<-l.stopping
		return false
	}
	switch it.transit.Phase {
	case phaseSink:
		return l.offer(it, s)
	case phaseReply:
		return l.publishAgain(it, s)
	}
	// The subscription may have changed while the event waited for its turn.
	if l.w.current.Load() != s {
		return false
	}
	result := l.send(it, s)
	if l.abandoned(it) {
		return true
	}
	if result.Err == nil {
		switch result = l.reply(it, s, result); {
		case it.lost():
			return true
		case result.Err == nil:
			return l.settle(it, outcomeDelivered)
		}
	}
	it.failed++
	if !result.Retry || s.policy.Exhausted(it.failed) {
		return l.bury(it, s, result)
	}
	l.w.d.options.Metrics.delivered(s, outcomeFailed)
	it.due = time.Now().Add(s.policy.Backoff(it.failed, result.RetryAfter))
	return false
}

// abandoned reports whether the outcome of a request does not count: the channel is lost,
// or the replica gives up deliveries, which is no failure of the subscriber.
func (l *lane) abandoned(it *item) bool {
	if !it.lost() && l.w.d.ctx.Err() != nil {
		it.giveUp()
	}
	return it.lost()
}

// pollBudget is how often a request is asked for that the namespace has no share for.
const pollBudget = 25 * time.Millisecond

// acquire the right to send; nil if something has changed meanwhile.
func (l *lane) acquire(it *item, s *subscription, changed <-chan struct{}) (release func()) {
	select {
	case l.sending <- struct{}{}:
	case <-changed:
		return nil
	case <-l.stopping:
		return nil
	case <-it.ctx.Done():
		return nil
	}
	budget := l.w.d.options.Budget
	if budget == nil {
		return func() { <-l.sending }
	}
	for {
		if request := budget.Acquire(s.namespace); request != nil {
			return func() { request(); <-l.sending }
		}
		select {
		case <-time.After(pollBudget):
			continue
		case <-changed:
		case <-l.stopping:
		case <-it.ctx.Done():
		}
		<-l.sending
		return nil
	}
}
