package outcome

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// resources by which RBAC says who may read outcomes: whoever may read the dead letters.
var resources = map[receiverv1.Kind]access.Resource{
	receiverv1.KindFunction: access.DeadLetters,
	receiverv1.KindAgent:    access.AgentDeadLetters,
}

// API serves outcomes.
type API struct {
	Index  *Index
	Access *access.Reviewer
	// Audit is called with who has read an outcome.
	Audit func(ctx context.Context, user, action string, owner deadletter.Owner)
	// Reading is nil while the stream is read, and otherwise says why it is not.
	Reading func() error
}

// Register the paths.
func (a *API) Register(mux *http.ServeMux) {
	for kind := range resources {
		mux.HandleFunc("GET "+receiverv1.OutcomesPath(kind, "{namespace}", "{name}"), httpapi.Handle(func(w http.ResponseWriter, r *http.Request) error {
			return a.get(w, r, kind)
		}))
	}
}

func (a *API) get(w http.ResponseWriter, r *http.Request, kind receiverv1.Kind) error {
	user, err := a.Access.Authorize(r, resources[kind], "get")
	if err != nil {
		return err
	}
	ids := r.URL.Query()[receiverv1.ParamID]
	if len(ids) != 1 || ids[0] == "" {
		return httpapi.Errorf(http.StatusBadRequest, "InvalidRequest", "%s: expected one id of a call that is not empty", receiverv1.ParamID)
	}
	key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	found := a.Index.Find(calls.Callee{Kind: kind, NamespacedName: key}, ids[0])
	if len(found) == 0 {
		if err := a.Reading(); err != nil {
			return httpapi.Errorf(http.StatusServiceUnavailable, "Unavailable", "outcomes cannot be read from RabbitMQ now: %v", err)
		}
		return httpapi.Errorf(http.StatusNotFound, "NotFound", "there is no outcome of the call: it has not ended, ended more than %dh ago, or was displaced by newer ones", int(calls.MaxAge.Hours()))
	}
	list := receiverv1.OutcomeList{}
	for _, record := range found {
		o, err := outcomeOf(record)
		if err != nil {
			return err
		}
		list.Items = append(list.Items, *o)
	}
	a.Audit(r.Context(), user.Username, "shown", deadletter.Owner{Kind: kind, NamespacedName: key})
	httpapi.WriteJSON(w, http.StatusOK, list)
	return nil
}

func outcomeOf(r *calls.Record) (*receiverv1.Outcome, error) {
	event, err := r.Outcome.MarshalJSON()
	if err != nil {
		return nil, err
	}
	text := func(name string) string {
		value, _ := r.Outcome.Extensions()[name].(string)
		return value
	}
	o := &receiverv1.Outcome{
		ID: r.ID(), Source: r.Source, Type: r.Outcome.Type(), Time: r.Outcome.Time().UTC().Format(time.RFC3339),
		ErrorReason: text(events.ErrorReasonExtension), Event: event,
	}
	o.ErrorCode, _ = strconv.Atoi(text(events.ErrorCodeExtension)) // 0 after success
	o.Attempts, _ = strconv.Atoi(text(events.AttemptsExtension))
	return o, nil
}
