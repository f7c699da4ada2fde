package dispatch

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// maxReplyAge is how long a reply or an outcome is offered to a Broker that does not store
// it. All tenants share the delay queues, and each may have 1 MiB and more.
const maxReplyAge = time.Hour

// postpone what came of a call: the callee has done its part, and is not called again
// because a queue of the Broker is full. The event goes to a delay queue by itself.
func (l *lane) postpone(it *item, s *subscription, m *queue.Message, transit event.Transit, why error) {
	slog.WarnContext(it.ctx, "Cannot store the reply or the outcome of a call; trying again", "trigger", s.key(), "event", it.event.ID(), "error", why)
	transit.Phase, transit.Attempts, transit.Due = phaseReply, 1, time.Now().Add(waitAt(0))
	transit.Trigger, transit.Queue = s.uid, l.queue
	switch err := l.putDelayed(it, event.EncodeTransit(m, transit)); {
	case errors.Is(err, errLost):
	case err != nil:
		slog.ErrorContext(it.ctx, "Cannot move the reply or the outcome of a call; the call is delivered again", "queue", l.queue, "error", err)
		it.giveUp()
	default:
		l.w.d.options.Metrics.moved(s, moveReply)
		l.w.d.options.Metrics.outcome(s, resultPostponed)
	}
}

// publishAgain what was postponed. After maxReplyAge it becomes a dead letter.
func (l *lane) publishAgain(it *item, s *subscription) (done bool) {
	transit := it.transit
	transit.Phase, transit.Attempts, transit.Due, transit.Trigger, transit.Queue = "", 0, time.Time{}, "", ""
	err := l.storeReply(it, s, it.event, event.EncodeTransit(it.delivery.Message(), transit))
	switch {
	case errors.Is(err, errLost):
		return true
	case err == nil:
		l.ack(it)
		l.w.d.options.Metrics.outcome(s, resultStored)
		return true
	}
	it.failed++
	age := time.Since(it.transit.Arrival)
	if age <= maxReplyAge {
		it.due = time.Now().Add(waitAt(age))
		return l.move(it, l.message(it, it.delivery.Message()), moveReply)
	}
	slog.WarnContext(it.ctx, "Gave up the reply or the outcome of a call", "trigger", s.key(), "event", it.event.ID(), "attempts", it.failed, "error", err)
	l.w.d.options.Metrics.outcome(s, resultGivenUp)
	failure := undelivered(http.StatusServiceUnavailable, fmt.Errorf("%w: %w", errReplyNotStored, err))
	it.event = annotate(it.event, v1alpha1.AgentBrokerURL(s.broker), failure, it.failed, time.Now())
	return l.offer(it, s)
}
