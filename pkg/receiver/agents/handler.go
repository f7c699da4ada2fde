// Package agents takes what concerns agents: controls of their permissions, and
// actions that supervised ones want approved. It keeps all of it in the API server.
package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
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

	gate *httpserver.Gate
}

// limits of all events, whose key is their namespace.
var limits = httpserver.Limits{Bytes: 16 << 20, BytesPerKey: 8 << 20, Places: 16, PlacesPerNamespace: 8, Wait: 20 * time.Second}

// NewHandler returns a handler with the exported fields of h.
func NewHandler(h Handler) *Handler {
	h.gate = httpserver.NewGate(limits)
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
		http.Error(w, errForbidden.Error(), statusOf(errForbidden))
	})
}

// errForbidden is the one answer to paths that the operator has not made.
var errForbidden = refuse(http.StatusForbidden, "the URL is not one that the operator has made: use the URL of the agent's Trigger, which changes when keys are rotated")

// refusal is what a sender is told. 4xx other than 404, 408, 409 and 429 end a
// broker's tries; what may pass by itself does not.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// serve reads the agent and the event, and answers what take says: an event, or
// nothing where that is nil.
func (h *Handler) serve(what string, take func(context.Context, *v1alpha1.LambdaAgent, *event.Event) (*event.Event, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := h.take(w, r, take)
		status := http.StatusAccepted
		switch {
		case err != nil:
			status = statusOf(err)
			slog.InfoContext(r.Context(), "an event for an agent was refused", "what", what, "agent", r.PathValue("namespace")+"/"+r.PathValue("name"), "status", status, "reason", err.Error())
			if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "1")
			}
			http.Error(w, err.Error(), status)
		case answer != nil:
			status = http.StatusOK
			if err := cehttp.WriteResponseWriter(binding.WithForceBinary(r.Context()), binding.ToMessage(answer), status, w); err != nil {
				slog.WarnContext(r.Context(), "an answer could not be written", "error", err)
			}
		default:
			w.WriteHeader(status)
		}
		h.Observe(r.Context(), what, strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_")))
	}
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request, take func(context.Context, *v1alpha1.LambdaAgent, *event.Event) (*event.Event, error)) (*event.Event, error) {
	if err := h.verify(r); err != nil {
		return nil, err
	}
	agent, err := h.agent(r)
	if err != nil {
		return nil, err
	}
	e, release, err := h.gate.ReadEvent(w, r, maxEvent, agent.Namespace)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := httpserver.CheckAttributes(e); err != nil {
		return nil, err
	}
	leave, err := h.gate.Enter(r.Context(), agent.Namespace)
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

// agent of a request's path. One that is not there may be a moment later.
func (h *Handler) agent(r *http.Request) (*v1alpha1.LambdaAgent, error) {
	key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if len(validation.IsDNS1123Label(key.Namespace)) > 0 || len(validation.IsDNS1123Label(key.Name)) > 0 {
		return nil, refuse(http.StatusBadRequest, "%q is no agent", key)
	}
	return h.Agents.LambdaAgents(key.Namespace).Get(key.Name)
}

func statusOf(err error) int {
	var r *refusal
	var event *httpserver.EventError
	switch {
	case errors.As(err, &r):
		return r.status
	case errors.As(err, &event):
		return event.Status
	case apierrs.IsNotFound(err):
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}
