package resources

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// CallsURL accepts asynchronous calls of the function, whose Broker is of the class; nil
// where there are none.
func CallsURL(f *v1alpha1.LambdaFunction, class string) *apis.URL {
	active := f.Spec.ActiveEventing()
	if active == nil || class != lambda.BrokerClass {
		return nil
	}
	return v1alpha1.FunctionCallsURL(types.NamespacedName{Namespace: f.Namespace, Name: active.Broker}, f.Name)
}

func ownSource(f *v1alpha1.LambdaFunction) string {
	return events.Source("function", f.Namespace, f.Name)
}

// callAttributes are those of asynchronous calls.
func callAttributes(f *v1alpha1.LambdaFunction) map[string]string {
	return map[string]string{"type": events.InvokeAsync, "subject": events.FunctionSubject(f.Namespace, f.Name)}
}

// withCalls adds the asynchronous calls that come by the Broker, unless one of the triggers
// takes all of them. The others do not get them, too.
func withCalls(f *v1alpha1.LambdaFunction, broker string, triggers []*Subscription) []*Subscription {
	calls := &Subscription{Broker: broker, Exact: callAttributes(f), Any: [][]eventingv1.SubscriptionsAPIFilter{nil}, Entry: -1, Calls: true}
	all := []*Subscription{calls}
	for _, s := range triggers {
		takesAll := slices.ContainsFunc(s.Any, func(rest []eventingv1.SubscriptionsAPIFilter) bool { return len(rest) == 0 })
		if s.Broker == broker && takesAll && maps.Equal(s.Exact, calls.Exact) {
			s.Calls = true
			all = all[1:]
		}
	}
	for _, s := range triggers {
		s.NoCalls = !s.Calls && s.Broker == broker && shared.MayHave(s.Exact, calls.Exact)
	}
	return append(all, triggers...)
}

// named are the attributes that a new Trigger is named after. The one of calls keeps its
// name, and so its queue, when the function gets its first triggers or loses the last.
func (s *Subscription) named() map[string]string {
	if !s.Calls || s.Entry >= 0 {
		return s.Exact
	}
	return map[string]string{"subject": s.Exact["subject"]}
}

// Outcomes that the spec wants to be delivered.
func Outcomes(f *v1alpha1.LambdaFunction) []shared.Outcomes {
	active := f.Spec.ActiveEventing()
	if active == nil {
		return nil
	}
	return shared.OutcomesOf(&active.CallSpec, func(kind string) string { return names.Outcomes(f, kind) })
}

// MakeOutcomeTrigger makes the Trigger that delivers outcomes of the function's calls.
func MakeOutcomeTrigger(f *v1alpha1.LambdaFunction, o shared.Outcomes, dead *shared.Dead, cfg *config.Eventing) *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: objectMeta(f, o.Name),
		Spec: eventingv1.TriggerSpec{
			Broker: f.Spec.Eventing.Broker, Subscriber: *o.To.DeepCopy(),
			Filters:  o.Filters(ownSource(f), events.FunctionSubject(f.Namespace, f.Name)),
			Delivery: shared.Delivery(deadLetters(f), cfg.Delivery.Timeout, cfg),
		},
	}
	shared.SetParallelism(t, lambda.BrokerClass, rabbitMQ(f), cfg)
	shared.SetDeadLetters(t, lambda.BrokerClass, dead)
	return t
}

// WithoutOutcomes are those of a function's Triggers that deliver to it.
func WithoutOutcomes(f *v1alpha1.LambdaFunction, triggers []*eventingv1.Trigger) []*eventingv1.Trigger {
	return slices.DeleteFunc(slices.Clone(triggers), func(t *eventingv1.Trigger) bool {
		return slices.ContainsFunc(shared.OutcomeKinds, func(kind string) bool { return t.Name == names.Outcomes(f, kind) })
	})
}
