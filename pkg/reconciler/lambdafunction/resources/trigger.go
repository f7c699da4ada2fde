package resources

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// coldStart is how much longer than the function's own timeout a delivery may
// take: the first one starts a pod.
const coldStart = 30 * time.Second

// Subscription is what one Trigger delivers. Entries of the spec that ask for the
// same attributes of the same broker share one.
type Subscription struct {
	// Broker that the events come from.
	Broker string
	// Exact are the attributes that an event must have.
	Exact map[string]string
	// Any has the further filters of each entry: an event must match all of one
	// of them.
	Any [][]eventingv1.SubscriptionsAPIFilter
	// Delivery that the entries ask for.
	Delivery *eventingduckv1.DeliverySpec
	// Entry of the spec's triggers that the first of it is; -1 is none.
	Entry int
	// Scheduled says that the events are those of the function's schedules.
	Scheduled bool
	// Calls says that asynchronous calls are delivered, and their outcomes reported.
	Calls bool
	// NoCalls says that they would match and are delivered by another one.
	NoCalls bool
}

// Subscriptions are what the function is to receive: its triggers and its asynchronous
// calls, if its Broker reports outcomes, or, where it has no triggers and eventing is
// turned on, all events that invoke it by name; and the events of its schedules.
func Subscriptions(f *v1alpha1.LambdaFunction, calls bool) (all []*Subscription) {
	eventing := f.Spec.ActiveEventing()
	switch {
	case eventing != nil && len(f.Spec.Triggers) == 0:
		s := invocations(f, eventing.Broker)
		s.Calls = calls
		all = []*Subscription{s}
	case eventing != nil && calls:
		all = withCalls(f, eventing.Broker, triggered(f))
	default:
		all = triggered(f)
	}
	if eventing != nil && len(f.Spec.Schedules) > 0 {
		all = append(all, scheduled(f, eventing.Broker))
	}
	return all
}

// triggered are the subscriptions of the spec's triggers.
func triggered(f *v1alpha1.LambdaFunction) (all []*Subscription) {
	for i := range f.Spec.Triggers {
		t := &f.Spec.Triggers[i]
		exact, rest := t.Split()
		shared := false
		for _, s := range all {
			if s.Broker == t.Broker && equality.Semantic.DeepEqual(s.Exact, exact) {
				s.Any = append(s.Any, rest)
				shared = true
			}
		}
		if !shared {
			all = append(all, &Subscription{Broker: t.Broker, Exact: exact, Any: [][]eventingv1.SubscriptionsAPIFilter{rest}, Delivery: t.Delivery, Entry: i})
		}
	}
	return all
}

// invocations are the events that call a function by its name.
func invocations(f *v1alpha1.LambdaFunction, broker string) *Subscription {
	return &Subscription{
		Broker: broker, Exact: map[string]string{"subject": events.FunctionSubject(f.Namespace, f.Name)}, Entry: -1,
		Any: [][]eventingv1.SubscriptionsAPIFilter{{{Prefix: map[string]string{"type": invokePrefix}}}},
	}
}

const invokePrefix = events.Prefix + "invoke."

// OnlyExact is the same subscription for a Broker that evaluates exact attributes only: of
// the events that call a function by its name it has one type.
func (s *Subscription) OnlyExact() *Subscription {
	if s.Entry >= 0 {
		return s
	}
	return &Subscription{Broker: s.Broker, Exact: map[string]string{"subject": s.Exact["subject"], "type": events.InvokeAsync}, Entry: s.Entry}
}

