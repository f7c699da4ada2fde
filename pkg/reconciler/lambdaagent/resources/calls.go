package resources

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// slack is how much longer a delivery may take than the agent's model.
const slack = 30 * time.Second

// CallsURL accepts asynchronous calls of the agent, whose Broker is of the class; nil where
// there are none.
func CallsURL(a *v1alpha1.LambdaAgent, class string) *apis.URL {
	if class != lambda.BrokerClass {
		return nil
	}
	return v1alpha1.AgentCallsURL(types.NamespacedName{Namespace: a.Namespace, Name: names.Broker(a)})
}

// timeout of a delivery: to the agent itself the spec's, else what its models may take.
func (m *Maker) timeout(to duckv1.Destination) time.Duration {
	configured, self := m.Config.Delivery.Timeout, m.service()
	if to.Ref == nil || *to.Ref != *self.Ref {
		return configured
	}
	if t := m.Agent.Spec.Eventing.DeliveryTimeout; t != nil {
		return t.Value()
	}
	longest := m.Agent.Spec.AI.LongestCall()
	if longest == 0 {
		return configured
	}
	return min(max(configured, longest+slack), v1alpha1.MaxDeliveryTimeout)
}

// callAttributes are those of asynchronous calls.
func (m *Maker) callAttributes() map[string]string {
	return map[string]string{"type": events.InvokeAsync, "subject": events.AgentSubject(m.Agent.Namespace, m.Agent.Name)}
}

// Calls makes the Trigger that delivers asynchronous calls to the agent, and reports their
// outcomes.
func (m *Maker) Calls() *eventingv1.Trigger {
	t := m.trigger(names.Calls(m.Agent), m.callAttributes(), nil, m.service())
	shared.ReportOutcomes(t, m.Agent.EventSource())
	return t
}

// MayBeCalls reports whether a subscription would get asynchronous calls, too.
func (m *Maker) MayBeCalls(exact map[string]string, filters []eventingv1.SubscriptionsAPIFilter) bool {
	return shared.MayHave(exact, m.callAttributes()) && !slices.ContainsFunc(filters, func(f eventingv1.SubscriptionsAPIFilter) bool {
		start, ok := f.Prefix["type"]
		return ok && !strings.HasPrefix(events.InvokeAsync, start) //nolint:gocritic // the prefix is the filter's
	})
}

// NotCalls is the filter that leaves asynchronous calls to the Trigger of Calls.
func (m *Maker) NotCalls() eventingv1.SubscriptionsAPIFilter { return shared.Not(m.callAttributes()) }

// Outcomes of calls that the spec wants to be delivered.
func (m *Maker) Outcomes() []shared.Outcomes {
	return shared.OutcomesOf(&m.Agent.Spec.Eventing.CallSpec, func(kind string) string { return names.Outcomes(m.Agent.Name, kind) })
}

// OutcomeTrigger makes the Trigger that delivers them.
func (m *Maker) OutcomeTrigger(o shared.Outcomes) *eventingv1.Trigger {
	return m.trigger(o.Name, nil, o.Filters(m.Agent.EventSource(), events.AgentSubject(m.Agent.Namespace, m.Agent.Name)), *o.To.DeepCopy())
}

// deliversOutcomes reports whether an agent's Trigger is one of OutcomeTrigger.
func deliversOutcomes(t *eventingv1.Trigger) bool {
	owner := metav1.GetControllerOf(t)
	return owner != nil && slices.ContainsFunc(shared.OutcomeKinds, func(kind string) bool { return t.Name == names.Outcomes(owner.Name, kind) })
}
