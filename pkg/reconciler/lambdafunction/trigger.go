package lambdafunction

import (
	"context"
	"fmt"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

// reconcileTriggers makes a Trigger for each subscription, and removes those of
// earlier ones when their successors have taken over.
func (e *eventing) reconcileTriggers(ctx context.Context, deadLetters *duckv1.Destination) error {
	var current []*eventingv1.Trigger
	missing := map[string]bool{}
	for _, s := range resources.Subscriptions(e.LambdaFunction) {
		t, err := e.reconcileTrigger(ctx, s, deadLetters)
		if err != nil {
			return err
		}
		if t == nil {
			missing[s.Broker] = true
			continue
		}
		current = append(current, t)
	}
	return e.removeTriggers(ctx, current, missing)
}

// reconcileTrigger returns the subscription's Trigger; nil where there can be none.
func (e *eventing) reconcileTrigger(ctx context.Context, s *resources.Subscription, deadLetters *duckv1.Destination) (*eventingv1.Trigger, error) {
	b, err := e.broker(s.Broker)
	switch {
	case apierrs.IsNotFound(err):
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerNotFound, Failed: true, Message: fmt.Sprintf("%s: there is no broker %q in namespace %q.", field(s, "broker"), s.Broker, e.Namespace)})
		return nil, nil
	case err != nil:
		return nil, err
	}
	e.brokerStatus(b)
	onRabbitMQ := b.Annotations[eventingv1.BrokerClassAnnotationKey] == config.RabbitMQBrokerClass
	if onRabbitMQ && e.Spec.Source.Image != nil && len(s.Filters(e.LambdaFunction, false)) > 0 {
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonFilterNotSupported, Failed: true, Message: fmt.Sprintf(
			"%s: broker %q is of class %s, which tells exact attributes only, and a ready-made image has no runtime of this project that could tell the rest: use filter or exact.",
			field(s, "filters"), s.Broker, config.RabbitMQBrokerClass)})
		return nil, nil
	}
	if s.Delivery != nil {
		if err := e.checkSink(ctx, e.LambdaFunction, field(s, "delivery.deadLetterSink"), s.Delivery.DeadLetterSink); err != nil {
			message, again := sinkTrouble("", err)
			e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonSinkNotResolved, Message: message, Failed: true, Err: again})
			return nil, nil
		}
	}
	desired := resources.MakeTrigger(e.LambdaFunction, s, onRabbitMQ, deadLetters, e.Config)
	subscribers(e.LambdaFunction, e.Keys.Newest()).Sign(desired)
	t, err := e.TriggerSet().Ensure(ctx, e.LambdaFunction, desired, sharedresources.MutateTrigger)
	if err != nil {
		return nil, e.Refused(err, v1alpha1.ReasonTriggerNotOwned, v1alpha1.ReasonTriggerRejected)
	}
	if !e.Unready(v1alpha1.ReasonTriggerNotReady, fmt.Sprintf("Trigger %q of broker %q", t.Name, s.Broker), t.Generation, &t.Status.Status) {
		e.Status.DeadLetterSinkURI = t.Status.DeadLetterSinkURI
	}
	if onRabbitMQ {
		err := e.Bind(ctx, b, t, func(late bool) *topologyv1beta1.Binding {
			return resources.MakeDeadLetterBinding(e.LambdaFunction, t, late, e.Config)
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// field of the spec that the subscription comes from.
func field(s *resources.Subscription, name string) string {
	if s.Entry < 0 {
		return "eventing." + name
	}
	return fmt.Sprintf("triggers[%d].%s", s.Entry, name)
}

// removeTriggers removes the function's Triggers that are not current, and what
// binds their letters, but on brokers where one is missing that cannot be made. Where
// another one has come to the same broker, it has to be ready first, and for as long
// as the configuration says: what is in a Trigger's queue goes with it.
func (e *eventing) removeTriggers(ctx context.Context, current []*eventingv1.Trigger, missing map[string]bool) error {
	all, err := e.Triggers()
	if err != nil {
		return err
	}
	keep, wait := map[string]bool{}, time.Duration(0)
	for _, t := range current {
		keep[t.Name] = true
	}
	for _, t := range all {
		if keep[t.Name] || !metav1.IsControlledBy(t, e.LambdaFunction) {
			continue
		}
		taken, left := e.takenOver(t, current)
		if taken && !missing[t.Spec.Broker] {
			if err := e.TriggerSet().Delete(ctx, e.LambdaFunction, t.Name); err != nil {
				return err
			}
			continue
		}
		e.KeepObjectsOf(t)
		if !missing[t.Spec.Broker] && left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	if err := e.Prune(ctx); err != nil {
		return err
	}
	if wait > 0 {
		return controller.NewRequeueAfter(wait)
	}
	return nil
}

// takenOver tells whether every current Trigger of the same broker has been ready
// for long enough, and how long it takes until they have been, where all are ready.
func (e *eventing) takenOver(old *eventingv1.Trigger, current []*eventingv1.Trigger) (taken bool, left time.Duration) {
	taken = true
	for _, t := range current {
		if t.Spec.Broker != old.Spec.Broker {
			continue
		}
		since, ready := e.ReadyFor(t)
		if !ready {
			return false, 0 // its next change enqueues
		}
		if rest := e.Config.TriggerOverlap - since; rest > 0 {
			taken, left = false, max(left, rest)
		}
	}
	return taken, left
}
