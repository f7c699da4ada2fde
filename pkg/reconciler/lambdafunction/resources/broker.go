package resources

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// sharedMeta is that of children which functions of a namespace share.
func sharedMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{lambda.ManagedByLabelKey: lambda.ManagedBy}}
}

// MakeBroker makes the broker of a namespace, on RabbitMQ.
func MakeBroker(namespace, name string, cfg *config.Eventing) *eventingv1.Broker {
	retry, policy := int32(cfg.Delivery.Retry), eventingduckv1.BackoffPolicyType(cfg.Delivery.BackoffPolicy) //nolint:gosec // configuration bounds it by 100
	delay, timeout := v1alpha1.ISODuration(cfg.Delivery.BackoffDelay), v1alpha1.ISODuration(cfg.Delivery.Timeout)
	b := &eventingv1.Broker{
		ObjectMeta: sharedMeta(namespace, name),
		Spec: eventingv1.BrokerSpec{
			Config: &duckv1.KReference{
				APIVersion: rabbitv1alpha1.SchemeGroupVersion.String(), Kind: "RabbitmqBrokerConfig", Namespace: namespace, Name: names.BrokerConfig(name),
			},
			Delivery: &eventingduckv1.DeliverySpec{Retry: &retry, BackoffPolicy: &policy, BackoffDelay: &delay, Timeout: &timeout},
		},
	}
	b.Annotations = map[string]string{eventingv1.BrokerClassAnnotationKey: config.RabbitMQBrokerClass}
	return b
}

// MakeBrokerConfig makes what says which RabbitMQ the broker is on. Its spec cannot
// be changed.
func MakeBrokerConfig(namespace, broker string, r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) *rabbitv1alpha1.RabbitmqBrokerConfig {
	reference, queueType := platform(namespace, cfg), cfg.QueueType
	if r != nil {
		switch {
		case r.ConnectionSecret != nil:
			reference = topologyv1beta1.RabbitmqClusterReference{Namespace: namespace, ConnectionSecret: &corev1.LocalObjectReference{Name: r.ConnectionSecret.Name}}
		case r.ClusterName != "" && r.Namespace != "":
			reference = topologyv1beta1.RabbitmqClusterReference{Namespace: r.Namespace, Name: r.ClusterName}
		case r.ClusterName != "":
			reference = topologyv1beta1.RabbitmqClusterReference{Namespace: namespace, Name: r.ClusterName}
		}
		if r.QueueType != "" {
			queueType = r.QueueType
		}
	}
	return &rabbitv1alpha1.RabbitmqBrokerConfig{
		ObjectMeta: sharedMeta(namespace, names.BrokerConfig(broker)),
		Spec: rabbitv1alpha1.RabbitmqBrokerConfigSpec{
			RabbitmqClusterReference: &reference,
			QueueType:                rabbitv1alpha1.QueueType(queueType),
		},
	}
}

// BrokerConfigDiffers names the setting in which a broker that is there is another
// than the function asks for; empty is none. What the function leaves out is as
// the broker has it.
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
