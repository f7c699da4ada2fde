package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/api"
)

// APIPath of an agent's approvals for people.
func APIPath(namespace, agent string) string {
	return "/v1/namespaces/" + namespace + "/agents/" + agent + "/approvals"
}

// maxDecision bounds the body of a decision.
const maxDecision = 64 << 10

// Decision is what somebody sends who decides.
type Decision struct {
	Decision v1alpha1.ApprovalDecision `json:"decision"`
	// Provider for which it is; needed only where several have to consent and one
	// decides for another than the first that has not.
	Provider v1alpha1.ApprovalProvider `json:"provider,omitempty"`
	Reason   string                    `json:"reason,omitempty"`
}

// API serves approvals to people and programs, to those whom RBAC allows it.
type API struct {
	*Handler
	Access *access.Reviewer
}

// Register the API's paths.
func (a *API) Register(mux *http.ServeMux) {
	pattern := APIPath("{namespace}", "{name}")
	mux.HandleFunc("GET "+pattern, a.guarded("get", a.get))
	mux.HandleFunc("POST "+pattern, a.guarded("update", a.decide))
}

func (a *API) guarded(verb string, serve func(http.ResponseWriter, *http.Request, *authenticationv1.UserInfo, *v1alpha1.LambdaAgent) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := a.Access.User(r)
		if err == nil {
			err = a.Access.Allowed(r.Context(), user, access.Approvals, verb, r.PathValue("namespace"), r.PathValue("name"))
		}
		var agent *v1alpha1.LambdaAgent
		if err == nil {
			agent, err = a.agent(r)
		}
		if err == nil {
			err = serve(w, r, user, agent)
		}
		if err == nil {
			return
		}
		status := apiStatusOf(err)
		if status == http.StatusInternalServerError {
			slog.ErrorContext(r.Context(), "a request failed", "path", r.URL.Path, "error", err)
		}
		writeJSON(w, status, api.Problem{Error: err.Error()})
	}
}

func apiStatusOf(err error) int {
	var unauthenticated *access.UnauthenticatedError
	var forbidden *access.ForbiddenError
	var decided *approval.DecidedError
	var invalid *access.InvalidNameError
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.status
	case errors.As(err, &invalid):
		return http.StatusBadRequest
	case errors.As(err, &unauthenticated):
		return http.StatusUnauthorized
	case errors.As(err, &forbidden):
		return http.StatusForbidden
	case errors.As(err, &decided), errors.Is(err, approval.ErrVote), apierrs.IsConflict(err):
		return http.StatusConflict
	case apierrs.IsNotFound(err):
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// get lists the requests of an agent, or shows that of an id.
func (a *API) get(w http.ResponseWriter, r *http.Request, _ *authenticationv1.UserInfo, agent *v1alpha1.LambdaAgent) error {
	if id, asked := r.URL.Query().Get("id"), r.URL.Query().Has("id"); asked {
		if id == "" {
			return errEmptyID
		}
		found, err := a.find(r.Context(), agent, id)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, v1alpha1.ApprovalRequestList{Items: []v1alpha1.ApprovalRequest{*found}})
		return nil
	}
	list, err := a.Client.ApprovalRequests(agent.Namespace).List(r.Context(), metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(labels.Set{lambda.AgentLabelKey: agent.Name}).String(),
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// errEmptyID refuses an id that is there and empty: scripts pass variables that are not
// set.
var errEmptyID = refuse(http.StatusBadRequest, "id: expected the id of a request, which is not empty")

// find a request by the id of its event, or by its own name.
func (a *API) find(ctx context.Context, agent *v1alpha1.LambdaAgent, id string) (*v1alpha1.ApprovalRequest, error) {
	names := []string{approval.Name(agent, id)}
	if len(validation.IsDNS1123Subdomain(id)) == 0 {
		names = append(names, id)
	}
	for _, name := range names {
		found, err := a.Client.ApprovalRequests(agent.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && found.Spec.Agent == agent.Name {
			return found, nil
		}
		if err != nil && !apierrs.IsNotFound(err) {
			return nil, err
		}
	}
	return nil, refuse(http.StatusNotFound, "agent %s/%s has no request %q", agent.Namespace, agent.Name, id)
}

// decide takes a decision, if nobody else has decided before. Saying the same again is
// no error.
func (a *API) decide(w http.ResponseWriter, r *http.Request, user *authenticationv1.UserInfo, agent *v1alpha1.LambdaAgent) error {
	var d Decision
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDecision))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return refuse(http.StatusBadRequest, `expected {"decision": "granted" or "denied", "reason": …}: %v`, err)
	}
	if d.Decision != v1alpha1.ApprovalGranted && d.Decision != v1alpha1.ApprovalDenied {
		return refuse(http.StatusBadRequest, "decision: expected granted or denied, got %q", d.Decision)
	}
	if r.URL.Query().Get("id") == "" {
		return errEmptyID
	}
	vote := approval.Vote{Decision: d.Decision, Provider: d.Provider, By: user.Username, Reason: d.Reason}
	for tries := 1; ; tries++ {
		request, err := a.find(r.Context(), agent, r.URL.Query().Get("id"))
		if err != nil {
			return err
		}
		if request.Status.Decision == d.Decision && request.Status.DecidedBy == user.Username {
			writeJSON(w, http.StatusOK, request)
			return nil
		}
		if err := approval.Cast(request, vote, a.Clock.Now()); err != nil {
			return err
		}
		written, err := a.Client.ApprovalRequests(agent.Namespace).UpdateStatus(r.Context(), request, metav1.UpdateOptions{})
		switch {
		case apierrs.IsConflict(err) && tries < maxConflicts:
			continue
		case err != nil:
			return fmt.Errorf("recording the decision: %w", err)
		}
		a.Audit(r.Context(), user.Username, string(d.Decision), agent)
		writeJSON(w, http.StatusOK, written)
		return nil
	}
}
