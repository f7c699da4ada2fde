package eventing

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
)

// Pass is one reconcile of one owner's objects of eventing.
type Pass struct {
	Troubles
	// Owner of the objects, and the labels by which its objects are found.
	Owner  Owner
	Labels labels.Set
	Config *config.Eventing
	// Knative is there; Sources and Rabbit are nil where the cluster has none.
	Knative *Knative
	Sources *Sources
	Rabbit  *Rabbit
	Queues  Queues

	// Unbound says why the dead letter queue has not its own bounds; empty if it has.
	Unbound string
}

// Owner is a function or an agent.
type Owner interface {
	kmeta.OwnerRefable
	metav1.Object
}

// Queues of dead letters.
type Queues interface {
	Ensure(ctx context.Context, queue string, b deadletters.Bounds) error
	Delete(ctx context.Context, queue string) error
	Known(queue string) bool
}

// Allowed reports whether the owner may name the object of a destination. The condition
// says why not.
func (p *Pass) Allowed(ctx context.Context, r sinks.Resolver, field string, d *duckv1.Destination) bool {
	err := sinks.Check(ctx, r, p.Owner, field, d)
	if err != nil {
		message, again := sinks.Trouble("", err)
		p.Tell(&Trouble{Reason: v1alpha1.ReasonSinkNotResolved, Message: message, Failed: true, Err: again})
	}
	return err == nil
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

// PingSourceSet is where it has PingSources.
func (p *Pass) PingSourceSet() child.Set[*sourcesv1.PingSource] {
	ns := p.Owner.GetNamespace()
	return child.Set[*sourcesv1.PingSource]{Kind: "PingSource", Lister: p.Sources.PingSources.PingSources(ns), Client: p.Sources.Client.SourcesV1().PingSources(ns)}
}

// ConfigSet is where it has what configures brokers on RabbitMQ.
func (p *Pass) ConfigSet() child.Set[*rabbitv1alpha1.RabbitmqBrokerConfig] {
	ns := p.Owner.GetNamespace()
	return child.Set[*rabbitv1alpha1.RabbitmqBrokerConfig]{
		Kind: "RabbitmqBrokerConfig", Lister: p.Rabbit.Configs.RabbitmqBrokerConfigs(ns), Client: p.Rabbit.Client.EventingV1alpha1().RabbitmqBrokerConfigs(ns),
	}
}

// Triggers that the owner controls, in the order of their names.
func (p *Pass) Triggers() ([]*eventingv1.Trigger, error) {
	all, err := p.Knative.Triggers.Triggers(p.Owner.GetNamespace()).List(labels.SelectorFromSet(p.Labels))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(t *eventingv1.Trigger) bool { return !metav1.IsControlledBy(t, p.Owner.GetObjectMeta()) })
	slices.SortFunc(all, func(a, b *eventingv1.Trigger) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
