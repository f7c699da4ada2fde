package lambdafunction

import (
	"context"
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

// reconcileTriggers makes a Trigger for each subscription, and deletes the others. Filters
// are edited in place, so that a Trigger keeps its queue.
func (e *eventing) reconcileTriggers(ctx context.Context, dead *sharedresources.Dead) error {
	existing, err := e.Triggers()
	if err != nil {
		return err
	}
	var desired, editable []*eventingv1.Trigger
	var scheduled *eventingv1.Trigger
	keep, kept := map[string]bool{}, map[string]bool{} // by name, and by Broker
	for _, s := range resources.Subscriptions(e.LambdaFunction, e.Status.CallsURL != nil) {
		b, t, err := e.desiredTrigger(ctx, s, dead)
		switch {
		case err != nil:
			return err
		case t == nil:
			kept[s.Broker] = true
			continue
		case sharedresources.ClassOf(b) != config.RabbitMQBrokerClass: // whose filters cannot be changed
			editable = append(editable, t)
		}
		if desired = append(desired, t); s.Scheduled {
			scheduled = t
		}
	}
	sharedresources.Adopt(editable, resources.WithoutOutcomes(e.LambdaFunction, existing))
	outcomes, unresolved := e.outcomeTriggers(ctx, dead)
	for _, name := range unresolved {
		keep[name] = true
	}
	for _, t := range append(desired, outcomes...) {
		made, err := e.ensureTrigger(ctx, t)
		if err != nil {
			return err
		}
		if keep[t.Name] = true; !made {
			kept[t.Spec.Broker] = true
		}
		e.scheduled = e.scheduled || made && t == scheduled
	}
	return e.deleteTriggers(ctx, existing, func(t *eventingv1.Trigger) bool { return keep[t.Name] || kept[t.Spec.Broker] })
}

func (e *eventing) deleteTriggers(ctx context.Context, existing []*eventingv1.Trigger, keep func(*eventingv1.Trigger) bool) error {
	for _, t := range existing {
		if keep(t) {
			continue
		}
		if err := e.TriggerSet().Delete(ctx, e.LambdaFunction, t.Name); err != nil {
			return err
		}
	}
	return nil
}

// desiredTrigger of a subscription, and its Broker; nil where there can be none.
func (e *eventing) desiredTrigger(ctx context.Context, s *resources.Subscription, dead *sharedresources.Dead) (*eventingv1.Broker, *eventingv1.Trigger, error) {
	b, err := e.broker(s.Broker)
	switch {
	case apierrs.IsNotFound(err):
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerNotFound, Failed: true, Message: fmt.Sprintf("%s: there is no broker %q in namespace %q.", field(s, "broker"), s.Broker, e.Namespace)})
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	e.brokerStatus(b)
	class := sharedresources.ClassOf(b)
	if s.Scheduled && !e.SupportsSchedules(s.Broker, class) {
		return nil, nil, nil
	}
	if class == config.RabbitMQBrokerClass {
		s = s.OnlyExact()
		if len(s.Filters(e.LambdaFunction, false)) > 0 {
			e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonFilterNotSupported, Failed: true, Message: fmt.Sprintf(
				"%s: broker %q is of class %s, which evaluates exact attributes only: use filter or exact, or a Broker of another class.",
				field(s, "filters"), s.Broker, class)})
			return nil, nil, nil
		}
	}
	if s.Delivery != nil && !e.Allowed(ctx, e.resolver, field(s, "delivery.deadLetterSink"), s.Delivery.DeadLetterSink) {
		return nil, nil, nil
	}
	return b, resources.MakeTrigger(e.LambdaFunction, s, class, dead, e.Config), nil
}

// ensureTrigger reports whether the API server has the Trigger.
func (e *eventing) ensureTrigger(ctx context.Context, desired *eventingv1.Trigger) (bool, error) {
	t, err := e.TriggerSet().Ensure(ctx, e.LambdaFunction, desired, sharedresources.MutateTrigger)
	if err != nil {
		return false, e.Refused(err, v1alpha1.ReasonTriggerNotOwned, v1alpha1.ReasonTriggerRejected)
	}
	if !e.Unready(v1alpha1.ReasonTriggerNotReady, fmt.Sprintf("Trigger %q of broker %q", t.Name, t.Spec.Broker), t.Generation, &t.Status.Status) {
		e.Status.DeadLetterSinkURI = t.Status.DeadLetterSinkURI
	}
	return true, nil
}

// field of the spec that the subscription comes from.
func field(s *resources.Subscription, name string) string {
	if s.Entry < 0 {
		return "eventing." + name
	}
	return fmt.Sprintf("triggers[%d].%s", s.Entry, name)
}
