package resources

import (
	"encoding/json"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// WantsDeadLetters tells whether the function is to have a dead letter queue, and
// whether its own spec says so.
func WantsDeadLetters(f *v1alpha1.LambdaFunction, cfg *config.Eventing) (wanted, explicit bool) {
	if !f.Spec.WantsEvents() {
		return false, false
	}
	if e := f.Spec.ActiveEventing(); e != nil && e.DLQ != nil && e.DLQ.Enabled != nil {
		return *e.DLQ.Enabled, true
	}
	return cfg.DeadLetters.Enabled, false
}

// DeadLetterSink is where brokers send what they cannot deliver to the function.
func DeadLetterSink(f *v1alpha1.LambdaFunction, cfg *config.Eventing) *duckv1.Destination {
	receiver := cfg.DeadLetters.Receiver
	return &duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: receiver.Namespace, Name: receiver.Name},
		URI: &apis.URL{Path: "/dead-letters/" + f.Namespace + "/" + f.Name},
	}
}

// platform is the RabbitMQ of the configuration, as objects of the namespace refer
// to it.
func platform(namespace string, cfg *config.Eventing) topologyv1beta1.RabbitmqClusterReference {
	if cfg.ConnectionSecret != "" {
		return topologyv1beta1.RabbitmqClusterReference{Namespace: namespace, ConnectionSecret: &corev1.LocalObjectReference{Name: cfg.ConnectionSecret}}
	}
	return topologyv1beta1.RabbitmqClusterReference{Namespace: cfg.RabbitMQCluster.Namespace, Name: cfg.RabbitMQCluster.Name}
}

// MakeDeadLetterQueue makes the queue. What bounds it is a policy, as arguments of
// a queue cannot be changed.
func MakeDeadLetterQueue(f *v1alpha1.LambdaFunction, cfg *config.Eventing) *topologyv1beta1.Queue {
	return &topologyv1beta1.Queue{
		ObjectMeta: objectMeta(f, names.DeadLetterQueue(f)),
		Spec: topologyv1beta1.QueueSpec{
			Name:                     names.RabbitMQDeadLetterQueue(f),
			Vhost:                    "/",
			Type:                     "quorum",
			Durable:                  true,
			RabbitmqClusterReference: platform(f.Namespace, cfg),
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
func MakeDeadLetterPolicy(f *v1alpha1.LambdaFunction, cfg *config.Eventing) *topologyv1beta1.Policy {
	b := bounds{MessageTTL: cfg.DeadLetters.MessageTTL.Milliseconds(), MaxLength: int64(cfg.DeadLetters.MaxLength), Overflow: cfg.DeadLetters.OverflowPolicy, DeliveryLimit: manyDeliveries}
	if e := f.Spec.ActiveEventing(); e != nil && e.DLQ != nil {
		if t := e.DLQ.MessageTTL; t != nil {
			b.MessageTTL = t.Value().Milliseconds()
		}
		if n := e.DLQ.MaxLength; n != nil {
			b.MaxLength = *n
		}
		if o := e.DLQ.OverflowPolicy; o != "" {
			b.Overflow = o
		}
	}
	definition, err := json.Marshal(b)
	if err != nil {
		panic(err) // numbers and a word
	}
	queue := names.RabbitMQDeadLetterQueue(f)
	return &topologyv1beta1.Policy{
		ObjectMeta: objectMeta(f, names.DeadLetterQueue(f)),
		Spec: topologyv1beta1.PolicySpec{
			Name:                     queue,
			Vhost:                    "/",
			Pattern:                  "^" + regexp.QuoteMeta(queue) + "$",
			ApplyTo:                  "queues",
			Priority:                 1,
			Definition:               &runtime.RawExtension{Raw: definition},
			RabbitmqClusterReference: platform(f.Namespace, cfg),
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
