package resources

import (
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// ScheduleSource is the source of the events of the agent's schedules.
func ScheduleSource(a *v1alpha1.LambdaAgent) string {
	return v1alpha1.ScheduleSource("agent", a.Namespace, a.Name)
}

// MakePingSources makes those of the agent's schedules.
func MakePingSources(a *v1alpha1.LambdaAgent) []*sourcesv1.PingSource {
	s := shared.Schedules{Owner: objectMeta(a, a.Name), Broker: names.Broker(a), Source: ScheduleSource(a)}
	return s.PingSources(a.Spec.Schedules)
}
