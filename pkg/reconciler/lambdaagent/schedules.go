package lambdaagent

import (
	"context"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// scheduleTriggers is the Trigger for the events of the agent's schedules, if it has any.
func (e *eventing) scheduleTriggers() []*eventingv1.Trigger {
	if len(e.Spec.Schedules) == 0 || !e.SupportsSchedules(e.made.Name, e.maker.Class) {
		return nil
	}
	return []*eventingv1.Trigger{e.maker.Schedules()}
}

// schedule makes what sends the events of schedules once there is a Trigger that takes
// them.
func (e *eventing) schedule(ctx context.Context, triggers map[string]bool) error {
	var desired []*sourcesv1.PingSource
	if len(e.Spec.Schedules) > 0 && triggers[names.Schedules(e)] {
		desired = resources.MakePingSources(e.LambdaAgent)
	}
	return e.EnsureSchedules(ctx, desired)
}

// mayBeScheduled reports whether a subscription would deliver events of schedules a second
// time.
func (e *eventing) mayBeScheduled(s selection) bool {
	if e.maker.Class != lambda.BrokerClass || s.exact["source"] != "" {
		return false
	}
	for i := range e.Spec.Schedules {
		if eventType := s.exact["type"]; eventType == "" || eventType == e.Spec.Schedules[i].EffectiveType() {
			return true
		}
	}
	return false
}
