package deadletter

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"

	planeevent "github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/failure"
	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

const (
	// Path below which dead letters are posted, as receiverpath makes it.
	Path = receiverpath.DeadLettersPrefix
	// maxDeadLetter bounds the data of a dead letter, in bytes.
	maxDeadLetter = 16 << 20
	// publishTimeout bounds how long a dead letter waits for its turn and for RabbitMQ.
	publishTimeout = 20 * time.Second
)

// limits of all dead letters, whose key is their namespace. A dead letter has several
// copies while it is stored, and the container has 512 MiB.
var limits = httpserver.Limits{Bytes: 64 << 20, BytesPerKey: 32 << 20, Places: 8, PlacesPerNamespace: 4, Wait: publishTimeout}

// Ingest takes events that a Broker of another class than LambdaBroker could not deliver
// and puts each into the queue of its owner. Only a URL that the operator has made for an
// owner is accepted. It answers 202 only after the queue has the event; a 5xx lets the
// broker keep it and try again.
type Ingest struct {
	Store Store
	// Keys verify that the operator has made a URL.
	Keys *keyring.Store[keyring.Keyring]
	// Observe is called with the outcome of each dead letter.
	Observe func(ctx context.Context, outcome string)

	events *httpapi.EventReader
}

// NewIngest returns a handler for Path with the exported fields of i.
func NewIngest(i Ingest) *Ingest {
	i.events = httpapi.NewEventReader(limits, maxDeadLetter)
	return &i
}

// ServeHTTP implements http.Handler.
func (i *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outcome := "stored"
	if err := i.serve(w, r); err != nil {
		status := httpapi.RefuseEvent(w, err)
		outcome = httpapi.Outcome(status)
		if status != http.StatusServiceUnavailable {
			slog.WarnContext(r.Context(), "Refused a dead letter", "path", receiverpath.Redact(r.URL.Path), "status", status, "reason", err.Error(), "remote", r.RemoteAddr)
		}
	} else {
		w.WriteHeader(http.StatusAccepted)
	}
	i.Observe(r.Context(), outcome)
}

// errForbidden is the one answer to paths that the operator has not made, whether or not
// their owner exists.
var errForbidden = httpapi.Errorf(http.StatusForbidden, "Forbidden", "the URL is not one that the operator has made: use the URL of the owner's status.deadLetterSinkUri or Trigger, which changes when keys are rotated")

func (i *Ingest) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return httpapi.Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "expected POST")
	}
	owner, ok := i.owner(r.URL.Path)
	if !ok {
		return errForbidden
	}
	e, release, err := i.events.Read(w, r, owner.Namespace, clean)
	if err != nil {
		return err
	}
	defer release()
	Annotate(e, time.Now())
	return i.publish(r.Context(), owner, e)
}

// owner of a path that the operator has made.
func (i *Ingest) owner(path string) (Owner, bool) {
	t, code, ok := receiverpath.Parse(path)
	if !ok || t.Purpose != receiverpath.DeadLetters || !t.Verify(i.Keys.Newest(), code) {
		return Owner{}, false
	}
	return Owner{Kind(t.Kind), types.NamespacedName{Namespace: t.Namespace, Name: t.Name}}, true
}

// publish takes a place only once the event has been read: a slow sender holds none. The
// status of its error is 400 or, if another attempt may succeed, 503.
func (i *Ingest) publish(ctx context.Context, owner Owner, e *event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	leave, err := i.events.Enter(ctx, owner.Namespace)
	if err != nil {
		return err
	}
	defer leave()
	err = i.Store.Publish(ctx, owner.Queue(), e)
	var attribute *planeevent.AttributeError
	switch {
	case errors.As(err, &attribute):
		return httpapi.Errorf(http.StatusBadRequest, "InvalidRequest", "%w", err)
	case err != nil:
		return httpapi.Errorf(http.StatusServiceUnavailable, "Unavailable", "%w", err)
	}
	return nil
}

// clean replaces what is not printable in the description of the failure, which is not
// the event's own.
func clean(e *event.Event) {
	for _, name := range []string{knativeErrorData, knativeErrorDest, events.ErrorReasonExtension, events.OriginExtension} {
		if text := extension(e, name); text != "" {
			e.SetExtension(name, receiverpath.Redact(failure.Printable(text)))
		}
	}
}
