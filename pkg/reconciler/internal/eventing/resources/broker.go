package resources

import (
	"strconv"
	"time"

	"github.com/rickb777/date/period"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// ParallelismAnnotation of a Trigger on RabbitMQ: how many events are in delivery at
// once.
const ParallelismAnnotation = "rabbitmq.eventing.knative.dev/parallelism"

// podResources are what eventing-rabbitmq reads of a Broker or a Trigger for the pods
// that it makes.
var podResources = []struct {
	annotation string
	of         func(*corev1.ResourceRequirements) corev1.ResourceList
	name       corev1.ResourceName
}{
	{"rabbitmq.eventing.knative.dev/cpu-request", requests, corev1.ResourceCPU},
	{"rabbitmq.eventing.knative.dev/cpu-limit", limits, corev1.ResourceCPU},
	{"rabbitmq.eventing.knative.dev/memory-request", requests, corev1.ResourceMemory},
	{"rabbitmq.eventing.knative.dev/memory-limit", limits, corev1.ResourceMemory},
}

func requests(r *corev1.ResourceRequirements) corev1.ResourceList { return r.Requests }
func limits(r *corev1.ResourceRequirements) corev1.ResourceList   { return r.Limits }

// podAnnotations say which resources the pods of a Broker or a Trigger have.
func podAnnotations(cfg *config.Eventing) map[string]string {
	annotations := map[string]string{}
	for _, r := range podResources {
		if q, ok := r.of(&cfg.BrokerPodResources)[r.name]; ok {
			annotations[r.annotation] = q.String()
		}
	}
	return annotations
}

// TriggerAnnotations of a Trigger on RabbitMQ.
func TriggerAnnotations(r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) map[string]string {
	annotations := podAnnotations(cfg)
	annotations[ParallelismAnnotation] = strconv.Itoa(Parallelism(r, cfg))
	return annotations
}

// MakeBroker makes a broker on the RabbitMQ of a RabbitmqBrokerConfig.
func MakeBroker(meta metav1.ObjectMeta, brokerConfig string, cfg *config.Eventing) *eventingv1.Broker {
	b := &eventingv1.Broker{
		ObjectMeta: meta,
		Spec: eventingv1.BrokerSpec{
			Config: &duckv1.KReference{
				APIVersion: rabbitv1alpha1.SchemeGroupVersion.String(), Kind: "RabbitmqBrokerConfig", Namespace: meta.Namespace, Name: brokerConfig,
			},
			Delivery: Delivery(nil, cfg.Delivery.Timeout, nil, cfg),
		},
	}
	b.Annotations = podAnnotations(cfg)
	b.Annotations[eventingv1.BrokerClassAnnotationKey] = config.RabbitMQBrokerClass
	return b
}

// MakeBrokerConfig makes what says which RabbitMQ a broker is on. Its spec cannot be
// changed.
func MakeBrokerConfig(meta metav1.ObjectMeta, r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) *rabbitv1alpha1.RabbitmqBrokerConfig {
	reference, queueType := Platform(meta.Namespace, cfg), cfg.QueueType
	if r != nil {
		switch {
		case r.ConnectionSecret != nil:
			reference = topologyv1beta1.RabbitmqClusterReference{Namespace: meta.Namespace, ConnectionSecret: &corev1.LocalObjectReference{Name: r.ConnectionSecret.Name}}
		case r.ClusterName != "" && r.Namespace != "":
			reference = topologyv1beta1.RabbitmqClusterReference{Namespace: r.Namespace, Name: r.ClusterName}
		case r.ClusterName != "":
			reference = topologyv1beta1.RabbitmqClusterReference{Namespace: meta.Namespace, Name: r.ClusterName}
		}
		if r.QueueType != "" {
			queueType = r.QueueType
		}
	}
	return &rabbitv1alpha1.RabbitmqBrokerConfig{
		ObjectMeta: meta,
		Spec: rabbitv1alpha1.RabbitmqBrokerConfigSpec{
			RabbitmqClusterReference: &reference,
			QueueType:                rabbitv1alpha1.QueueType(queueType),
		},
	}
}

// BrokerConfigDiffers names the setting in which a broker that is there is another
// than the spec asks for; empty is none. What the spec leaves out is as the broker
// has it.
func BrokerConfigDiffers(existing, desired *rabbitv1alpha1.RabbitmqBrokerConfig, r *v1alpha1.RabbitMQSpec) string {
	if r == nil {
		return ""
	}
	has, wants := existing.Spec.RabbitmqClusterReference, desired.Spec.RabbitmqClusterReference
	switch {
	case r.ConnectionSecret != nil && !has.Matches(wants):
		return "connectionSecret"
	case r.ClusterName != "" && !has.Matches(wants):
		return "clusterName"
	case r.QueueType != "" && existing.Spec.QueueType != desired.Spec.QueueType:
		return "queueType"
	}
	return ""
}

// Delivery by the owner's dead letter settings, else the configuration. A Trigger
// never leaves it out: a broker on RabbitMQ drops the event that it cannot deliver
// where there is none.
func Delivery(spec *v1alpha1.DeadLetterSpec, timeout time.Duration, deadLetters *duckv1.Destination, cfg *config.Eventing) *eventingduckv1.DeliverySpec {
	retry, policy, delay := Retries(spec, cfg)
	kind, isoDelay, isoTimeout := eventingduckv1.BackoffPolicyType(policy), v1alpha1.ISODuration(delay), v1alpha1.ISODuration(timeout)
	return &eventingduckv1.DeliverySpec{Retry: &retry, BackoffPolicy: &kind, BackoffDelay: &isoDelay, Timeout: &isoTimeout, DeadLetterSink: deadLetters}
}

// Retries after the first attempt: how many, how their delay grows, and the first.
func Retries(spec *v1alpha1.DeadLetterSpec, cfg *config.Eventing) (retry int32, policy string, delay time.Duration) {
	retry, policy, delay = int32(cfg.Delivery.Retry), cfg.Delivery.BackoffPolicy, cfg.Delivery.BackoffDelay //nolint:gosec // configuration bounds it by 100
	if spec == nil {
		return retry, policy, delay
	}
	if n := spec.RetryMaxAttempts; n != nil {
		retry = *n
	}
	if p := spec.BackoffPolicy; p != "" {
		policy = p
	}
	if d := spec.RetryBackoffDelay; d != nil {
		delay = d.Value()
	}
	return retry, policy, delay
}

// maxRetryWindow bounds RetryWindow: a delay that doubles is soon more than a lifetime.
const maxRetryWindow = 24 * time.Hour

// RetryWindow is how long the attempts of a delivery can take together, as RabbitMQ's
// dispatcher makes them. Nothing of the delivery may be left out.
func RetryWindow(d *eventingduckv1.DeliverySpec) time.Duration {
	delay, timeout := lengthOf(*d.BackoffDelay), lengthOf(*d.Timeout)
	window := timeout
	for n := 1; n <= int(*d.Retry) && window < maxRetryWindow; n++ {
		if *d.BackoffPolicy == eventingduckv1.BackoffPolicyLinear {
			window += delay*time.Duration(n) + timeout
		} else {
			window += delay<<n + timeout
		}
	}
	return min(window, maxRetryWindow)
}

// lengthOf ISO 8601's text, up to maxRetryWindow; none where it is malformed, as the
// dispatcher has it.
func lengthOf(text string) time.Duration {
	p, _ := period.Parse(text)
	return min(p.DurationApprox(), maxRetryWindow)
}

// Parallelism of Triggers: the spec's, else the configuration's.
func Parallelism(r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) int {
	if r != nil && r.Parallelism != nil {
		return int(*r.Parallelism)
	}
	return cfg.Parallelism
}

// MutateTrigger sets on existing what this project owns of a Trigger and can be
// changed.
func MutateTrigger(existing, desired *eventingv1.Trigger) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	for _, r := range podResources {
		if _, wanted := desired.Annotations[r.annotation]; !wanted {
			delete(existing.Annotations, r.annotation)
		}
	}
	existing.Annotations = child.MergeMap(existing.Annotations, desired.Annotations)
	existing.Spec.Subscriber.Ref = desired.Spec.Subscriber.Ref
	existing.Spec.Subscriber.URI = desired.Spec.Subscriber.URI
	existing.Spec.Delivery = desired.Spec.Delivery
	existing.Spec.Filters = desired.Spec.Filters
}
