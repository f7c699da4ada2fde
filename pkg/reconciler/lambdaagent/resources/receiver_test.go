package resources

import (
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestReceiverTriggers: what leads from the agent's broker to the receiver and
// back, by filter and subscriber.
func TestReceiverTriggers(t *testing.T) {
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
			[]trigger{{map[string]string{"type": "a.b", "source": "/guard"}, at + "/controls/" + theKeys.Sign("controls", "agent", "team", "bruno")}, {map[string]string{"type": "c", "source": "/guard"}, at + "/controls/" + theKeys.Sign("controls", "agent", "team", "bruno")}}},
		{"controls from several sources", func(s *v1alpha1.LambdaAgentSpec) { s.Permissions = controls("/guard", "/other") },
			[]trigger{{map[string]string{"type": "a.b"}, at + "/controls/" + theKeys.Sign("controls", "agent", "team", "bruno")}, {map[string]string{"type": "c"}, at + "/controls/" + theKeys.Sign("controls", "agent", "team", "bruno")}}},
		{"controls from a pattern", func(s *v1alpha1.LambdaAgentSpec) { s.Permissions = controls("/guard/*") },
			[]trigger{{map[string]string{"type": "a.b"}, at + "/controls/" + theKeys.Sign("controls", "agent", "team", "bruno")}, {map[string]string{"type": "c"}, at + "/controls/" + theKeys.Sign("controls", "agent", "team", "bruno")}}},
		{"approvals", func(s *v1alpha1.LambdaAgentSpec) { s.OperationMode = v1alpha1.ModeSupervised }, []trigger{
			{map[string]string{"type": "io.knative.lambda.approval.requested", "source": "/team/bruno"}, at + "/approvals/" + theKeys.Sign("approvals", "agent", "team", "bruno")},
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
			for _, made := range maker(a, lambda.BrokerClass).ReceiverTriggers(a.Controls(nil), theKeys) {
				to := made.Spec.Subscriber.Ref.Kind + " " + made.Spec.Subscriber.Ref.Namespace + "/" + made.Spec.Subscriber.Ref.Name
				if made.Spec.Subscriber.URI != nil {
					to += made.Spec.Subscriber.URI.String()
				}
				got = append(got, trigger{made.Spec.Filters[0].Exact, to})
				if names[made.Name] || made.Spec.Broker != "bruno" || *made.Spec.Delivery.Retry != 5 || len(made.OwnerReferences) != 1 {
					t.Errorf("Trigger %s: %+v, owners %v", made.Name, made.Spec, made.OwnerReferences)
				}
				names[made.Name] = true
			}
			same(t, "Triggers", tt.want, got)
		})
	}
}

// TestAddApprovals: a supervised agent knows its own URL of approvals, and no other has
// one.
func TestAddApprovals(t *testing.T) {
	url := func(change func(*v1alpha1.LambdaAgent)) (found string) {
		a := agent(change)
		s := MakeService(a, "config", &config.Defaults{})
		AddApprovals(s, a, theKeys, eventingConfig())
		for _, e := range s.Spec.Template.Spec.Containers[0].Env {
			if e.Name == "LAMBDA_AGENT_APPROVALS_URL" {
				found = e.Value
			}
		}
		return found
	}
	supervised := func(a *v1alpha1.LambdaAgent) {
		a.Spec.OperationMode, a.Spec.Approval = v1alpha1.ModeSupervised, &v1alpha1.ApprovalSpec{}
	}
	want := "http://receiver.knative-lambda.svc.cluster.local/agents/team/bruno/approvals/" + theKeys.Sign("approvals", "agent", "team", "bruno")
	if got := url(supervised); got != want {
		t.Errorf("LAMBDA_AGENT_APPROVALS_URL = %q, want %q", got, want)
	}
	if got := url(func(*v1alpha1.LambdaAgent) {}); got != "" {
		t.Errorf("an agent that is not supervised has %q", got)
	}
}
