package resources

import (
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// Kinds of outcomes of calls.
const (
	success = "success"
	failure = "failure"
)

// OutcomeKinds are all of them.
var OutcomeKinds = []string{success, failure}

// Outcomes of calls that are delivered to one destination.
type Outcomes struct {
	// Name of the Trigger, and Field of the spec that names the destination.
	Name, Field string
	// Types of the events.
	Types []string
	To    *duckv1.Destination
}

// OutcomesOf a spec that has destinations. name is that of the Trigger for a kind.
func OutcomesOf(c *v1alpha1.CallSpec, name func(kind string) string) (all []Outcomes) {
	if c.OnSuccess != nil {
		all = append(all, Outcomes{name(success), "onSuccess", []string{events.ResponseSuccess}, c.OnSuccess})
	}
	if c.OnFailure != nil {
		all = append(all, Outcomes{name(failure), "onFailure", []string{events.ResponseError, events.ResponseTimeout}, c.OnFailure})
	}
	return all
}

// Filters of the outcomes of calls with the subject, which events of the source report.
// What an owner answers to other events has another subject.
func (o *Outcomes) Filters(source, subject string) []eventingv1.SubscriptionsAPIFilter {
	exact := map[string]string{"source": source, "subject": subject}
	if len(o.Types) == 1 {
		exact["type"] = o.Types[0]
		return []eventingv1.SubscriptionsAPIFilter{{Exact: exact}}
	}
	anyOf := eventingv1.SubscriptionsAPIFilter{}
	for _, eventType := range o.Types {
		anyOf.Any = append(anyOf.Any, eventingv1.SubscriptionsAPIFilter{Exact: map[string]string{"type": eventType}})
	}
	return []eventingv1.SubscriptionsAPIFilter{{Exact: exact}, anyOf}
}

// ReportOutcomes of what a Trigger delivers, as events of the source.
func ReportOutcomes(t *eventingv1.Trigger, source string) {
	t.Annotations = child.MergeMap(t.Annotations, map[string]string{lambda.OutcomeSourceAnnotationKey: source})
}

// MayHave reports whether events with the exact attributes may have the others, too.
func MayHave(exact, others map[string]string) bool {
	for name, value := range others {
		if has, ok := exact[name]; ok && has != value {
			return false
		}
	}
	return true
}

// NotFrom is the filter of events from other sources.
func NotFrom(source string) eventingv1.SubscriptionsAPIFilter {
	return Not(map[string]string{"source": source})
}

// Not is the filter of events that do not have all of the attributes.
func Not(exact map[string]string) eventingv1.SubscriptionsAPIFilter {
	return eventingv1.SubscriptionsAPIFilter{Not: &eventingv1.SubscriptionsAPIFilter{Exact: exact}}
}
