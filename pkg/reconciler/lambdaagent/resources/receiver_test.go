package resources

import (
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestMakeReceiverTriggers: what leads from the agent's broker to the receiver and
// back, by filter and subscriber.
func TestMakeReceiverTriggers(t *testing.T) {
	controls := func(sources ...string) *v1alpha1.PermissionsSpec {
		return &v1alpha1.PermissionsSpec{EventControls: &v1alpha1.EventControls{AllowEventDisable: true, ControlEventTypes: []string{"a.b", "c"}, AllowedControlSources: sources}}
	}
	type trigger struct {
		Filter map[string]string
		To     string
	}
	at := "Service knative-lambda/receiver/agents/team/bruno"
	for _, tt := range []struct {
		name string
		with func(*v1alpha1.LambdaAgentSpec)
		want []trigger
	}{
		{"neither controls nor approvals", func(*v1alpha1.LambdaAgentSpec) {}, nil},
		{"controls that are turned off", func(s *v1alpha1.LambdaAgentSpec) {
			s.Permissions = controls("/guard")
			s.Permissions.EventControls.AllowEventDisable = false
		}, nil},
		{"controls from one source", func(s *v1alpha1.LambdaAgentSpec) { s.Permissions = controls("/guard") },
			[]trigger{{map[string]string{"type": "a.b", "source": "/guard"}, at + "/controls"}, {map[string]string{"type": "c", "source": "/guard"}, at + "/controls"}}},
		{"controls from several sources", func(s *v1alpha1.LambdaAgentSpec) { s.Permissions = controls("/guard", "/other") },
			[]trigger{{map[string]string{"type": "a.b"}, at + "/controls"}, {map[string]string{"type": "c"}, at + "/controls"}}},
		{"controls from a pattern", func(s *v1alpha1.LambdaAgentSpec) { s.Permissions = controls("/guard/*") },
			[]trigger{{map[string]string{"type": "a.b"}, at + "/controls"}, {map[string]string{"type": "c"}, at + "/controls"}}},
		{"approvals", func(s *v1alpha1.LambdaAgentSpec) { s.OperationMode = v1alpha1.ModeSupervised }, []trigger{
			{map[string]string{"type": "io.knative.lambda.approval.requested", "source": "/team/bruno"}, at + "/approvals"},
			{map[string]string{"source": "io.knative.lambda/receiver/team/bruno"}, "Service team/bruno"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent(func(a *v1alpha1.LambdaAgent) {
				a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true, EventSource: "/team/bruno"}
				tt.with(&a.Spec)
			})
			var got []trigger
			names := map[string]bool{}
			for _, made := range MakeReceiverTriggers(a, a.Controls(nil), nil, eventingConfig()) {
				to := made.Spec.Subscriber.Ref.Kind + " " + made.Spec.Subscriber.Ref.Namespace + "/" + made.Spec.Subscriber.Ref.Name
				if made.Spec.Subscriber.URI != nil {
					to += made.Spec.Subscriber.URI.String()
				}
				got = append(got, trigger{made.Spec.Filter.Attributes, to})
				if names[made.Name] || made.Spec.Broker != "bruno" || *made.Spec.Delivery.Retry != 5 || len(made.OwnerReferences) != 1 {
					t.Errorf("Trigger %s: %+v, owners %v", made.Name, made.Spec, made.OwnerReferences)
				}
				names[made.Name] = true
			}
			same(t, "Triggers", tt.want, got)
		})
	}
}
