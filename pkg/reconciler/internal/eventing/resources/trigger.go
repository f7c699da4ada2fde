package resources

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// annotations of a Trigger that this project owns.
var annotations = []string{lambda.ParallelismAnnotationKey, lambda.DeadLetterQueueAnnotationKey, lambda.DeletedTargetAnnotationKey, lambda.OutcomeSourceAnnotationKey}

// ClassOf a Broker.
func ClassOf(b *eventingv1.Broker) string { return b.Annotations[eventingv1.BrokerClassAnnotationKey] }

// Dead is where events go that cannot be delivered.
type Dead struct {
	// Queue in RabbitMQ. The event plane writes to it.
	Queue string
	// Sink for Brokers of other classes: the receiver, which writes to the queue.
	Sink *duckv1.Destination
}

// SetDeadLetters of a Trigger of a Broker of the class. A sink of the Trigger's own stays.
// d is nil where there is no queue.
func SetDeadLetters(t *eventingv1.Trigger, class string, d *Dead) {
	switch {
	case d == nil:
	case class == lambda.BrokerClass:
		t.Annotations = child.MergeMap(t.Annotations, map[string]string{lambda.DeadLetterQueueAnnotationKey: d.Queue})
	case t.Spec.Delivery.DeadLetterSink == nil:
		t.Spec.Delivery.DeadLetterSink = d.Sink.DeepCopy()
	}
}

// SetParallelism of a Trigger of a Broker of the class.
func SetParallelism(t *eventingv1.Trigger, class string, r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) {
	if class == lambda.BrokerClass || class == config.RabbitMQBrokerClass {
		t.Annotations = child.MergeMap(t.Annotations, map[string]string{lambda.ParallelismAnnotationKey: strconv.Itoa(Parallelism(r, cfg))})
	}
}

// Parallelism of Triggers: the spec's, else the configuration's.
func Parallelism(r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) int {
	if r != nil && r.Parallelism != nil {
		return int(*r.Parallelism)
	}
	return cfg.Parallelism
}

// MutateTrigger sets on existing what this project owns of a Trigger and can be changed.
func MutateTrigger(existing, desired *eventingv1.Trigger) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	for _, key := range annotations {
		if _, wanted := desired.Annotations[key]; !wanted {
			delete(existing.Annotations, key)
		}
	}
	existing.Annotations = child.MergeMap(existing.Annotations, desired.Annotations)
	existing.Spec.Subscriber.Ref = desired.Spec.Subscriber.Ref
	existing.Spec.Subscriber.URI = desired.Spec.Subscriber.URI
	existing.Spec.Delivery = desired.Spec.Delivery
	existing.Spec.Filters = desired.Spec.Filters
	if !sameFilter(existing, desired) { // admission writes an empty one
		existing.Spec.Filter = desired.Spec.Filter
	}
}

func sameFilter(a, b *eventingv1.Trigger) bool {
	return equality.Semantic.DeepEqual(attributesOf(a), attributesOf(b))
}

func attributesOf(t *eventingv1.Trigger) eventingv1.TriggerFilterAttributes {
	if t.Spec.Filter == nil {
		return nil
	}
	return t.Spec.Filter.Attributes
}

// Adopt names the desired Triggers after existing ones of the same Broker, so that these
// are edited in place and keep their queues: first those that select the same events
// already, then those of the same name, then any. Names of the others are not taken.
func Adopt(desired, existing []*eventingv1.Trigger) {
	a := adoption{claimed: map[string]bool{}, done: map[*eventingv1.Trigger]bool{}}
	for _, e := range existing {
		if e.DeletionTimestamp == nil {
			a.free = append(a.free, e)
		}
	}
	for _, fits := range []func(d, e *eventingv1.Trigger) bool{
		func(d, e *eventingv1.Trigger) bool { return d.Name == e.Name && selectsTheSame(d, e) },
		selectsTheSame,
		func(d, e *eventingv1.Trigger) bool { return d.Name == e.Name },
		func(*eventingv1.Trigger, *eventingv1.Trigger) bool { return true },
	} {
		a.round(desired, fits)
	}
	for _, d := range desired {
		if !a.done[d] {
			d.Name = a.unclaimed(d.Name)
			a.claimed[d.Name] = true
		}
	}
}

func selectsTheSame(a, b *eventingv1.Trigger) bool {
	return equality.Semantic.DeepEqual(a.Spec.Filters, b.Spec.Filters) && sameFilter(a, b)
}

type adoption struct {
	free    []*eventingv1.Trigger
	claimed map[string]bool
	done    map[*eventingv1.Trigger]bool
}

func (a *adoption) round(desired []*eventingv1.Trigger, fits func(d, e *eventingv1.Trigger) bool) {
	for _, d := range desired {
		for _, e := range a.free {
			if !a.done[d] && !a.claimed[e.Name] && d.Spec.Broker == e.Spec.Broker && fits(d, e) {
				d.Name, a.done[d], a.claimed[e.Name] = e.Name, true, true
			}
		}
	}
}

func (a *adoption) unclaimed(name string) string {
	for n, candidate := 2, name; ; n++ {
		if !a.claimed[candidate] {
			return candidate
		}
		candidate = kmeta.ChildName(name, fmt.Sprintf("-%d", n))
	}
}
