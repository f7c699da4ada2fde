// Package ingress accepts the events that are sent to Brokers over HTTP. It answers 202
// only after the message broker has stored an event for each Trigger that is bound for
// it, and otherwise says why not.
package ingress

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
)

// Defaults of a Handler.
const (
	DefaultMaxBody = 10 << 20
	DefaultTTL     = 255
	DefaultTimeout = 10 * time.Second
)

// Broker to which events are sent.
type Broker struct {
	Namespace, Name string
	UID             types.UID
	// Connection to RabbitMQ that its events are on, empty for the installation's.
	Connection string
	// Unconnected says that its own connection is not known yet.
	Unconnected bool
	// Audience that the tokens of senders must have; nil if the Broker has none.
	Audience *string
	// Policies say who may send events.
	Policies []eventingduckv1.AppliedEventPolicyRef
}

// Brokers of this project's class.
type Brokers interface {
	// Get a Broker; false if there is none of this class.
	Get(namespace, name string) (Broker, bool)
	// Refresh is Get, but newer than the cache where that is possible: after an event for
	// which no Trigger was bound, since the Broker may have been recreated.
	Refresh(ctx context.Context, namespace, name string) (Broker, bool)
}

// Authorizer decides whether a request may send an event to a Broker. The error is a
// *Refusal.
type Authorizer interface {
	Authorize(ctx context.Context, r *http.Request, b Broker, e *cloudevents.Event) error
}

// Callees are whom Brokers deliver asynchronous calls to.
type Callees interface {
	// Has reports whether a Trigger of the Broker delivers the calls of a callee.
	Has(b Broker, c calls.Callee) bool
}

// Handler of requests POST /<namespace>/<broker>, and of asynchronous calls below it. The
// parameters ce-source, ce-type and ce-subject of the query set these attributes of events.
// Zero values of numbers stand for the defaults.
type Handler struct {
	Brokers   Brokers
	Callees   Callees
	Publisher queue.Publisher
	// Connection returns the Publisher of a connection besides that of the installation,
	// nil while it is not open.
	Connection func(name string) queue.Publisher
	Budget     *budget.Budget
	Telemetry  *Telemetry
	Clock      clock.PassiveClock
	// Authorizer is nil where every sender may send.
	Authorizer Authorizer
	// Accepted is called with each event that was accepted; nil is allowed. It must not
	// block.
	Accepted func(ctx context.Context, b Broker, e *cloudevents.Event)
	// MaxBody of a request, in bytes.
	MaxBody int64
	// TTL of events without one: through how many Brokers their replies may go.
	TTL int32
	// Timeout for storing an event.
	Timeout time.Duration
}

