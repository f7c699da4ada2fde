package resources

import (
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// WantsDeadLetters reports whether the function is to have a dead letter queue, and
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

// DeadLetterSink is where Brokers of other classes send what they cannot deliver to the
// function. Its path proves to the receiver that the operator has made it for this
// function.
func DeadLetterSink(f *v1alpha1.LambdaFunction, keys *keyring.Keyring, cfg *config.Eventing) *duckv1.Destination {
	at := receiverpath.Target{Purpose: receiverpath.DeadLetters, Kind: receiverpath.Function, Namespace: f.Namespace, Name: f.Name}
	return shared.DeadLetterSink(at.Path(keys), cfg)
}

// DeadLetterBounds of the function's queue.
func DeadLetterBounds(f *v1alpha1.LambdaFunction, cfg *config.Eventing) deadletters.Bounds {
	return shared.DeadLetterBounds(deadLetters(f), cfg)
}