// Filters are what an event has to match besides the exact attributes; guarded
// adds that it is not one that the function itself has emitted, or gets by its schedules.
func (s *Subscription) Filters(f *v1alpha1.LambdaFunction, guarded bool) []eventingv1.SubscriptionsAPIFilter {
	var filters []eventingv1.SubscriptionsAPIFilter
	switch {
	case len(s.Any) == 1:
		filters = append(filters, s.Any[0]...)
	case len(s.Any) > 1:
		anyOf := eventingv1.SubscriptionsAPIFilter{}
		for _, rest := range s.Any {
			if len(rest) == 0 { // takes every event
				anyOf.Any = nil
				break
			}
			anyOf.Any = append(anyOf.Any, eventingv1.SubscriptionsAPIFilter{All: rest})
		}
		if len(anyOf.Any) > 0 {
			filters = append(filters, anyOf)
		}
	}
	if _, pinned := s.Exact["source"]; guarded && !pinned {
		filters = append(filters, shared.NotFrom(ownSource(f)))
		if s.Entry >= 0 && len(f.Spec.Schedules) > 0 { // which have a Trigger of their own
			filters = append(filters, shared.NotFrom(scheduleSource(f)))
		}
	}
	if s.NoCalls {
		filters = append(filters, shared.Not(callAttributes(f)))
	}
	return filters
}

// MakeTrigger makes the Trigger of a subscription to a Broker of the class. One of class
// RabbitMQBroker evaluates exact attributes only, so that a function on it may get its own
// events; those end by their hops.
func MakeTrigger(f *v1alpha1.LambdaFunction, s *Subscription, class string, dead *shared.Dead, cfg *config.Eventing) *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: objectMeta(f, names.Trigger(f, s.Broker, s.named())),
		Spec: eventingv1.TriggerSpec{
			Broker: s.Broker,
			Subscriber: duckv1.Destination{Ref: &duckv1.KReference{
				APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: f.Namespace, Name: names.Service(f),
			}},
			Delivery: delivery(f, s.Delivery, cfg),
		},
	}
	if class == config.RabbitMQBrokerClass {
		t.Spec.Filter = &eventingv1.TriggerFilter{Attributes: s.Exact}
	} else {
		if len(s.Exact) > 0 {
			t.Spec.Filters = append(t.Spec.Filters, eventingv1.SubscriptionsAPIFilter{Exact: s.Exact})
		}
		t.Spec.Filters = append(t.Spec.Filters, s.Filters(f, true)...)
	}
	if s.Calls {
		shared.ReportOutcomes(t, ownSource(f))
	}
	shared.SetParallelism(t, class, rabbitMQ(f), cfg)
	shared.SetDeadLetters(t, class, dead)
	return t.DeepCopy()
}

func rabbitMQ(f *v1alpha1.LambdaFunction) *v1alpha1.RabbitMQSpec {
	if e := f.Spec.ActiveEventing(); e != nil {
		return e.RabbitMQ
	}
	return nil
}

// delivery is what the trigger asks for, else the function's dead letter
// settings, else the configuration.
func delivery(f *v1alpha1.LambdaFunction, asked *eventingduckv1.DeliverySpec, cfg *config.Eventing) *eventingduckv1.DeliverySpec {
	timeout := cfg.Delivery.Timeout
	if t := f.Spec.Runtime.Timeout; t != nil {
		timeout = max(timeout, t.Value()+coldStart)
	}
	if e := f.Spec.ActiveEventing(); e != nil && e.DeliveryTimeout != nil {
		timeout = e.DeliveryTimeout.Value()
	}
	d := shared.Delivery(deadLetters(f), timeout, cfg)
	if asked == nil {
		return d
	}
	return overlay(d, asked)
}

// overlay sets in d what is asked for.
func overlay(d, asked *eventingduckv1.DeliverySpec) *eventingduckv1.DeliverySpec {
	if asked.DeadLetterSink != nil {
		d.DeadLetterSink = asked.DeadLetterSink
	}
	if asked.Retry != nil {
		d.Retry = asked.Retry
	}
	if asked.Timeout != nil {
		d.Timeout = asked.Timeout
	}
	if asked.BackoffPolicy != nil {
		d.BackoffPolicy = asked.BackoffPolicy
	}
	if asked.BackoffDelay != nil {
		d.BackoffDelay = asked.BackoffDelay
	}
	d.RetryAfterMax, d.Format = asked.RetryAfterMax, asked.Format
	return d
}
