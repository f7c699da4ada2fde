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

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"

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
	// Observe is told how each event fared, by what it is for: control or approval.
	Observe func(ctx context.Context, what, outcome string)
}

// Register the handler's paths.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /agents/{namespace}/{name}/controls", h.serve("control", h.control))
	mux.HandleFunc("POST /agents/{namespace}/{name}/approvals", h.serve("approval", h.request))
	mux.HandleFunc("GET /agents/{namespace}/{name}/approvals", h.outcome)
}

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
	agent, err := h.agent(r)
	if err != nil {
		return nil, err
	}
	e, err := readEvent(w, r)
	if err != nil {
		return nil, err
	}
	return take(r.Context(), agent, e)
}

// agent of a request's path. One that is not there may be a moment later.
func (h *Handler) agent(r *http.Request) (*v1alpha1.LambdaAgent, error) {
	key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	if len(validation.IsDNS1123Label(key.Namespace)) > 0 || len(validation.IsDNS1123Label(key.Name)) > 0 {
		return nil, refuse(http.StatusBadRequest, "%q is no agent", key)
	}
	return h.Agents.LambdaAgents(key.Namespace).Get(key.Name)
}

func readEvent(w http.ResponseWriter, r *http.Request) (*event.Event, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxEvent)
	message := cehttp.NewMessageFromHttpRequest(r)
	if encoding := message.ReadEncoding(); encoding == binding.EncodingUnknown || encoding == binding.EncodingBatch {
		return nil, refuse(http.StatusUnsupportedMediaType, "expected one CloudEvent, in the binary or the structured mode")
	}
	e, err := binding.ToEvent(r.Context(), message)
	if err == nil {
		err = e.Validate()
	}
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the event is longer than %d bytes", tooLong.Limit)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "not a valid CloudEvent: %s", strings.TrimSpace(err.Error()))
	}
	return e, nil
}

func statusOf(err error) int {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.status
	case apierrs.IsNotFound(err):
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}
