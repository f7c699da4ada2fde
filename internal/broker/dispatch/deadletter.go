package dispatch

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"knative.dev/eventing/pkg/kncloudevents/attributes"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// maxErrorDest bounds the URL that a dead letter names, in bytes.
const maxErrorDest = 1024

var (
	errFullQueue     = errors.New("the queue of the Trigger is full")
	errTargetDeleted = errors.New("the event is not delivered")
	errNoDeadLetter  = errors.New("the dead letter has no sink and no queue")
)

// fullQueue is the result of an event that is not delivered because of errFullQueue.
func fullQueue() *delivery.Result {
	return &delivery.Result{Status: http.StatusServiceUnavailable, Err: errFullQueue, Data: []byte(errFullQueue.Error())}
}

// targetDeleted is the result of an event whose target was deleted. No attempt is made.
func targetDeleted(target string) *delivery.Result {
	err := fmt.Errorf("%w: agent %s was deleted", errTargetDeleted, target)
	return &delivery.Result{Status: delivery.NoAnswer, Err: err, Data: fmt.Appendf(nil, "agent %s was deleted", target)}
}

// bury makes a dead letter of an event: it goes to the sink, or to the queue of dead
// letters, or to a delay queue until one of them accepts it.
func (l *lane) bury(it *item, s *subscription, failure *delivery.Result) (done bool) {
	slog.WarnContext(it.ctx, "Gave up an event", "trigger", s.key(), "event", it.event.ID(), "source", it.event.Source(),
		"attempts", it.failed, "status", failure.Status, "error", failure.Err)
	it.event = annotate(it.event, s.destination(), failure, it.failed, time.Now())
	next := l.offer
	if s.deadLetterQueue != "" && (errors.Is(failure.Err, errFullQueue) || errors.Is(failure.Err, errTargetDeleted)) {
		next = l.enqueue // there may be many, and a sink may be as slow as the subscriber
	}
	return l.conclude(it, s, next)
}

// offer a dead letter to the sink, and after maxSinkAge to the queue.
func (l *lane) offer(it *item, s *subscription) (done bool) {
	age := time.Since(deadTime(it.event))
	if s.sink == nil || age > maxSinkAge {
		if s.deadLetterQueue == "" {
			return l.drop(it, s, errNoDeadLetter)
		}
		return l.enqueue(it, s)
	}
	timeout := s.policy.RequestTimeout()
	if l.ordered {
		timeout = min(timeout, orderedSinkTimeout)
	}
	result := l.exchange(it, s, &delivery.Request{
		Namespace: s.namespace, To: *s.sink, Event: it.event, Format: s.format, ServiceAccount: s.serviceAccount, Timeout: timeout,
		Hops: it.transit.Hops,
	})
	switch {
	case l.abandoned(it):
		return true
	case result.Err == nil:
		return l.settle(it, outcomeDeadLetter)
	}
	slog.WarnContext(it.ctx, "A dead letter sink did not accept an event; trying again",
		"trigger", s.key(), "event", it.event.ID(), "error", result.Err)
	return l.delayDeadLetter(it, age)
}

// enqueue a dead letter in the queue of dead letters.
func (l *lane) enqueue(it *item, s *subscription) (done bool) {
	m, err := encodeDeadLetter(it.event)
	if err != nil {
		return l.drop(it, s, err)
	}
	err = l.store(it, func(ctx context.Context) error { return l.putDeadLetter(ctx, s.deadLetterQueue, m) })
	switch {
	case errors.Is(err, errLost):
		return true
	case err != nil: // it is full, or not there
		slog.WarnContext(it.ctx, "Cannot store a dead letter; trying again", "queue", s.deadLetterQueue, "event", it.event.ID(), "error", err)
		return l.delayDeadLetter(it, time.Since(deadTime(it.event)))
	}
	return l.settle(it, outcomeDeadLetter)
}

// delayDeadLetter moves a dead letter to a delay queue.
func (l *lane) delayDeadLetter(it *item, age time.Duration) (done bool) {
	m, err := encodeDeadLetter(it.event)
	if err != nil {
		return l.drop(it, l.w.current.Load(), err)
	}
	it.transit.Phase, it.due = phaseSink, time.Now().Add(waitAt(age))
	return l.move(it, l.message(it, m), moveSink)
}

// waitAt an age is how long an event waits for a place that does not accept it: the older
// it is, the longer. The delays are those of the queues, so that it need not wait in hand.
func waitAt(age time.Duration) time.Duration {
	wait := delay.Steps[0]
	for _, step := range delay.Steps[1:] {
		if age > step {
			wait = step
		}
	}
	return wait
}

// drop an event that has nowhere to go.
func (l *lane) drop(it *item, s *subscription, why error) (done bool) {
	trigger := ""
	if s != nil {
		trigger = s.key()
	}
	slog.ErrorContext(it.ctx, "Dropped an event that could not be delivered",
		"trigger", trigger, "event", it.event.ID(), "source", it.event.Source(), "reason", why)
	return l.settle(it, outcomeDropped)
}

// malformed settles a message that is no event: it is kept with the dead letters if
// there are any.
func (l *lane) malformed(it *item, why error) {
	none := cloudevents.New()
	it.event = &none
	s := l.w.current.Load()
	if s == nil || s.deadLetterQueue == "" {
		l.drop(it, s, why)
		return
	}
	err := l.store(it, func(ctx context.Context) error {
		return l.putDeadLetter(ctx, s.deadLetterQueue, it.delivery.Message())
	})
	switch {
	case errors.Is(err, errLost):
	case err != nil:
		_ = l.delay(it)
	default:
		l.settle(it, outcomeDeadLetter)
	}
}

// annotate a copy of the event with why it could not be delivered.
func annotate(e *cloudevents.Event, destination *apis.URL, failure *delivery.Result, attempts int, now time.Time) *cloudevents.Event {
	dead := e.Clone()
	if destination != nil {
		to := receiverpath.Redact(destination.URL().Redacted())
		dead.SetExtension(attributes.KnativeErrorDestExtensionKey, to[:min(len(to), maxErrorDest)])
	}
	dead.SetExtension(attributes.KnativeErrorCodeExtensionKey, failure.ErrorCode())
	dead.SetExtension(attributes.KnativeErrorDataExtensionKey, base64.StdEncoding.EncodeToString(failure.Data))
	dead.SetExtension(events.ErrorCodeExtension, strconv.Itoa(failure.Status))
	dead.SetExtension(events.AttemptsExtension, strconv.Itoa(attempts))
	dead.SetExtension(events.DeadTimeExtension, now.UTC().Format(time.RFC3339))
	return &dead
}

// deadTime of a dead letter; now if it has none.
func deadTime(e *cloudevents.Event) time.Time {
	text, _ := e.Extensions()[events.DeadTimeExtension].(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at
	}
	return time.Now()
}

// encodeDeadLetter leaves the failure's data out if there is no room for it.
func encodeDeadLetter(e *cloudevents.Event) (*queue.Message, error) {
	m, err := event.Encode(e)
	if err == nil {
		return m, nil
	}
	short := e.Clone()
	short.SetExtension(attributes.KnativeErrorDataExtensionKey, nil)
	short.SetExtension(attributes.KnativeErrorDestExtensionKey, nil)
	return event.Encode(&short)
}
