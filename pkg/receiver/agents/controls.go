package agents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/schema"
)

const (
	// maxWithdrawal is the longest time for which an event may withdraw a permission,
	// other than for good.
	maxWithdrawal = 365 * 24 * time.Hour
	// remembered controls of an agent.
	remembered = 64
	// maxConflicts is how often a change is tried when others change the agent at the
	// same time.
	maxConflicts = 5
)

// FieldManager of the annotation.
const FieldManager = "lambda-controls"

// control withdraws permissions of an agent, or gives them back. What it may do is
// checked against the agent as it is written: a Trigger that an older spec made lets
// nothing in.
func (h *Handler) control(ctx context.Context, agent *v1alpha1.LambdaAgent, e *event.Event) (*event.Event, error) {
	for tries := 1; ; tries++ {
		change, err := controlled(agent, e)
		if err != nil {
			return nil, err
		}
		done, err := h.apply(ctx, agent, e, change)
		switch {
		case apierrs.IsConflict(err) && tries < maxConflicts:
			if agent, err = h.Client.LambdaAgents(agent.Namespace).Get(ctx, agent.Name, metav1.GetOptions{}); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		case done:
			h.Audit(ctx, e.Source(), change.Action+map[string]string{events.PermissionWithdraw: "n", events.PermissionRestore: "d"}[change.Action], agent)
		}
		return nil, nil
	}
}

// controlled reads a control that the agent lets in.
func controlled(agent *v1alpha1.LambdaAgent, e *event.Event) (*events.PermissionControl, error) {
	controls := agent.Spec.ActiveControls()
	switch {
	case controls == nil:
		return nil, refuse(http.StatusForbidden, "agent %s/%s lets no event change its permissions", agent.Namespace, agent.Name)
	case !controls.Allows(e.Type(), e.Source()):
		return nil, refuse(http.StatusForbidden, "agent %s/%s lets no event of type %q from source %q change its permissions", agent.Namespace, agent.Name, e.Type(), e.Source())
	}
	if err := schema.Validate(events.ControlPermission, e.Data()); err != nil {
		return nil, refuse(http.StatusBadRequest, "data: %v", err)
	}
	c := &events.PermissionControl{}
	if err := json.Unmarshal(e.Data(), c); err != nil {
		return nil, refuse(http.StatusBadRequest, "data: %v", err)
	}
	if c.Permission != string(v1alpha1.PermissionAll) && !slices.Contains(v1alpha1.Permissions, v1alpha1.Permission(c.Permission)) {
		return nil, refuse(http.StatusBadRequest, "permission: expected brokers, triggers, functions or *, got %q", c.Permission)
	}
	switch {
	case c.Action != events.PermissionWithdraw && c.Action != events.PermissionRestore:
		return nil, refuse(http.StatusBadRequest, "action: expected withdraw or restore, got %q", c.Action)
	case c.Duration == "":
	case c.Action == events.PermissionRestore:
		return nil, refuse(http.StatusBadRequest, "duration: goes with withdraw; what is restored stays so")
	default:
		if d, err := time.ParseDuration(c.Duration); err != nil || d <= 0 || d > maxWithdrawal {
			return nil, refuse(http.StatusBadRequest, "duration: expected one such as 90s or 1h, of at most 365 days, got %q", c.Duration)
		}
	}
	return c, nil
}

// apply writes the change into the agent's annotation, if nobody has changed the agent
// meanwhile. It tells whether there was anything to change.
func (h *Handler) apply(ctx context.Context, agent *v1alpha1.LambdaAgent, e *event.Event, c *events.PermissionControl) (bool, error) {
	w, err := agent.Withdrawals()
	if err != nil {
		return false, err // until somebody repairs it
	}
	key := keyOf(e)
	if slices.Contains(w.Events, key) {
		return false, nil
	}
	h.change(w, e, c)
	w.Events = append(w.Events, key)
	w.Events = w.Events[max(0, len(w.Events)-remembered):]
	w.Signature = "" // admission signs
	annotations := map[string]any{lambda.WithdrawnAnnotationKey: w.Text()}
	if _, restored := agent.Annotations[lambda.RestoreAnnotationKey]; restored && c.Action == events.PermissionWithdraw {
		annotations[lambda.RestoreAnnotationKey] = nil // a user can restore anew by the same value
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

// keyOf a control: CloudEvents are the same where source and id are.
func keyOf(e *event.Event) string {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	return hex.EncodeToString(sum[:8])
}
