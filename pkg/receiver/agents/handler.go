// Package agents takes what concerns agents: controls of their permissions, and
// actions that supervised ones want approved. It keeps all of it in the API server.
package agents

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	typedlambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/typed/lambda/v1alpha1"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// maxEvent bounds what is read of an event.
const maxEvent = 1 << 20

// Audit is told who did what to an agent: an action of events.Audit.
type Audit func(ctx context.Context, who, action string, agent *v1alpha1.LambdaAgent)

// Handler takes events for agents.
type Handler struct {
	Agents   listers.LambdaAgentLister
	Requests listers.ApprovalRequestLister
	Client   typedlambda.LambdaV1alpha1Interface
	Clock    clock.PassiveClock
	// Config returns config-events as it is now.
	Config func() *config.Events
	// Audit is told of permissions that change.
	Audit Audit
	// Observe is called with the outcome of each event, by what it is for: control or
	// approval.
	Observe func(ctx context.Context, what, outcome string)
	// Keys verify that the operator has made a URL.
	Keys *keyring.Store[keyring.Keyring]

	events *httpapi.EventReader
}

// limits of all events, whose key is their namespace.
var limits = httpserver.Limits{Bytes: 16 << 20, BytesPerKey: 8 << 20, Places: 16, PlacesPerNamespace: 8, Wait: 20 * time.Second}

// NewHandler returns a handler with the exported fields of h.
func NewHandler(h Handler) *Handler {
	h.events = httpapi.NewEventReader(limits, maxEvent)
	return &h
}

// Register the handler's paths. Only those that the operator has made are served; all
// others below receiverpath.AgentsPrefix get one answer, whether or not their agent
// exists.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /agents/{namespace}/{name}/controls/{code}", h.serve("control", h.control))
	mux.HandleFunc("POST /agents/{namespace}/{name}/approvals/{code}", h.serve("approval", h.request))
	mux.HandleFunc("GET /agents/{namespace}/{name}/approvals/{code}", h.outcome)
	mux.HandleFunc(receiverpath.AgentsPrefix, func(w http.ResponseWriter, _ *http.Request) {
		httpapi.RefuseEvent(w, errForbidden)
	})
}

// errForbidden is the one answer to paths that the operator has not made.
var errForbidden = httpapi.Errorf(http.StatusForbidden, "", "the URL is not one that the operator has made: use the URL of the agent's Trigger, which changes when keys are rotated")

// serve reads the agent and the event, and answers what take says: an event, or
// nothing where that is nil.
func (h *Handler) serve(what string, take func(context.Context, *v1alpha1.LambdaAgent, *event.Event) (*event.Event, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := h.take(w, r, take)
		status := http.StatusAccepted
		switch {
		case err != nil:
			status = httpapi.RefuseEvent(w, err)
			slog.InfoContext(r.Context(), "Refused an event for an agent", "what", what, "agent", r.PathValue("namespace")+"/"+r.PathValue("name"), "status", status, "reason", err.Error())
		case answer != nil:
			status = http.StatusOK
			if err := cehttp.WriteResponseWriter(binding.WithForceBinary(r.Context()), binding.ToMessage(answer), status, w); err != nil {
				slog.WarnContext(r.Context(), "an answer could not be written", "error", err)
			}
		default:
			w.WriteHeader(status)
		}
		h.Observe(r.Context(), what, httpapi.Outcome(status))
	}
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request, take func(context.Context, *v1alpha1.LambdaAgent, *event.Event) (*event.Event, error)) (*event.Event, error) {
	if err := h.verify(r); err != nil {
		return nil, err
	}
	agent, err := agentOf(h.Agents, r)
	if err != nil {
		return nil, err
	}
	e, release, err := h.events.Read(w, r, agent.Namespace, nil)
	if err != nil {
		return nil, err
	}
	defer release()
	leave, err := h.events.Enter(r.Context(), agent.Namespace)
	if err != nil {
		return nil, err
	}
	defer leave()
	return take(r.Context(), agent, e)
}

// verify that the operator has made the path, for an agent that may have gone.
func (h *Handler) verify(r *http.Request) error {
	t, code, ok := receiverpath.Parse(r.URL.Path)
	if !ok || !t.Verify(h.Keys.Newest(), code) {
		return errForbidden
	}
	return nil
}

// agentOf a request's path. One that is not there may be a moment later.
func agentOf(agents listers.LambdaAgentLister, r *http.Request) (*v1alpha1.LambdaAgent, error) {
	key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if len(validation.IsDNS1123Label(key.Namespace)) > 0 || len(validation.IsDNS1123Label(key.Name)) > 0 {
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "%q is no agent", key)
	}
	return agents.LambdaAgents(key.Namespace).Get(key.Name)
}
