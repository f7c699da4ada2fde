// Package resources makes the objects of eventing that functions and agents both
// have. Nothing here talks to anything.
package resources

import (
	"encoding/json"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	naming "knative.dev/eventing-rabbitmq/pkg/rabbitmqnaming"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// WantsDeadLetters tells whether there is to be a dead letter queue, and whether the
// owner's own spec says so.
func WantsDeadLetters(spec *v1alpha1.DeadLetterSpec, cfg *config.Eventing) (wanted, explicit bool) {
	if spec != nil && spec.Enabled != nil {
		return *spec.Enabled, true
	}
	return cfg.DeadLetters.Enabled, false
}

// DeadLetterSink is where brokers send what they cannot deliver; path is the
// owner's at the receiver.
func DeadLetterSink(path string, cfg *config.Eventing) *duckv1.Destination {
	receiver := cfg.DeadLetters.Receiver
	return &duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: receiver.Namespace, Name: receiver.Name},
		URI: &apis.URL{Path: path},
	}
}

// Platform is the RabbitMQ of the configuration, as objects of the namespace refer
// to it.
func Platform(namespace string, cfg *config.Eventing) topologyv1beta1.RabbitmqClusterReference {
	if cfg.ConnectionSecret != "" {
		return topologyv1beta1.RabbitmqClusterReference{Namespace: namespace, ConnectionSecret: &corev1.LocalObjectReference{Name: cfg.ConnectionSecret}}
	}
	return topologyv1beta1.RabbitmqClusterReference{Namespace: cfg.RabbitMQCluster.Namespace, Name: cfg.RabbitMQCluster.Name}
}

// OnPlatform tells whether objects of the namespace that refer to a RabbitMQ so are
// where dead letter queues are.
func OnPlatform(namespace string, reference topologyv1beta1.RabbitmqClusterReference, vhost string, cfg *config.Eventing) bool {
	if reference.Namespace == "" {
		reference.Namespace = namespace
	}
	return cfg.HasRabbitMQ() && (vhost == "" || vhost == "/") && equality.Semantic.DeepEqual(reference, Platform(namespace, cfg))
}

// MakeDeadLetterQueue makes the queue of that name in RabbitMQ. What bounds it is a
// policy, as arguments of a queue cannot be changed.
func MakeDeadLetterQueue(meta metav1.ObjectMeta, queue string, cfg *config.Eventing) *topologyv1beta1.Queue {
	return &topologyv1beta1.Queue{
		ObjectMeta: meta,
		Spec: topologyv1beta1.QueueSpec{
			Name:                     queue,
			Vhost:                    "/",
			Type:                     "quorum",
			Durable:                  true,
			RabbitmqClusterReference: Platform(meta.Namespace, cfg),
		},
	}
}

// bounds of a queue, in RabbitMQ's words.
type bounds struct {
	MessageTTL int64  `json:"message-ttl"` // in milliseconds
	MaxLength  int64  `json:"max-length"`
	Overflow   string `json:"overflow"`
	// DeliveryLimit is how often a letter may be looked at and put back before
	// RabbitMQ drops it, which from its version 4 on is 20 where nobody says else.
	DeliveryLimit int64 `json:"delivery-limit"`
}

// manyDeliveries are more than anybody looks.
const manyDeliveries = 1_000_000_000

// MakeDeadLetterPolicy makes the policy that bounds the queue.
func MakeDeadLetterPolicy(meta metav1.ObjectMeta, queue string, spec *v1alpha1.DeadLetterSpec, cfg *config.Eventing) *topologyv1beta1.Policy {
	b := bounds{MessageTTL: cfg.DeadLetters.MessageTTL.Milliseconds(), MaxLength: int64(cfg.DeadLetters.MaxLength), Overflow: cfg.DeadLetters.OverflowPolicy, DeliveryLimit: manyDeliveries}
	if spec != nil {
		if t := spec.MessageTTL; t != nil {
			b.MessageTTL = t.Value().Milliseconds()
		}
		if n := spec.MaxLength; n != nil {
			b.MaxLength = *n
		}
		if o := spec.OverflowPolicy; o != "" {
			b.Overflow = o
		}
	}
	return makePolicy(meta, queue, queue, 1, b, cfg)
}

// makePolicy makes the policy, with that name and priority in RabbitMQ, of one queue.
func makePolicy(meta metav1.ObjectMeta, name, queue string, priority int, definition any, cfg *config.Eventing) *topologyv1beta1.Policy {
	raw, err := json.Marshal(definition)
	if err != nil {
		panic(err) // numbers and words
	}
	return &topologyv1beta1.Policy{
		ObjectMeta: meta,
		Spec: topologyv1beta1.PolicySpec{
			Name:                     name,
			Vhost:                    "/",
			Pattern:                  "^" + regexp.QuoteMeta(queue) + "$",
			ApplyTo:                  "queues",
			Priority:                 priority,
			Definition:               &runtime.RawExtension{Raw: raw},
			RabbitmqClusterReference: Platform(meta.Namespace, cfg),
		},
	}
}

