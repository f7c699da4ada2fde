package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"
	"go.opentelemetry.io/otel/trace"
	eventingbroker "knative.dev/eventing/pkg/broker"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// stamp what a Broker adds to an event: its time of arrival, and its TTL if it has none.
// A TTL that is used up ends a loop of replies.
func (h *Handler) stamp(e *cloudevents.Event) error {
	ttl := h.TTL
	if value, ok := e.Extensions()[eventingbroker.TTLAttribute]; ok {
		given, err := cetypes.ToInteger(value)
		if err != nil {
			return refusef(http.StatusBadRequest, "ttl",
				"attribute %s is no integer: %s", eventingbroker.TTLAttribute, clip(fmt.Sprint(value)))
		}
		ttl = min(ttl, given)
	}
	if ttl <= 0 {
		return refusef(http.StatusBadRequest, "ttl",
			"attribute %s is used up: replies have sent the event through too many Brokers", eventingbroker.TTLAttribute)
	}
	e.SetExtension(eventingbroker.TTLAttribute, ttl)
	e.SetExtension(eventingbroker.EventArrivalTime, cetypes.Timestamp{Time: h.Clock.Now().UTC()})
	return nil
}

// hopsOf an event that a Trigger delivers to this Broker, with this one. The TTL does not
// end a loop of such Triggers: subscribers get no TTL, and two Triggers in a loop would
// double the event with each round.
func hopsOf(header http.Header) (int32, error) {
	text := header.Get(delivery.HopsHeader)
	if text == "" {
		return 1, nil
	}
	hops, err := strconv.ParseInt(text, 10, 32)
	if err != nil || hops < 0 {
		return 0, refusef(http.StatusBadRequest, "ttl", "header %s is no number: %s", delivery.HopsHeader, clip(text))
	}
	if hops >= events.MaxHops {
		return 0, refusef(http.StatusBadRequest, "ttl",
			"the event has come through %d Brokers, the most that are allowed: check whether Triggers deliver to each other's Brokers in a loop", hops)
	}
	return int32(hops) + 1, nil
}

// store an event for the Triggers of a Broker.
func (h *Handler) store(ctx context.Context, t target, e *cloudevents.Event, hops int32) error {
	ctx, span := h.Telemetry.span(ctx, t.broker, e)
	defer span.End()
	m, err := event.Encode(e)
	if err == nil {
		err = event.CheckSize(m)
	}
	if err != nil {
		return refusef(http.StatusBadRequest, "attributes", "%v", err)
	}
	transit := event.Transit{Arrival: h.Clock.Now(), Hops: hops}
	transit.InjectTrace(ctx)
	started := h.Clock.Now()
	err = h.publish(ctx, t, e, event.EncodeTransit(m, transit))
	h.Telemetry.stored(ctx, t.broker, statusOf(err), h.Clock.Since(started))
	if err != nil {
		span.RecordError(err)
	}
	return err
}

func statusOf(err error) int {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Status
	}
	return http.StatusAccepted
}

// publish a message, and once more if the Broker was recreated meanwhile. An event for
// which no Trigger is bound is accepted all the same, and a call is not: it would be lost.
func (h *Handler) publish(ctx context.Context, t target, e *cloudevents.Event, m *queue.Message) error {
	b := t.broker
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	publisher, err := h.publisherOf(b)
	if err != nil {
		return err
	}
	err = publisher.Publish(ctx, routing.Keys(b.UID, e.Type(), e.Source()), m)
	if errors.Is(err, queue.ErrUnrouted) {
		current, ok := h.Brokers.Refresh(ctx, b.Namespace, b.Name)
		if !ok {
			return noBroker(b.Namespace, b.Name)
		}
		if current.UID != b.UID || current.Connection != b.Connection {
			if publisher, err = h.publisherOf(current); err != nil {
				return err
			}
			err = publisher.Publish(ctx, routing.Keys(current.UID, e.Type(), e.Source()), m)
		}
	}
	switch {
	case errors.Is(err, queue.ErrUnrouted) && t.callee != nil:
		return unavailable("unavailable", retryUnavailable, "the Trigger that delivers the calls is not bound yet; send the call again later")
	case errors.Is(err, queue.ErrUnrouted):
		h.Telemetry.unrouted(ctx)
		trace.SpanFromContext(ctx).AddEvent("no Trigger is bound for the event")
		return nil
	}
	return refusalOf(err)
}

// publisherOf the connection of a Broker. Others than that of the installation fail alone.
func (h *Handler) publisherOf(b Broker) (queue.Publisher, error) {
	switch {
	case b.Unconnected:
	case b.Connection == "":
		return h.Publisher, nil
	case h.Connection != nil:
		if p := h.Connection(b.Connection); p != nil {
			return p, nil
		}
	}
	return nil, unavailable("unavailable", retryUnavailable, "the Broker has no connection to its RabbitMQ yet: see its condition RabbitMQReady")
}

// refusalOf an error of the Publisher. Each is worth another attempt.
func refusalOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, queue.ErrBlocked):
		return unavailable("blocked", retryBlocked, "the Broker accepts no events at the moment: RabbitMQ is short of memory or disk")
	case errors.Is(err, queue.ErrFull):
		return unavailable("full", retryUnavailable, "the queue of a Trigger is full; others may have the event already")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, queue.ErrUnavailable):
		return unavailable("unavailable", retryUnavailable, "RabbitMQ did not confirm the event; it may have been stored nevertheless")
	case errors.Is(err, context.Canceled):
		return unavailable("aborted", retryUnavailable,
			"the request ended before RabbitMQ confirmed the event; it may have been stored nevertheless")
	}
	return unavailable("unavailable", retryUnavailable, "the event could not be stored")
}

func unavailable(reason string, after time.Duration, message string) error {
	return &Refusal{Status: http.StatusServiceUnavailable, Reason: reason, Message: message + "; send it again later", RetryAfter: after}
}
