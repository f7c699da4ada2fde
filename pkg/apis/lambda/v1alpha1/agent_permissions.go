package v1alpha1

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// Permission is a kind of objects that an agent may make in its namespace.
type Permission string

// The permissions of agents.
const (
	PermissionBrokers   Permission = "brokers"
	PermissionTriggers  Permission = "triggers"
	PermissionFunctions Permission = "functions"
	// PermissionAll stands for all of them in controls.
	PermissionAll Permission = "*"
)

// Permissions are all that there are, in the order in which they are told.
var Permissions = []Permission{PermissionBrokers, PermissionTriggers, PermissionFunctions}

// permissionVerbs are what a permission allows.
var permissionVerbs = []string{"create", "get", "list", "watch", "update", "patch", "delete"}

const eventingGroup = "eventing.knative.dev"

// Rules of the permission: these verbs on these resources and nothing more.
func (p Permission) Rules() []rbacv1.PolicyRule {
	rule := func(group string, resources ...string) []rbacv1.PolicyRule {
		return []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: resources, Verbs: slices.Clone(permissionVerbs)}}
	}
	switch p {
	case PermissionBrokers: // one on RabbitMQ needs the other
		return rule(eventingGroup, "brokers", "rabbitmqbrokerconfigs")
	case PermissionTriggers:
		return rule(eventingGroup, "triggers")
	case PermissionFunctions:
		return rule(lambda.GroupName, lambda.LambdaFunctionResource.Resource)
	}
	return nil
}

// Field of spec.permissions that takes the permission away.
func (p Permission) Field() string {
	switch p {
	case PermissionBrokers:
		return "disableBrokerCreation"
	case PermissionTriggers:
		return "disableTriggerCreation"
	}
	return "disableFunctionCreation"
}

// Granted are the permissions that the spec gives. Without permissions it gives
// none.
func (p *PermissionsSpec) Granted() (granted []Permission) {
	if p == nil {
		return nil
	}
	for _, g := range []struct {
		permission Permission
		disabled   bool
	}{{PermissionBrokers, p.DisableBrokerCreation}, {PermissionTriggers, p.DisableTriggerCreation}, {PermissionFunctions, p.DisableFunctionCreation}} {
		if !g.disabled {
			granted = append(granted, g.permission)
		}
	}
	return granted
}

// ActiveControls are the event controls where they are turned on; nil elsewhere.
func (s *LambdaAgentSpec) ActiveControls() *EventControls {
	if s.Permissions == nil || s.Permissions.EventControls == nil || !s.Permissions.EventControls.AllowEventDisable {
		return nil
	}
	return s.Permissions.EventControls
}

// Withdrawals are what events took away from an agent, as its annotation
// lambda.WithdrawnAnnotationKey holds it.
type Withdrawals struct {
	// Permissions that are withdrawn, one entry each.
	Permissions []WithdrawnPermission `json:"permissions,omitempty"`
	// Events are the keys of the last controls that were carried out, the newest
	// last, so that none is carried out twice.
	Events []string `json:"events,omitempty"`
	// Signature of the record. Admission writes it.
	Signature string `json:"signature,omitempty"`
}

// Withdrawals of the agent. The error says that the annotation cannot be read.
func (a *LambdaAgent) Withdrawals() (*Withdrawals, error) {
	w := &Withdrawals{}
	text := a.Annotations[lambda.WithdrawnAnnotationKey]
	if text == "" {
		return w, nil
	}
	if err := json.Unmarshal([]byte(text), w); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", lambda.WithdrawnAnnotationKey, err)
	}
	return w, nil
}

// Text is the annotation's value; empty where there is nothing to remember.
func (w *Withdrawals) Text() string {
	if len(w.Permissions) == 0 && len(w.Events) == 0 {
		return ""
	}
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and times
	}
	return string(text)
}

// Withdraw a permission until a time; nil is until it is given back. What was
// withdrawn for longer stays so.
func (w *Withdrawals) Withdraw(p WithdrawnPermission) {
	for i, was := range w.Permissions {
		if was.Permission != p.Permission {
			continue
		}
		if was.Until != nil && (p.Until == nil || p.Until.After(was.Until.Time)) {
			w.Permissions[i] = p
		}
		return
	}
	w.Permissions = append(w.Permissions, p)
}

// Restore gives a permission back, and tells whether it had been withdrawn.
func (w *Withdrawals) Restore(p Permission) bool {
	before := len(w.Permissions)
	w.Permissions = slices.DeleteFunc(w.Permissions, func(was WithdrawnPermission) bool { return was.Permission == string(p) })
	return len(w.Permissions) < before
}

// Expire drops what is over by now, and tells whether anything was.
func (w *Withdrawals) Expire(now time.Time) bool {
	before := len(w.Permissions)
	w.Permissions = slices.DeleteFunc(w.Permissions, func(p WithdrawnPermission) bool { return p.over(now) })
	return len(w.Permissions) < before
}

func (p *WithdrawnPermission) over(now time.Time) bool {
	return p.Until != nil && !now.Before(p.Until.Time)
}

// PermissionsAt are what the agent may do at a time, and what of the spec's
// permissions is withdrawn then. Where the annotation cannot be read, all is.
func (a *LambdaAgent) PermissionsAt(now time.Time) (allowed []Permission, withdrawn []WithdrawnPermission) {
	w, err := a.Withdrawals()
	for _, p := range a.Spec.Permissions.Granted() {
		if err != nil {
			withdrawn = append(withdrawn, WithdrawnPermission{Permission: string(p), Reason: err.Error()})
			continue
		}
		i := slices.IndexFunc(w.Permissions, func(is WithdrawnPermission) bool { return is.Permission == string(p) && !is.over(now) })
		if i < 0 {
			allowed = append(allowed, p)
		} else {
			withdrawn = append(withdrawn, w.Permissions[i])
		}
	}
	return allowed, withdrawn
}

// NextExpiry is when the first of the withdrawn permissions comes back; zero is
// never.
func NextExpiry(withdrawn []WithdrawnPermission) (next metav1.Time) {
	for _, w := range withdrawn {
		if w.Until != nil && (next.IsZero() || w.Until.Before(&next)) {
			next = *w.Until
		}
	}
	return next
}
