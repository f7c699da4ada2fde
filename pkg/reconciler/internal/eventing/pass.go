package eventing

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// Pass is one reconcile of one owner's objects of eventing.
type Pass struct {
	Troubles
	// Owner of the objects, and the labels by which its objects are found.
	Owner  Owner
	Labels labels.Set
	Config *config.Eventing
	Clock  clock.PassiveClock
	// Knative is there; Rabbit is nil where the cluster has none.
	Knative *Knative
	Rabbit  *Rabbit

	// queued says that the dead letter queue is there, and bound has the names of
	// the bindings to it that are to be; retired those of policies that empty queues.
	queued         bool
	bound, retired map[string]bool
}

// Owner is a function or an agent.
type Owner interface {
	kmeta.OwnerRefable
	GetNamespace() string
}

// BrokerSet is where the owner's namespace has Brokers.
func (p *Pass) BrokerSet() child.Set[*eventingv1.Broker] {
	ns := p.Owner.GetNamespace()
	return child.Set[*eventingv1.Broker]{Kind: "Broker", Lister: p.Knative.Brokers.Brokers(ns), Client: p.Knative.Client.EventingV1().Brokers(ns)}
}

// TriggerSet is where it has Triggers.
func (p *Pass) TriggerSet() child.Set[*eventingv1.Trigger] {
	ns := p.Owner.GetNamespace()
	return child.Set[*eventingv1.Trigger]{Kind: "Trigger", Lister: p.Knative.Triggers.Triggers(ns), Client: p.Knative.Client.EventingV1().Triggers(ns)}
}

// ConfigSet is where it has what configures brokers on RabbitMQ.
func (p *Pass) ConfigSet() child.Set[*rabbitv1alpha1.RabbitmqBrokerConfig] {
	ns := p.Owner.GetNamespace()
	return child.Set[*rabbitv1alpha1.RabbitmqBrokerConfig]{
		Kind: "RabbitmqBrokerConfig", Lister: p.Rabbit.Configs.RabbitmqBrokerConfigs(ns), Client: p.Rabbit.Client.EventingV1alpha1().RabbitmqBrokerConfigs(ns),
	}
}

func (p *Pass) queueSet() child.Set[*topologyv1beta1.Queue] {
	ns := p.Owner.GetNamespace()
	return child.Set[*topologyv1beta1.Queue]{Kind: "Queue", Lister: p.Rabbit.Queues.Queues(ns), Client: p.Rabbit.Topology.RabbitmqV1beta1().Queues(ns)}
}

func (p *Pass) policySet() child.Set[*topologyv1beta1.Policy] {
	ns := p.Owner.GetNamespace()
	return child.Set[*topologyv1beta1.Policy]{Kind: "Policy", Lister: p.Rabbit.Policies.Policies(ns), Client: p.Rabbit.Topology.RabbitmqV1beta1().Policies(ns)}
}

func (p *Pass) bindingSet() child.Set[*topologyv1beta1.Binding] {
	ns := p.Owner.GetNamespace()
	return child.Set[*topologyv1beta1.Binding]{Kind: "Binding", Lister: p.Rabbit.Bindings.Bindings(ns), Client: p.Rabbit.Topology.RabbitmqV1beta1().Bindings(ns)}
}

// Triggers of the owner.
func (p *Pass) Triggers() ([]*eventingv1.Trigger, error) {
	return p.Knative.Triggers.Triggers(p.Owner.GetNamespace()).List(labels.SelectorFromSet(p.Labels))
}

// ReadyFor tells for how long the Trigger has been ready; it is not where ready is
// false.
func (p *Pass) ReadyFor(t *eventingv1.Trigger) (since time.Duration, ready bool) {
	c := t.Status.GetCondition(apis.ConditionReady)
	if t.Status.ObservedGeneration != t.Generation || !c.IsTrue() {
		return 0, false
	}
	return p.Clock.Since(c.LastTransitionTime.Inner.Time), true
}

// DeadLetters makes the owner's dead letter queue, or removes it where it is not
// wanted. explicit says that its own spec speaks of it: then it is told why there is
// none. It returns whether letters have a place to go.
func (p *Pass) DeadLetters(ctx context.Context, wanted, explicit bool, queue *topologyv1beta1.Queue, policy *topologyv1beta1.Policy) (bool, error) {
	switch {
	case !wanted:
		return false, p.removeDeadLetters(ctx, queue, policy)
	case p.Rabbit == nil:
		if explicit {
			p.Tell(&Trouble{Reason: v1alpha1.ReasonRabbitMQNotInstalled, Failed: true,
				Message: "The cluster has no RabbitMQ topology operator, which a dead letter queue needs: install it, or set eventing.dlq.enabled to false."})
		}
		return false, nil
	case !p.Config.HasRabbitMQ():
		if explicit {
			p.Tell(&Trouble{Reason: v1alpha1.ReasonRabbitMQNotConfigured, Failed: true,
				Message: "There is no RabbitMQ for a dead letter queue: name it as rabbitmq-cluster in " + config.EventingConfigName + ", or set eventing.dlq.enabled to false."})
		}
		return false, nil
	}
	has, err := p.queueSet().Ensure(ctx, p.Owner, queue, nil)
	if err != nil {
		return false, p.Refused(err, v1alpha1.ReasonDeadLetterQueueNotOwned, v1alpha1.ReasonDeadLetterQueueRejected)
	}
	bounds, err := p.policySet().Ensure(ctx, p.Owner, policy, resources.MutateDeadLetterPolicy)
	if err != nil {
		return false, p.Refused(err, v1alpha1.ReasonDeadLetterQueueNotOwned, v1alpha1.ReasonDeadLetterQueueRejected)
	}
	p.queued = p.topologyStatus("Queue", has.Name, has.Generation, has.Status.ObservedGeneration, has.Status.Conditions)
	p.topologyStatus("Policy", bounds.Name, bounds.Generation, bounds.Status.ObservedGeneration, bounds.Status.Conditions)
	return true, nil
}

func (p *Pass) removeDeadLetters(ctx context.Context, queue *topologyv1beta1.Queue, policy *topologyv1beta1.Policy) error {
	if p.Rabbit == nil {
		return nil
	}
	if err := p.policySet().Delete(ctx, p.Owner, policy.Name); err != nil {
		return err
	}
	return p.queueSet().Delete(ctx, p.Owner, queue.Name)
}
