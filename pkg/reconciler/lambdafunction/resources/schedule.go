package resources

import (
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

func scheduleSource(f *v1alpha1.LambdaFunction) string {
	return v1alpha1.ScheduleSource("function", f.Namespace, f.Name)
}

// scheduled are the events of the function's schedules.
func scheduled(f *v1alpha1.LambdaFunction, broker string) *Subscription {
	return &Subscription{Broker: broker, Exact: map[string]string{"source": scheduleSource(f)}, Entry: -1, Scheduled: true}
}

// MakePingSources makes those of the function's schedules.
func MakePingSources(f *v1alpha1.LambdaFunction) []*sourcesv1.PingSource {
	s := shared.Schedules{Owner: objectMeta(f, f.Name), Broker: f.Spec.Eventing.Broker, Source: scheduleSource(f)}
	return s.PingSources(f.Spec.Schedules)
}
