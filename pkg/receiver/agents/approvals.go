package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/schema"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// MaxPending requests of one agent.
const MaxPending = 100

// request keeps an action that an agent asks for. An event that comes again makes no
// second request, and is answered with the outcome where there is one. A request that
// nobody could decide is answered with a denial, so that the agent does not wait.
func (h *Handler) request(ctx context.Context, agent *v1alpha1.LambdaAgent, e *event.Event) (*event.Event, error) {
	switch {
	case agent.Spec.OperationMode != v1alpha1.ModeSupervised || agent.Spec.Approval == nil:
		return nil, httpapi.Errorf(http.StatusForbidden, "", "agent %s/%s is not supervised", agent.Namespace, agent.Name)
	case e.Type() != events.ApprovalRequested:
		return nil, httpapi.Errorf(http.StatusForbidden, "", "expected type %s, got %q", events.ApprovalRequested, e.Type())
	case agent.Spec.ActiveEventing() == nil || e.Source() != agent.EventSource():
		return nil, httpapi.Errorf(http.StatusForbidden, "", "agent %s/%s asks from another source than %q", agent.Namespace, agent.Name, e.Source())
	}
	asked, hops, err := read(e)
	if err != nil {
		return h.deny(agent, e, hops, err)
	}
	requests := h.Client.ApprovalRequests(agent.Namespace)
	existing, err := requests.Get(ctx, approval.Name(agent, e.ID()), metav1.GetOptions{})
	if apierrs.IsNotFound(err) {
		if err := h.bounded(agent); err != nil {
			return nil, err
		}
		_, err = requests.Create(ctx, approval.New(agent, e.ID(), asked, e.Data(), hops, h.Clock.Now()), metav1.CreateOptions{})
		if apierrs.IsAlreadyExists(err) { // another replica has just made it
			err = nil
		}
		return nil, err
	} else if err != nil {
		return nil, err
	}
	if existing.Status.Decision == "" || existing.Status.ToldTime == nil {
		return nil, nil // the agent is to be told
	}
	return approval.Event(existing.Namespace, agent.Name, approval.Outcome(existing), existing.Spec.Hops, existing.Status.DecidedTime.Time)
}

// read what an event asks for.
func read(e *event.Event) (asked *events.ApprovalRequest, hops int32, err error) {
	if text, ok := e.Extensions()[events.HopsExtension]; ok {
		n, err := strconv.ParseInt(fmt.Sprint(text), 10, 32)
		if err != nil || n < 0 || n >= events.MaxHops {
			return nil, events.MaxHops, fmt.Errorf("%s: expected a whole number below %d, got %q", events.HopsExtension, events.MaxHops, fmt.Sprint(text))
		}
		hops = int32(n)
	}
	switch data := e.Data(); {
	case len(data) > approval.MaxData:
		return nil, hops, fmt.Errorf("data: longer than %d bytes", approval.MaxData)
	case utf8.RuneCountInString(e.ID()) > approval.MaxID:
		return nil, hops, fmt.Errorf("id: longer than %d characters", approval.MaxID)
	default:
		if err := schema.Validate(events.ApprovalRequested, data); err != nil {
			return nil, hops, fmt.Errorf("data: %w", err)
		}
		asked = &events.ApprovalRequest{}
		if err := json.Unmarshal(data, asked); err != nil {
			return nil, hops, fmt.Errorf("data: %w", err)
		}
	}
	if n := utf8.RuneCountInString(asked.Action); n == 0 || n > approval.MaxAction {
		return nil, hops, fmt.Errorf("data: action: expected 1 to %d characters", approval.MaxAction)
	}
	return asked, hops, nil
}

// deny what cannot be asked: the broker passes the answer on to the agent.
func (h *Handler) deny(agent *v1alpha1.LambdaAgent, e *event.Event, hops int32, why error) (*event.Event, error) {
	return approval.Event(agent.Namespace, agent.Name, &events.ApprovalOutcome{
		Request: e.ID(), Decision: string(v1alpha1.ApprovalDenied), DecidedBy: approval.ByReceiver, Reason: approval.Shorten(why.Error()),
	}, hops, h.Clock.Now())
}

// bounded refuses more requests than anybody can decide; the broker brings them again.
func (h *Handler) bounded(agent *v1alpha1.LambdaAgent) error {
	all, err := h.Requests.ApprovalRequests(agent.Namespace).List(labels.SelectorFromSet(labels.Set{lambda.AgentLabelKey: agent.Name}))
	if err != nil {
		return err
	}
	pending := 0
	for _, r := range all {
		if r.Status.Decision == "" {
			pending++
		}
	}
	if pending >= MaxPending {
		return httpapi.Errorf(http.StatusTooManyRequests, "", "%d requests of agent %s/%s wait for a decision: no more fit", pending, agent.Namespace, agent.Name)
	}
	return nil
}

// outcome returns what was decided of an agent's request, for agents that trust the
// receiver only: anything that reaches their broker can send an event.
func (h *Handler) outcome(w http.ResponseWriter, r *http.Request) {
	var agent *v1alpha1.LambdaAgent
	err := h.verify(r)
	if err == nil {
		agent, err = agentOf(h.Agents, r)
	}
	if err != nil {
		httpapi.RefuseEvent(w, err)
		return
	}
	id := r.URL.Query().Get("id")
	request, err := h.Requests.ApprovalRequests(agent.Namespace).Get(approval.Name(agent, id))
	switch {
	case apierrs.IsNotFound(err):
		httpapi.RefuseEvent(w, httpapi.Errorf(http.StatusNotFound, "", "agent %s/%s has no request %q", agent.Namespace, agent.Name, id))
		return
	case err != nil:
		httpapi.RefuseEvent(w, err)
		return
	}
	status := http.StatusOK
	if request.Status.Decision == "" {
		status = http.StatusAccepted
	}
	httpapi.WriteJSON(w, status, approval.Outcome(request))
}
