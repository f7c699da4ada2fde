package resources

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// sharedMeta is that of children which functions of a namespace share.
func sharedMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{lambda.ManagedByLabelKey: lambda.ManagedBy}}
}

// MakeBroker makes the Broker of a namespace.
func MakeBroker(namespace, name string, cfg *config.Eventing) *eventingv1.Broker {
	return shared.MakeBroker(sharedMeta(namespace, name), names.BrokerConfig(name), cfg)
}

// MakeBrokerConfig makes what says which RabbitMQ the broker is on. Its spec cannot
// be changed.
func MakeBrokerConfig(namespace, broker string, r *v1alpha1.RabbitMQSpec, cfg *config.Eventing) *rabbitv1alpha1.RabbitmqBrokerConfig {
	return shared.MakeBrokerConfig(sharedMeta(namespace, names.BrokerConfig(broker)), r, cfg)
}