// MutateDeadLetterPolicy sets on existing the bounds; the rest cannot be changed.
func MutateDeadLetterPolicy(existing, desired *topologyv1beta1.Policy) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	if !sameJSON(existing.Spec.Definition, desired.Spec.Definition) {
		existing.Spec.Definition = desired.Spec.Definition
	}
}

// sameJSON compares content: the API server writes keys in its own order.
func sameJSON(a, b *runtime.RawExtension) bool {
	var x, y bounds
	if a == nil || b == nil || json.Unmarshal(a.Raw, &x) != nil || json.Unmarshal(b.Raw, &y) != nil {
		return false
	}
	return x == y
}

// retirement of a queue, in RabbitMQ's words: it holds nothing, and what it would hold
// goes to the dead letter exchange. What a consumer has is not touched.
type retirement struct {
	DeadLetterExchange   string `json:"dead-letter-exchange"`
	DeadLetterRoutingKey string `json:"dead-letter-routing-key"`
	MaxLength            int    `json:"max-length"`
}

// RetirementName is the name of the policy that empties the queue of a Trigger.
func RetirementName(trigger string) string {
	return kmeta.ChildName(trigger, "-retired")
}

// MakeRetirement makes the policy by which RabbitMQ makes dead letters, with that routing
// key, of what waits in the queue of the Trigger and of what comes to it. The Trigger
// has a dead letter sink and is the broker's of that UID, which is on the configuration's
// RabbitMQ.
func MakeRetirement(meta metav1.ObjectMeta, t *eventingv1.Trigger, broker types.UID, routingKey string, cfg *config.Eventing) *topologyv1beta1.Policy {
	meta.Annotations = child.MergeMap(meta.Annotations, map[string]string{lambda.RetiredAnnotationKey: t.Name})
	queue := naming.CreateTriggerQueueRabbitName(t, string(broker))
	definition := retirement{DeadLetterExchange: naming.TriggerDLXExchangeName(t), DeadLetterRoutingKey: routingKey}
	// Knative's policy of the queue has priority 1, and one policy holds at a time.
	return makePolicy(meta, queue+".retired", queue, 2, definition, cfg)
}

// BindingName is the name of what binds a dead letter queue to the dead letter
// exchange of a Trigger.
func BindingName(trigger string) string {
	return kmeta.ChildName(trigger, "-dead-letters")
}

// BoundSink is the dead letter sink of a Trigger whose letters RabbitMQ itself puts
// into the owner's queue, once the binding is there. The receiver looks for it when
// a letter comes, so that the Trigger need not change with it.
func BoundSink(sink *duckv1.Destination, binding string) *duckv1.Destination {
	bound := sink.DeepCopy()
	bound.URI.RawQuery = events.BoundQuery(binding)
	return bound
}

// BoundBy names the binding that the Trigger's dead letter sink speaks of; empty is
// none.
func BoundBy(t *eventingv1.Trigger) string {
	if d := t.Spec.Delivery; d != nil && d.DeadLetterSink != nil && d.DeadLetterSink.URI != nil {
		return d.DeadLetterSink.URI.URL().Query().Get(events.BindingQuery)
	}
	return ""
}

// MakeDeadLetterBinding binds a queue to the exchange to which the Trigger's
// dispatcher publishes what it could not deliver: the owner has it from then on,
// whatever becomes of whoever else is told. late says that there may be letters from
// before.
func MakeDeadLetterBinding(meta metav1.ObjectMeta, queue string, t *eventingv1.Trigger, late bool, cfg *config.Eventing) *topologyv1beta1.Binding {
	b := &topologyv1beta1.Binding{
		ObjectMeta: meta,
		Spec: topologyv1beta1.BindingSpec{
			Vhost:           "/",
			Source:          naming.TriggerDLXExchangeName(t),
			Destination:     queue,
			DestinationType: "queue",
			// The exchange goes by headers: all of none are those of every message.
			Arguments:                &runtime.RawExtension{Raw: []byte(`{"x-match":"all"}`)},
			RabbitmqClusterReference: Platform(meta.Namespace, cfg),
		},
	}
	if late {
		b.Annotations = map[string]string{lambda.LateBindingAnnotationKey: "true"}
	}
	return b
}

// BindsTheSame tells whether one binding does what the other does. None can be
// changed.
func BindsTheSame(one, other *topologyv1beta1.Binding) bool {
	return one.Spec.Source == other.Spec.Source && one.Spec.Destination == other.Spec.Destination && one.Spec.Vhost == other.Spec.Vhost &&
		equality.Semantic.DeepEqual(one.Spec.RabbitmqClusterReference, other.Spec.RabbitmqClusterReference)
}
