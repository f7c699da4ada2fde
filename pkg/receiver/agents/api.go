package agents

import (
	"context"
	"encoding/json"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	typedlambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/typed/lambda/v1alpha1"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// maxDecision bounds the body of a decision.
const maxDecision = 64 << 10

// API serves approvals, by what RBAC allows.
type API struct {
	Agents listers.LambdaAgentLister
	Client typedlambda.LambdaV1alpha1Interface
	Clock  clock.PassiveClock
	Access *access.Reviewer
	// Audit is called with each decision.
	Audit Audit
}

// Register the API's paths.
func (a *API) Register(mux *http.ServeMux) {
	pattern := receiverv1.ApprovalsPath("{namespace}", "{name}")
	mux.HandleFunc("GET "+pattern, a.authorized("get", a.get))
	mux.HandleFunc("POST "+pattern, a.authorized("update", a.decide))
}

func (a *API) authorized(verb string, serve func(http.ResponseWriter, *http.Request, *authenticationv1.UserInfo, *v1alpha1.LambdaAgent) error) http.HandlerFunc {
	return httpapi.Handle(func(w http.ResponseWriter, r *http.Request) error {
		user, err := a.Access.Authorize(r, access.Approvals, verb)
		if err != nil {
			return err
		}
		agent, err := agentOf(a.Agents, r)
		if err != nil {
			return err
		}
		return serve(w, r, user, agent)
	})
}

// get lists the requests of an agent, or shows that of an id.
func (a *API) get(w http.ResponseWriter, r *http.Request, _ *authenticationv1.UserInfo, agent *v1alpha1.LambdaAgent) error {
	if id, asked := r.URL.Query().Get(receiverv1.ParamID), r.URL.Query().Has(receiverv1.ParamID); asked {
		if id == "" {
			return errEmptyID
		}
		found, err := a.find(r.Context(), agent, id)
		if err != nil {
			return err
		}
		httpapi.WriteJSON(w, http.StatusOK, v1alpha1.ApprovalRequestList{Items: []v1alpha1.ApprovalRequest{*found}})
		return nil
	}
	list, err := a.Client.ApprovalRequests(agent.Namespace).List(r.Context(), metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(labels.Set{lambda.AgentLabelKey: agent.Name}).String(),
	})
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, list)
	return nil
}

// errEmptyID refuses an id that is there and empty: scripts pass variables that are not
// set.
var errEmptyID = httpapi.Errorf(http.StatusBadRequest, "", "id: expected the id of a request, which is not empty")

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
	return nil, httpapi.Errorf(http.StatusNotFound, "", "agent %s/%s has no request %q", agent.Namespace, agent.Name, id)
}

// decide takes a decision, if nobody else has decided before. Saying the same again is
// no error.
func (a *API) decide(w http.ResponseWriter, r *http.Request, user *authenticationv1.UserInfo, agent *v1alpha1.LambdaAgent) error {
	var d receiverv1.ApprovalDecision
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDecision))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return httpapi.Errorf(http.StatusBadRequest, "", `expected {"decision": "granted" or "denied", "reason": …}: %v`, err)
	}
	if d.Decision != v1alpha1.ApprovalGranted && d.Decision != v1alpha1.ApprovalDenied {
		return httpapi.Errorf(http.StatusBadRequest, "", "decision: expected granted or denied, got %q", d.Decision)
	}
	if r.URL.Query().Get(receiverv1.ParamID) == "" {
		return errEmptyID
	}
	vote := approval.Vote{Decision: d.Decision, Provider: d.Provider, By: user.Username, Reason: d.Reason}
	var written *v1alpha1.ApprovalRequest
	repeated := false
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		request, err := a.find(r.Context(), agent, r.URL.Query().Get(receiverv1.ParamID))
		if err != nil {
			return err
		}
		if request.Status.Decision == d.Decision && request.Status.DecidedBy == user.Username {
			written, repeated = request, true
			return nil
		}
		if err := approval.Cast(request, vote, a.Clock.Now()); err != nil {
			return httpapi.Errorf(http.StatusConflict, "", "%w", err)
		}
		written, err = a.Client.ApprovalRequests(agent.Namespace).UpdateStatus(r.Context(), request, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if !repeated {
		a.Audit(r.Context(), user.Username, string(d.Decision), agent)
	}
	httpapi.WriteJSON(w, http.StatusOK, written)
	return nil
}
