package resources

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// MakeBroker makes a Broker of the configuration's class. One of class RabbitMQBroker is
// on the RabbitMQ of the RabbitmqBrokerConfig of that name.
func MakeBroker(meta metav1.ObjectMeta, brokerConfig string, cfg *config.Eventing) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: meta, Spec: eventingv1.BrokerSpec{Delivery: Delivery(nil, cfg.Delivery.Timeout, cfg)}}
	b.Annotations = map[string]string{eventingv1.BrokerClassAnnotationKey: cfg.BrokerClass}
	if cfg.BrokerClass == config.RabbitMQBrokerClass {
		b.Spec.Config = &duckv1.KReference{
			APIVersion: rabbitv1alpha1.SchemeGroupVersion.String(), Kind: "RabbitmqBrokerConfig", Namespace: meta.Namespace, Name: brokerConfig,
		}
	}
	return b
}

// platform is the RabbitMQ of the configuration, as objects of the namespace refer to it.
func platform(namespace string, cfg *config.Eventing) topologyv1beta1.RabbitmqClusterReference {
	if cfg.ConnectionSecret != "" {
		return topologyv1beta1.RabbitmqClusterReference{Namespace: namespace, ConnectionSecret: &corev1.LocalObjectReference{Name: cfg.ConnectionSecret}}
	}
	return topologyv1beta1.RabbitmqClusterReference{Namespace: cfg.RabbitMQCluster.Namespace, Name: cfg.RabbitMQCluster.Name}
}

// NotOnPlane names the setting by which a spec asks for another RabbitMQ than that of the
// event plane; empty is none.
func NotOnPlane(namespace string, r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) string {
	if r == nil {
		return ""
	}
	cluster := types.NamespacedName{Namespace: cmp.Or(r.Namespace, namespace), Name: r.ClusterName}
	switch {
	case r.ConnectionSecret != nil:
		return "connectionSecret"
	case r.ClusterName != "" && cluster != cfg.RabbitMQCluster:
		return "clusterName"
	case r.QueueType != "" && r.QueueType != cfg.QueueType:
		return "queueType"
	}
	return ""
}

// MakeBrokerConfig makes what says which RabbitMQ a broker is on. Its spec cannot be
// changed.
func MakeBrokerConfig(meta metav1.ObjectMeta, r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) *rabbitv1alpha1.RabbitmqBrokerConfig {
	reference, queueType := platform(meta.Namespace, cfg), cfg.QueueType
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

// Delivery by the owner's dead letter settings, else the configuration. A Trigger never
// leaves it out: Knative's broker on RabbitMQ drops the event that it cannot deliver where
// there is none.
func Delivery(spec *v1alpha1.DeadLetterSpec, timeout time.Duration, cfg *config.Eventing) *eventingduckv1.DeliverySpec {
	retry, policy, delay := Retries(spec, cfg)
	kind, isoDelay, isoTimeout := eventingduckv1.BackoffPolicyType(policy), v1alpha1.ISODuration(delay), v1alpha1.ISODuration(timeout)
	return &eventingduckv1.DeliverySpec{Retry: &retry, BackoffPolicy: &kind, BackoffDelay: &isoDelay, Timeout: &isoTimeout}
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

// maxBackoff that the event plane waits between two attempts.
const maxBackoff = time.Hour

// LongestBackoff between two attempts of a delivery by the owner's settings.
func LongestBackoff(spec *v1alpha1.DeadLetterSpec, cfg *config.Eventing) time.Duration {
	retry, policy, delay := Retries(spec, cfg)
	if policy == string(eventingduckv1.BackoffPolicyLinear) {
		return min(delay*time.Duration(retry), maxBackoff)
	}
	for n := int32(0); n < retry && delay < maxBackoff; n++ {
		delay *= 2
	}
	return min(delay, maxBackoff)
}
