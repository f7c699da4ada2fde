package ingress

import (
	"encoding/json"
	"mime"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventingbroker "knative.dev/eventing/pkg/broker"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// CallIDHeader of the response to a call is the id of its event.
const CallIDHeader = "Lambda-Call-Id"

// callee of asynchronous calls.
type callee struct{ calls.Callee }

// calleeOf the path behind the Broker: kind and name.
func (h *Handler) calleeOf(b Broker, path []string) (*callee, error) {
	if len(path) != 2 {
		return nil, refusef(http.StatusNotFound, "not_found",
			"expected a path that ends with /%s/function/<name> or /%s/agent/<name>", calls.Segment, calls.Segment)
	}
	c := calls.Callee{Kind: receiverv1.Kind(path[0]), NamespacedName: types.NamespacedName{Namespace: b.Namespace, Name: path[1]}}
	if h.Callees == nil || !h.Callees.Has(b, c) {
		return nil, refusef(http.StatusNotFound, "not_found",
			"Broker %s/%s delivers no calls to %s %q: check that it is Ready, has eventing.enabled, and uses this Broker",
			b.Namespace, b.Name, clip(path[0]), clip(path[1]))
	}
	return &callee{c}, nil
}

// maxCallID bounds the id of a call, in bytes: outcomes are found by it.
const maxCallID = 1024

// readCall makes an event of a request. A request that is an event keeps its id, time,
// extensions and data. Its type and subject are those by which it is delivered. Its source
// is the ingress: functions pass on calls from outside the cluster, whose senders must not
// choose by which Triggers of the Broker they are taken. A TTL of its own would end the
// outcome.
func (h *Handler) readCall(w http.ResponseWriter, r *http.Request, t target) (e *cloudevents.Event, done func(), err error) {
	if cehttp.NewMessage(r.Header, http.NoBody).ReadEncoding() != binding.EncodingUnknown {
		e, done, err = h.read(w, r, t)
	} else {
		e, done, err = h.readPlain(w, r, t)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(e.ID()) > maxCallID {
		done()
		return nil, nil, refusef(http.StatusBadRequest, "attributes", "attribute id has %d bytes, expected at most %d", len(e.ID()), maxCallID)
	}
	e.SetType(events.InvokeAsync)
	e.SetSubject(t.callee.Subject())
	e.SetSource(events.Source("ingress", t.broker.Namespace, t.broker.Name))
	e.SetExtension(eventingbroker.TTLAttribute, nil)
	return e, done, nil
}

// readPlain makes an event of any body, without what readCall sets.
func (h *Handler) readPlain(w http.ResponseWriter, r *http.Request, t target) (e *cloudevents.Event, done func(), err error) {
	if text := r.Header.Get("Content-Type"); text != "" {
		if _, _, err := mime.ParseMediaType(text); err != nil {
			return nil, nil, refusef(http.StatusBadRequest, "invalid", "Content-Type: expected a media type such as application/json, got %q", clip(text))
		}
	}
	body, done, err := httpserver.ReadBody(w, r, h.MaxBody, h.Budget.Bodies(), t.broker.Namespace)
	if err != nil {
		return nil, nil, unread(t.broker, err)
	}
	call := cloudevents.New()
	call.SetID(uuid.NewString())
	call.SetTime(h.Clock.Now().UTC())
	if len(body) > 0 {
		ceio.SetBody(&call, r.Header.Get("Content-Type"), body)
	}
	return &call, done, nil
}

// answer a call that was stored.
func (c *callee) answer(w http.ResponseWriter, r *http.Request, id string) {
	header := w.Header()
	if events.PrefersAsync(r.Header) {
		header.Set("Preference-Applied", events.RespondAsync)
	}
	header.Set(CallIDHeader, id)
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(receiverv1.Call{ID: id}) // else the client went away
}

// IndexedCallees are those of the Triggers in a cache with the index calls.Index.
type IndexedCallees struct{ Triggers cache.Indexer }

// Has implements Callees.
func (i IndexedCallees) Has(b Broker, c calls.Callee) bool {
	found, err := i.Triggers.IndexKeys(calls.Index, calls.IndexKey(b.Name, c))
	return err == nil && len(found) > 0
}
