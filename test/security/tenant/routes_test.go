//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestRoutesWithoutConsent: an agent takes events of another namespace's only where it
// says so, whatever source that one gives itself.
func TestRoutesWithoutConsent(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	needsRabbitMQ(t)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	const paid = "io.example.bank.paid"
	shop := createAgent(ctx, t, victim, agent(victim, "shop", eventful, func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.Subscriptions = []v1alpha1.AgentSubscription{{EventType: paid, Source: "/bank"}}
	}))
	if _, err := victim.AwaitAgent(ctx, test.Key(shop), "its broker", func(a *v1alpha1.LambdaAgent) bool {
		return a.Status.GetCondition(v1alpha1.AgentConditionBrokerReady).IsTrue()
	}); err != nil {
		t.Fatal(err)
	}
	forger := createAgent(ctx, t, attacker, agent(attacker, "forger", eventful, func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.EventSource = "/bank"
		s.Eventing.Intents = []string{paid}
		s.Eventing.Forwards = []v1alpha1.AgentForward{{EventTypes: []string{paid}, TargetAgent: shop.Name, TargetNamespace: victim.Namespace}}
		s.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableTriggerCreation: true, DisableFunctionCreation: true, AllowedTargetNamespaces: []string{"*"}}
	}))
	if _, err := attacker.AwaitAgent(ctx, test.Key(forger), "its broker", func(a *v1alpha1.LambdaAgent) bool {
		return a.Status.GetCondition(v1alpha1.AgentConditionBrokerReady).IsTrue()
	}); err != nil {
		t.Fatal(err)
	}
	got := never(ctx, t, func(ctx context.Context) (string, error) {
		seen, err := attacker.Lambda.LambdaV1alpha1().LambdaAgents(attacker.Namespace).Get(ctx, forger.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		for _, r := range seen.Status.Routes {
			if r.Ready {
				return fmt.Sprintf("the victim gets events that it has not asked for: %+v", r), nil
			}
		}
		triggers, err := attacker.Eventing.EventingV1().Triggers(attacker.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		for _, trigger := range triggers.Items {
			if ref := trigger.Spec.Subscriber.Ref; ref != nil && ref.Namespace == victim.Namespace {
				return "Trigger " + trigger.Name + " leads into the victim's namespace", nil
			}
		}
		return "", nil
	})
	if got != "" {
		t.Error(got)
	}
	seen, err := attacker.AwaitAgent(ctx, test.Key(forger), "a route that is not ready", func(a *v1alpha1.LambdaAgent) bool {
		return len(a.Status.Routes) > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range seen.Status.Routes {
		if r.Kind == v1alpha1.RouteForward && !strings.Contains(r.Reason, "Consent") && !strings.Contains(r.Reason, "Allowed") {
			t.Errorf("the route's reason is %q, want that the target does not consent", r.Reason)
		}
	}
}
