package eventing

import (
	"context"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// startsDelivering is how long a Trigger that has become ready takes at least until
// its dispatcher has started and given an event up.
const startsDelivering = 5 * time.Second

// Bind lets RabbitMQ put what the Trigger's dispatcher gives up into the owner's
// queue. Knative's own dispatcher of dead letters hands each to the receiver once
// more, and forgets it when that is away for longer than it tries. newBinding makes
// it; late says that there may be letters from before.
func (p *Pass) Bind(ctx context.Context, b *eventingv1.Broker, t *eventingv1.Trigger, newBinding func(late bool) *topologyv1beta1.Binding) error {
	name := resources.BoundBy(t)
	if name == "" {
		return nil
	}
	if on, err := p.onPlatform(b); !on || err != nil {
		return err
	}
	p.keepBinding(name)
	desired := newBinding(p.delivers(t))
	existing, err := p.Rabbit.Bindings.Bindings(t.Namespace).Get(name)
	switch {
	case err == nil && metav1.IsControlledBy(existing, p.Owner.GetObjectMeta()) && !resources.BindsTheSame(existing, desired):
		// The Trigger is another one of the same name. This goes, and the next one
		// is made then.
		p.topologyStatus("Binding", name, desired.Generation, 0, nil)
		return p.bindingSet().Delete(ctx, p.Owner, name)
	case apierrs.IsNotFound(err) && (t.Status.DeadLetterSinkURI == nil || !p.queued):
		return nil // what is to be bound is not there yet
	}
	binding, err := p.bindingSet().Ensure(ctx, p.Owner, desired, nil)
	if err != nil {
		return p.Refused(err, v1alpha1.ReasonDeadLetterQueueNotOwned, v1alpha1.ReasonDeadLetterQueueRejected)
	}
	p.topologyStatus("Binding", name, binding.Generation, binding.Status.ObservedGeneration, binding.Status.Conditions)
	return nil
}

// KeepObjectsOf lets what a Trigger has that stays for a while stay too: its binding, and
// the policy that empties its queue.
func (p *Pass) KeepObjectsOf(t *eventingv1.Trigger) {
	p.keepBinding(resources.BoundBy(t))
	if p.retired == nil {
		p.retired = map[string]bool{}
	}
	p.retired[resources.RetirementName(t.Name)] = true
}

func (p *Pass) keepBinding(name string) {
	if p.bound == nil {
		p.bound = map[string]bool{}
	}
	p.bound[name] = true
}

// delivers tells whether the Trigger may have given up events already.
func (p *Pass) delivers(t *eventingv1.Trigger) bool {
	ready := t.Status.GetCondition(apis.ConditionReady)
	return ready.IsTrue() && p.Clock.Since(ready.LastTransitionTime.Inner.Time) > startsDelivering
}

// onPlatform tells whether the broker is on the RabbitMQ that has the dead letter
// queues.
func (p *Pass) onPlatform(b *eventingv1.Broker) (bool, error) {
	of := b.Spec.Config
	if p.Rabbit == nil || of == nil {
		return false, nil
	}
	if of.Kind == "RabbitmqCluster" {
		return resources.OnPlatform(b.Namespace, topologyv1beta1.RabbitmqClusterReference{Name: of.Name, Namespace: of.Namespace}, "", p.Config), nil
	}
	cfg, err := p.Rabbit.Configs.RabbitmqBrokerConfigs(of.Namespace).Get(of.Name)
	switch {
	case apierrs.IsNotFound(err):
		return false, nil // the broker is not ready without
	case err != nil:
		return false, err
	}
	reference := cfg.Spec.RabbitmqClusterReference
	return reference != nil && resources.OnPlatform(b.Namespace, *reference, cfg.Spec.Vhost, p.Config), nil
}
