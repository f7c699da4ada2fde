package resources

import (
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/network"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// WantsDeadLetters tells whether the function is to have a dead letter queue, and
// whether its own spec says so.
func WantsDeadLetters(f *v1alpha1.LambdaFunction, cfg *config.Eventing) (wanted, explicit bool) {
	if !f.Spec.WantsEvents() {
		return false, false
	}
	return shared.WantsDeadLetters(deadLetters(f), cfg)
}

// deadLetters are the settings of the spec, where there are any in force.
func deadLetters(f *v1alpha1.LambdaFunction) *v1alpha1.DeadLetterSpec {
	if e := f.Spec.ActiveEventing(); e != nil {
		return e.DLQ
	}
	return nil
}

// DeadLetterSink is where brokers send what they cannot deliver to the function. Its
// path proves to the receiver that the operator has made it for this function.
func DeadLetterSink(f *v1alpha1.LambdaFunction, keys *keyring.Keyring, cfg *config.Eventing) *duckv1.Destination {
	return shared.DeadLetterSink(deadLetterPath(f, keys), cfg)
}

func deadLetterPath(f *v1alpha1.LambdaFunction, keys *keyring.Keyring) string {
	return receiverpath.Target{Purpose: receiverpath.DeadLetters, Kind: receiverpath.Function, Namespace: f.Namespace, Name: f.Name}.Path(keys)
}

// deadLetterURL is the same as an address, for the function's own runtime.
func deadLetterURL(f *v1alpha1.LambdaFunction, keys *keyring.Keyring, cfg *config.Eventing) string {
	receiver := cfg.DeadLetters.Receiver
	return apis.HTTP(network.GetServiceHostname(receiver.Name, receiver.Namespace)).String() + deadLetterPath(f, keys)
}

// MakeDeadLetterQueue makes the function's queue.
func MakeDeadLetterQueue(f *v1alpha1.LambdaFunction, cfg *config.Eventing) *topologyv1beta1.Queue {
	return shared.MakeDeadLetterQueue(objectMeta(f, names.DeadLetterQueue(f)), names.RabbitMQDeadLetterQueue(f), cfg)
}

// MakeDeadLetterPolicy makes the policy that bounds the queue.
func MakeDeadLetterPolicy(f *v1alpha1.LambdaFunction, cfg *config.Eventing) *topologyv1beta1.Policy {
	return shared.MakeDeadLetterPolicy(objectMeta(f, names.DeadLetterQueue(f)), names.RabbitMQDeadLetterQueue(f), deadLetters(f), cfg)
}

// MakeDeadLetterBinding binds the queue to the dead letter exchange of a Trigger.
func MakeDeadLetterBinding(f *v1alpha1.LambdaFunction, t *eventingv1.Trigger, late bool, cfg *config.Eventing) *topologyv1beta1.Binding {
	return shared.MakeDeadLetterBinding(objectMeta(f, shared.BindingName(t.Name)), names.RabbitMQDeadLetterQueue(f), t, late, cfg)
}
