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

// Handler of requests POST /<namespace>/<broker>. The parameters ce-source, ce-type and
// ce-subject of the query set these attributes of the event. Zero values of numbers stand for the
// defaults.
type Handler struct {
	Brokers   Brokers
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
	if err := h.accept(w, r); err != nil {
		h.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// accept an event, or say why not.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return refusef(http.StatusMethodNotAllowed, "method", "method %s is not allowed; send events with POST", r.Method)
	}
	broker, err := h.brokerOf(r.URL.Path)
	if err != nil {
		return err
	}
	release := h.Budget.Acquire(broker.Namespace)
	if release == nil {
		return shareInHand(broker.Namespace)
	}
	defer release()
	e, done, err := h.read(w, r, broker)
	if err != nil {
		return err
	}
	defer done()
	if err := event.SetByQuery(e, r.URL.RawQuery); err != nil {
		return refusef(http.StatusBadRequest, "attributes", "%v", err)
	}
	if err := httpserver.CheckAttributes(e); err != nil {
		return refusef(http.StatusBadRequest, "invalid", "%s", err)
	}
	if h.Authorizer != nil {
		if err := h.Authorizer.Authorize(r.Context(), r, broker, e); err != nil {
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
	if err := h.store(r.Context(), broker, e, hops); err != nil {
		return err
	}
	if h.Accepted != nil {
		h.Accepted(r.Context(), broker, e)
	}
	return nil
}

func (h *Handler) brokerOf(path string) (Broker, error) {
	namespace, name, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return Broker{}, refusef(http.StatusNotFound, "not_found",
			"%q is no Broker; send events to /<namespace>/<name of the Broker>", clip(path))
	}
	broker, ok := h.Brokers.Get(namespace, name)
	if !ok {
		return Broker{}, noBroker(namespace, name)
	}
	return broker, nil
}

func noBroker(namespace, name string) error {
	return refusef(http.StatusNotFound, "not_found", "namespace %q has no Broker %q of class LambdaBroker", clip(namespace), clip(name))
}

func shareInHand(namespace string) error {
	r := refusef(http.StatusTooManyRequests, "share", "namespace %s has its share of events in hand; send the event again later", namespace)
	r.RetryAfter = retryShare
	return r
}

// read the event of a request. Call done when the event is no longer in memory.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, b Broker) (e *cloudevents.Event, done func(), err error) {
	if err := checkHeader(r.Header); err != nil {
		return nil, nil, err
	}
	e, done, err = httpserver.ReadEvent(w, r, h.MaxBody, h.Budget.Bodies(), b.Namespace)
	if err == nil {
		return e, done, nil
	}
	var refused *httpserver.EventError
	if !errors.As(err, &refused) {
		return nil, nil, err
	}
	switch refused.Status {
	case http.StatusRequestEntityTooLarge:
		return nil, nil, refusef(refused.Status, "too_large", "%s", refused.Message)
	case http.StatusServiceUnavailable:
		return nil, nil, shareInHand(b.Namespace)
	case http.StatusRequestTimeout:
		return nil, nil, refusef(refused.Status, "aborted", "%s", refused.Message)
	}
	return nil, nil, refusef(http.StatusBadRequest, "invalid", "%s", refused.Message)
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
