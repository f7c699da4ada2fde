package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"
	eventingbroker "knative.dev/eventing/pkg/broker"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
)

// defaultTTL of an event whose ingress set none.
const defaultTTL = 255

// send an event to the subscriber.
func (l *lane) send(it *item, s *subscription) *delivery.Result {
	if it.failed == int(it.transit.Attempts) {
		l.w.d.options.Metrics.processed(it, s)
	}
	r := &delivery.Request{
		Namespace: s.namespace, To: s.subscriber, Event: it.event, Format: s.format,
		ServiceAccount: s.serviceAccount, Timeout: s.policy.RequestTimeout(), Reply: true, Hops: it.transit.Hops,
	}
	if s.reports() {
		r.KeepBody = maxResult
	}
	return l.exchange(it, s, r)
}

// exchange one request. A panic is a failed attempt.
func (l *lane) exchange(it *item, s *subscription, r *delivery.Request) (result *delivery.Result) {
	ctx, cancel := l.sendContext(it)
	defer cancel()
	ctx, end := l.w.d.options.Metrics.span(it.transit.ExtractTrace(ctx), it, s)
	defer func() {
		if p := recover(); p != nil {
			err := fmt.Errorf("the delivery panicked: %v", p)
			slog.ErrorContext(ctx, "A delivery panicked", "trigger", s.key(), "event", it.event.ID(), "panic", p)
			result = &delivery.Result{Status: delivery.NoAnswer, Err: err, Data: []byte("the delivery panicked"), Retry: true}
		}
		l.w.d.options.Metrics.dispatched(ctx, s, result)
		end(result)
	}()
	return l.w.d.options.Sender.Send(ctx, r)
}

// sendContext is that of the channel for an ordered queue, as another replica has the
// event as soon as the channel is lost.
func (l *lane) sendContext(it *item) (context.Context, context.CancelFunc) {
	if !l.ordered {
		return l.withoutChannel(it)
	}
	ctx, cancel := context.WithCancel(it.ctx)
	stop := context.AfterFunc(l.w.d.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// reply publishes the reply of a delivered event, and the outcome of a call. The result is
// a failure if the reply cannot be stored: the subscriber is called again. That of a call
// is not, because its reply waits in a delay queue.
func (l *lane) reply(it *item, s *subscription, delivered *delivery.Result) *delivery.Result {
	if delivered.Reply != nil {
		if failure := l.publish(it, s, delivered.Reply); failure != nil {
			return failure
		}
	}
	if s.reports() && !it.lost() {
		l.succeeded(it, s, delivered)
	}
	return delivered
}

// publish an event that follows from the one in hand. The result is nil if it is stored,
// if the events that lead to it have used up their TTL, or if the event in hand is lost.
func (l *lane) publish(it *item, s *subscription, e *cloudevents.Event) *delivery.Result {
	ttl, err := eventingbroker.GetTTL(it.event.Context)
	if err != nil {
		ttl = defaultTTL
	}
	if ttl <= 1 {
		slog.WarnContext(it.ctx, "Dropped a reply: the events that lead to it have used up their TTL", "trigger", s.key(), "event", it.event.ID())
		l.w.d.options.Metrics.delivered(s, outcomeReplyExpired)
		return nil
	}
	now := time.Now()
	e.SetExtension(eventingbroker.TTLAttribute, ttl-1)
	e.SetExtension(eventingbroker.EventArrivalTime, cetypes.Timestamp{Time: now})
	m, err := event.Encode(e)
	if err == nil {
		err = event.CheckSize(m)
	}
	if err != nil {
		return undelivered(http.StatusBadGateway, fmt.Errorf("the reply %w: %w", errNotStorable, err))
	}
	transit := event.Transit{
		Arrival: now, Hops: it.transit.Hops, Traceparent: it.transit.Traceparent, Tracestate: it.transit.Tracestate,
	}
	err = l.storeReply(it, s, e, event.EncodeTransit(m, transit))
	switch {
	case errors.Is(err, errLost):
		return nil
	case err == nil:
		if s.reports() {
			l.w.d.options.Metrics.outcome(s, resultStored)
		}
		return nil
	case s.reports():
		l.postpone(it, s, m, transit, err)
		return nil
	}
	return undelivered(http.StatusServiceUnavailable, fmt.Errorf("%w: %w", errReplyNotStored, err))
}

// storeReply publishes an event to the Broker.
func (l *lane) storeReply(it *item, s *subscription, e *cloudevents.Event, m *queue.Message) error {
	keys := routing.Keys(s.brokerUID, e.Type(), e.Source())
	err := l.store(it, func(ctx context.Context) error { return l.w.d.publishReply(ctx, s, keys, m) })
	if err != nil && !errors.Is(err, queue.ErrUnrouted) {
		return err
	}
	if replied := l.w.d.options.Replied; replied != nil {
		replied(it.ctx, s.broker, s.brokerUID, e)
	}
	return nil
}

// errReplyNotStored is the error of an event that the Broker did not store.
var errReplyNotStored = errors.New("the reply cannot be stored")

// errNotStorable is the error of an event that RabbitMQ could not hold.
var errNotStorable = errors.New("cannot be stored")

func undelivered(status int, err error) *delivery.Result {
	return &delivery.Result{Status: status, Err: err, Data: []byte(err.Error()), Retry: true}
}
