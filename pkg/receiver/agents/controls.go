package agents

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/schema"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

const (
	// maxWithdrawal is the longest time for which an event may withdraw a permission,
	// other than for good.
	maxWithdrawal = 365 * 24 * time.Hour
	// remembered controls of an agent.
	remembered = 64
)

// FieldManager of the annotation.
const FieldManager = "lambda-controls"

// control withdraws permissions of an agent, or gives them back. What it may do is
// checked against the agent as it is written: a Trigger that an older spec made lets
// nothing in.
func (h *Handler) control(ctx context.Context, agent *v1alpha1.LambdaAgent, e *event.Event) (*event.Event, error) {
	var change *events.PermissionControl
	var done bool
	err := retry.RetryOnConflict(retry.DefaultRetry, func() (err error) {
		if change, err = h.controlled(agent, e); err != nil {
			return err
		}
		if done, err = h.apply(ctx, agent, e, change); !apierrs.IsConflict(err) {
			return err
		}
		newest, getErr := h.Client.LambdaAgents(agent.Namespace).Get(ctx, agent.Name, metav1.GetOptions{})
		if getErr != nil {
			return getErr
		}
		agent = newest
		return err
	})
	if done && err == nil {
		h.Audit(ctx, e.Source(), change.Action+map[string]string{events.PermissionWithdraw: "n", events.PermissionRestore: "d"}[change.Action], agent)
	}
	return nil, err
}

// controlled reads a control that the agent allows.
func (h *Handler) controlled(agent *v1alpha1.LambdaAgent, e *event.Event) (*events.PermissionControl, error) {
	controls := agent.Controls(h.Config())
	switch {
	case controls == nil:
		return nil, httpapi.Errorf(http.StatusForbidden, "", "agent %s/%s lets no event change its permissions", agent.Namespace, agent.Name)
	case !controls.Allows(e.Type(), e.Source()):
		return nil, httpapi.Errorf(http.StatusForbidden, "", "agent %s/%s lets no event of type %q from source %q change its permissions", agent.Namespace, agent.Name, e.Type(), e.Source())
	}
	data, err := complete(controls, e)
	if err != nil {
		return nil, err
	}
	if err := schema.Validate(events.ControlPermission, data); err != nil {
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "data: %v", err)
	}
	c := &events.PermissionControl{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "data: %v", err)
	}
	if c.Permission != string(v1alpha1.PermissionAll) && !slices.Contains(v1alpha1.Permissions, v1alpha1.Permission(c.Permission)) {
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "permission: expected brokers, triggers, functions or *, got %q", c.Permission)
	}
	switch {
	case c.Action != events.PermissionWithdraw && c.Action != events.PermissionRestore:
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "action: expected withdraw or restore, got %q", c.Action)
	case c.Duration == "":
	case c.Action == events.PermissionRestore:
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "duration: goes with withdraw; what is restored stays so")
	default:
		if d, err := time.ParseDuration(c.Duration); err != nil || d <= 0 || d > maxWithdrawal {
			return nil, httpapi.Errorf(http.StatusBadRequest, "", "duration: expected one such as 90s or 1h, of at most 365 days, got %q", c.Duration)
		}
	}
	return c, nil
}

// capabilities are the names that earlier systems of this kind have for permissions.
var capabilities = map[string]v1alpha1.Permission{
	"broker": v1alpha1.PermissionBrokers, "trigger": v1alpha1.PermissionTriggers, "function": v1alpha1.PermissionFunctions,
}

// complete returns the data of a control. An event of a type that disables or enables
// permissions by itself may leave out the action, and the permission, which is all of them
// then. capability is an older name of permission.
func complete(controls *v1alpha1.Controls, e *event.Event) ([]byte, error) {
	var action string
	switch {
	case controls.Disables(e.Type()):
		action = events.PermissionWithdraw
	case controls.Enables(e.Type()):
		action = events.PermissionRestore
	default:
		return e.Data(), nil
	}
	data := map[string]any{}
	if len(e.Data()) > 0 {
		if err := json.Unmarshal(e.Data(), &data); err != nil || data == nil {
			return nil, httpapi.Errorf(http.StatusBadRequest, "", "data: expected a JSON object, or nothing for all permissions")
		}
	}
	if is, ok := data["action"]; ok && is != action {
		return nil, httpapi.Errorf(http.StatusBadRequest, "", "action: expected %s, or nothing, for type %s, got %v", action, e.Type(), is)
	}
	data["action"] = action
	if name, ok := data["capability"]; ok {
		if _, both := data["permission"]; both {
			return nil, httpapi.Errorf(http.StatusBadRequest, "", "capability: expected only one of capability and permission")
		}
		delete(data, "capability")
		data["permission"] = name
		if text, isText := name.(string); isText && capabilities[text] != "" {
			data["permission"] = string(capabilities[text])
		}
	}
	if _, ok := data["permission"]; !ok {
		data["permission"] = string(v1alpha1.PermissionAll)
	}
	return json.Marshal(data)
}

// apply writes the change into the agent's annotation, if nobody has changed the agent
// meanwhile. It reports whether there was anything to change.
func (h *Handler) apply(ctx context.Context, agent *v1alpha1.LambdaAgent, e *event.Event, c *events.PermissionControl) (bool, error) {
	w, err := agent.Withdrawals()
	if err != nil {
		return false, err // until somebody repairs it
	}
	key := httpapi.EventKey(e)
	if slices.Contains(w.Events, key) {
		return false, nil
	}
	h.change(w, e, c)
	w.Events = append(w.Events, key)
	w.Events = w.Events[max(0, len(w.Events)-remembered):]
	w.Signature = "" // admission signs
	annotations := map[string]any{lambda.WithdrawnAnnotationKey: w.Text()}
	if _, restored := agent.Annotations[lambda.RestoreAnnotationKey]; restored && c.Action == events.PermissionWithdraw {
		annotations[lambda.RestoreAnnotationKey] = nil // a user can restore again by the same value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": agent.ResourceVersion, "uid": agent.UID, "annotations": annotations,
	}})
	if err != nil {
		return false, err
	}
	_, err = h.Client.LambdaAgents(agent.Namespace).Patch(ctx, agent.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	return err == nil, err
}

func (h *Handler) change(w *v1alpha1.Withdrawals, e *event.Event, c *events.PermissionControl) {
	permissions := v1alpha1.Permissions
	if c.Permission != string(v1alpha1.PermissionAll) {
		permissions = []v1alpha1.Permission{v1alpha1.Permission(c.Permission)}
	}
	now := h.Clock.Now()
	w.Expire(now)
	for _, p := range permissions {
		if c.Action == events.PermissionRestore {
			w.Restore(p)
			continue
		}
		withdrawn := v1alpha1.WithdrawnPermission{Permission: string(p), Source: e.Source(), Reason: approval.Shorten(c.Reason)}
		if d, err := time.ParseDuration(c.Duration); err == nil {
			until := metav1.NewTime(now.Add(d + time.Second - 1).Truncate(time.Second)) // the API has seconds
			withdrawn.Until = &until
		}
		w.Withdraw(withdrawn)
	}
}
