package v1alpha1

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func until(minutes int) *metav1.Time {
	t := metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute))
	return &t
}

// TestPermissionRules: each permission allows these verbs on these resources, and none
// has a wildcard.
func TestPermissionRules(t *testing.T) {
	verbs := []string{"create", "get", "list", "watch", "update", "patch", "delete"}
	for p, want := range map[Permission][]rbacv1.PolicyRule{
		PermissionBrokers:   {{APIGroups: []string{"eventing.knative.dev"}, Resources: []string{"brokers", "rabbitmqbrokerconfigs"}, Verbs: verbs}},
		PermissionTriggers:  {{APIGroups: []string{"eventing.knative.dev"}, Resources: []string{"triggers"}, Verbs: verbs}},
		PermissionFunctions: {{APIGroups: []string{"lambda.knative.io"}, Resources: []string{"lambdafunctions"}, Verbs: verbs}},
		PermissionAll:       nil,
	} {
		if diff := cmp.Diff(want, p.Rules()); diff != "" {
			t.Errorf("%s (-want, +got): %s", p, diff)
		}
	}
}

func TestPermissionsAt(t *testing.T) {
	for _, tt := range []struct {
		name, annotation string
		spec             *PermissionsSpec
		allowed          []Permission
		withdrawn        []WithdrawnPermission
	}{
		{name: "no permissions"},
		{name: "all", spec: &PermissionsSpec{}, allowed: Permissions},
		{name: "some", spec: &PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true}, allowed: []Permission{PermissionTriggers}},
		{name: "withdrawn for a time", spec: &PermissionsSpec{}, annotation: `{"permissions":[{"permission":"triggers","until":"2026-01-02T12:01:00Z","source":"/guard"}]}`,
			allowed: []Permission{PermissionBrokers, PermissionFunctions}, withdrawn: []WithdrawnPermission{{Permission: "triggers", Until: until(1), Source: "/guard"}}},
		{name: "over at the second", spec: &PermissionsSpec{}, annotation: `{"permissions":[{"permission":"triggers","until":"2026-01-02T12:00:00Z"}]}`, allowed: Permissions},
		{name: "what the spec does not give cannot be withdrawn", spec: &PermissionsSpec{DisableTriggerCreation: true}, annotation: `{"permissions":[{"permission":"triggers"}]}`,
			allowed: []Permission{PermissionBrokers, PermissionFunctions}},
		{name: "a record that cannot be read", spec: &PermissionsSpec{DisableTriggerCreation: true, DisableFunctionCreation: true}, annotation: `{`,
			withdrawn: []WithdrawnPermission{{Permission: "brokers", Reason: "annotation lambda.knative.io/withdrawn: unexpected end of JSON input"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &LambdaAgent{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{lambda.WithdrawnAnnotationKey: tt.annotation}}, Spec: LambdaAgentSpec{Permissions: tt.spec}}
			allowed, withdrawn := a.PermissionsAt(noon)
			if diff := cmp.Diff(tt.allowed, allowed); diff != "" {
				t.Error("allowed (-want, +got):", diff)
			}
			if diff := cmp.Diff(tt.withdrawn, withdrawn); diff != "" {
				t.Error("withdrawn (-want, +got):", diff)
			}
		})
	}
}

// TestWithdrawals: the longest of several withdrawals counts, and restoring gives back
// only what was withdrawn.
func TestWithdrawals(t *testing.T) {
	w := &Withdrawals{}
	if w.Restore(PermissionBrokers) || w.Text() != "" {
		t.Error("something was restored that had not been withdrawn")
	}
	for _, minutes := range []int{5, 10, 1} {
		w.Withdraw(WithdrawnPermission{Permission: "brokers", Until: until(minutes)})
	}
	w.Withdraw(WithdrawnPermission{Permission: "triggers", Until: until(2)})
	w.Withdraw(WithdrawnPermission{Permission: "triggers"})
	w.Withdraw(WithdrawnPermission{Permission: "triggers", Until: until(3)})
	if diff := cmp.Diff([]WithdrawnPermission{{Permission: "brokers", Until: until(10)}, {Permission: "triggers"}}, w.Permissions); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if next := NextExpiry(w.Permissions); !next.Equal(until(10)) {
		t.Errorf("NextExpiry() = %v", next)
	}
	if w.Expire(noon.Add(9*time.Minute)) || !w.Expire(noon.Add(10*time.Minute)) || len(w.Permissions) != 1 {
		t.Errorf("after ten minutes: %v", w.Permissions)
	}
	if !w.Restore(PermissionTriggers) || len(w.Permissions) != 0 {
		t.Errorf("after the restore: %v", w.Permissions)
	}
	if next := NextExpiry(nil); !next.IsZero() {
		t.Errorf("NextExpiry() = %v, want none", next)
	}
}

func TestControlsAllow(t *testing.T) {
	c := controlled(&EventControls{AllowEventDisable: true, ControlEventTypes: []string{"a.b", "c"}, AllowedControlSources: []string{"/guard", "/teams/*/guard", "urn:x*", "/team/bruno"}}).Controls(nil)
	for _, tt := range []struct {
		eventType, source string
		want              bool
	}{
		{"a.b", "/guard", true}, {"c", "/teams/a/b/guard", true}, {"c", "urn:x", true}, {"c", "urn:x\ny", true}, {"c", "/team/bruno", true},
		{"a.c", "/guard", false}, {"a.b", "/guards", false}, {"a.b", "x/guard", false}, {"a.b", "/teams/guard", false}, {"a.b", "/teams//guar", false}, {"a.b", "", false},
	} {
		if got := c.Allows(tt.eventType, tt.source); got != tt.want {
			t.Errorf("Allows(%s, %s) = %v", tt.eventType, tt.source, got)
		}
	}
}

func controlled(c *EventControls) *LambdaAgent {
	return &LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno"}, Spec: LambdaAgentSpec{Permissions: &PermissionsSpec{EventControls: c}}}
}

// TestDefaultControls: an agent that names no types and sources has those of the
// configuration and of its namespace, and its own source is not among them.
func TestDefaultControls(t *testing.T) {
	if c := controlled(&EventControls{}).Controls(nil); c != nil {
		t.Errorf("Controls() = %+v, want none where they are off", c)
	}
	cfg := &config.Events{DisableTypes: []string{"off"}, EnableTypes: []string{"on"}}
	c := controlled(&EventControls{AllowEventDisable: true}).Controls(cfg)
	for _, tt := range []struct {
		eventType, source string
		want              bool
	}{
		{"off", "/team/guard", true}, {"on", "/team/guard", true}, {"on", "io.knative.lambda/function/team/guard", true},
		{"off", "/team/bruno", false}, {"off", "/other/guard", false}, {"off", "/teams/guard", false}, {"io.homelab.rbac.disable", "/team/guard", false},
	} {
		if got := c.Allows(tt.eventType, tt.source); got != tt.want {
			t.Errorf("Allows(%s, %s) = %v", tt.eventType, tt.source, got)
		}
	}
	if !c.Disables("off") || c.Disables("on") || !c.Enables("on") || c.Enables("off") {
		t.Error("types mean something else than in the configuration")
	}
	shipped := controlled(&EventControls{AllowEventDisable: true}).Controls(nil)
	if diff := cmp.Diff([]string{"io.homelab.rbac.disable", "io.homelab.rbac.enable"}, shipped.Types); diff != "" {
		t.Error("types (-want, +got):", diff)
	}
}
