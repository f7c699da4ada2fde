package resources

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// Schedules of a function or an agent.
type Schedules struct {
	// Owner's name, and what else the metadata of its children has.
	Owner metav1.ObjectMeta
	// Broker of class LambdaBroker that the events are sent to.
	Broker string
	// Source of the events.
	Source string
}

// PingSources of the schedules that are not suspended.
func (s *Schedules) PingSources(schedules []v1alpha1.Schedule) (all []*sourcesv1.PingSource) {
	for i := range schedules {
		if !schedules[i].Suspend {
			all = append(all, s.pingSource(&schedules[i]))
		}
	}
	return all
}

// pingSource of a schedule. It cannot set the type, source and subject of its events: by
// the query of the sink, the Broker does.
func (s *Schedules) pingSource(schedule *v1alpha1.Schedule) *sourcesv1.PingSource {
	meta := *s.Owner.DeepCopy()
	meta.Name = kmeta.ChildName(s.Owner.Name, "-"+schedule.Name+"-"+build.Hash(s.Owner.Name+"\n"+schedule.Name))
	meta.Labels = child.MergeMap(meta.Labels, map[string]string{lambda.ScheduleLabelKey: schedule.Name})
	p := &sourcesv1.PingSource{ObjectMeta: meta, Spec: sourcesv1.PingSourceSpec{
		Schedule: schedule.Cron, Timezone: schedule.TimeZone, Data: schedule.Data, ContentType: schedule.EffectiveContentType(),
	}}
	p.Spec.Sink = duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Broker", Namespace: meta.Namespace, Name: s.Broker},
		URI: &apis.URL{RawQuery: event.Query(s.Source, schedule.EffectiveType(), schedule.Name)},
	}
	return p
}

// MutatePingSource sets on existing what this project owns of a PingSource.
func MutatePingSource(existing, desired *sourcesv1.PingSource) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	existing.Spec = desired.Spec
}