// Complete sets the defaults, and returns the handler.
func (h *Handler) Complete() *Handler {
	if h.MaxBody == 0 {
		h.MaxBody = DefaultMaxBody
	}
	if h.TTL == 0 {
		h.TTL = DefaultTTL
	}
	if h.Timeout == 0 {
		h.Timeout = DefaultTimeout
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	if r.Method == http.MethodOptions { // the handshake of webhooks of CloudEvents
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.Header().Set("WebHook-Allowed-Rate", "*")
		return
	}
	t, err := h.targetOf(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	e, err := h.accept(w, r, t)
	switch {
	case err != nil:
		h.refuse(w, r, err)
	case t.callee != nil:
		t.callee.answer(w, r, e.ID())
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// target of a request.
type target struct {
	broker Broker
	callee *callee // nil for an event
}

// accept an event or a call, or say why not.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, t target) (*cloudevents.Event, error) {
	release := h.Budget.Acquire(t.broker.Namespace)
	if release == nil {
		return nil, shareInHand(t.broker.Namespace)
	}
	defer release()
	read := h.readEvent
	if t.callee != nil {
		read = h.readCall
	}
	e, done, err := read(w, r, t)
	if err != nil {
		return nil, err
	}
	defer done()
	return e, h.take(r, t, e)
}

// take an event that was read.
func (h *Handler) take(r *http.Request, t target, e *cloudevents.Event) error {
	if err := httpserver.CheckAttributes(e); err != nil {
		return refusef(http.StatusBadRequest, "invalid", "%s", err)
	}
	if h.Authorizer != nil {
		if err := h.Authorizer.Authorize(r.Context(), r, t.broker, e); err != nil {
			return err
		}
	}
	if err := h.stamp(e); err != nil {
		return err
	}
	hops, err := hopsOf(r.Header)
	if err != nil {
		return err
	}
	if err := h.store(r.Context(), t, e, hops); err != nil {
		return err
	}
	if h.Accepted != nil {
		h.Accepted(r.Context(), t.broker, e)
	}
	return nil
}

// targetOf a request: a Broker, or a callee of one.
func (h *Handler) targetOf(r *http.Request) (target, error) {
	if r.Method != http.MethodPost {
		return target{}, refusef(http.StatusMethodNotAllowed, "method", "method %s is not allowed; send events with POST", r.Method)
	}
	path := strings.Split(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/"), "/")
	if len(path) < 2 || path[0] == "" || path[1] == "" || len(path) > 2 && path[2] != calls.Segment {
		return target{}, refusef(http.StatusNotFound, "not_found",
			"%q is no Broker; send events to /<namespace>/<name of the Broker>", clip(r.URL.Path))
	}
	broker, ok := h.Brokers.Get(path[0], path[1])
	switch {
	case !ok:
		return target{}, noBroker(path[0], path[1])
	case len(path) == 2:
		return target{broker: broker}, nil
	}
	c, err := h.calleeOf(broker, path[3:])
	return target{broker, c}, err
}

func noBroker(namespace, name string) error {
	return refusef(http.StatusNotFound, "not_found", "namespace %q has no Broker %q of class LambdaBroker", clip(namespace), clip(name))
}

func shareInHand(namespace string) error {
	r := refusef(http.StatusTooManyRequests, "share", "namespace %s has its share of events in hand; send the event again later", namespace)
	r.RetryAfter = retryShare
	return r
}

// readEvent reads an event. The query of the request sets attributes of it.
func (h *Handler) readEvent(w http.ResponseWriter, r *http.Request, t target) (*cloudevents.Event, func(), error) {
	e, done, err := h.read(w, r, t)
	if err != nil {
		return nil, nil, err
	}
	if err := event.SetByQuery(e, r.URL.RawQuery); err != nil {
		done()
		return nil, nil, refusef(http.StatusBadRequest, "attributes", "%v", err)
	}
	return e, done, nil
}

// read the event of a request. Call done when the event is no longer in memory.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, t target) (e *cloudevents.Event, done func(), err error) {
	if err := checkHeader(r.Header); err != nil {
		return nil, nil, err
	}
	e, done, err = httpserver.ReadEvent(w, r, h.MaxBody, h.Budget.Bodies(), t.broker.Namespace)
	if err != nil {
		return nil, nil, unread(t.broker, err)
	}
	return e, done, nil
}

// unread is the refusal of a request whose body could not be read.
func unread(b Broker, err error) error {
	var refused *httpserver.EventError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusRequestEntityTooLarge:
		return refusef(refused.Status, "too_large", "%s", refused.Message)
	case http.StatusServiceUnavailable:
		return shareInHand(b.Namespace)
	case http.StatusRequestTimeout:
		return refusef(refused.Status, "aborted", "%s", refused.Message)
	}
	return refusef(http.StatusBadRequest, "invalid", "%s", refused.Message)
}

// checkHeader refuses names of attributes that the SDK refuses without naming them.
func checkHeader(header http.Header) error {
	for name := range header {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		if err := event.CheckName(attribute); err != nil {
			return refusef(http.StatusBadRequest, "attributes", "%v", err)
		}
	}
	return nil
}

// refuse a request with the reason.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		slog.ErrorContext(r.Context(), "A request failed", "path", clip(r.URL.Path), "error", err)
		refusal = refusef(http.StatusInternalServerError, "unavailable", "internal error")
	}
	h.Telemetry.refused(r.Context(), refusal.Reason)
	refusal.write(w)
}
