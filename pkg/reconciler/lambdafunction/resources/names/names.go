// Package names holds the name of every child of a LambdaFunction.
package names

import (
	"encoding/json"
	"fmt"

	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// Service is the Knative Service's: the function's own, so that its URL carries
// it.
func Service(function kmeta.Accessor) string {
	return function.GetName()
}

// Build is the name of the Job, and of its input, that makes an image for the
// function: it changes with the image's reference, with the rebuild annotation
// and with each attempt.
func Build(function kmeta.Accessor, reference, rebuild string, attempt int32) string {
	return kmeta.ChildName(function.GetName(), fmt.Sprintf("-build-%s-%d", build.Hash(reference+"\n"+rebuild), attempt))
}

// Trigger is the name of the Trigger that delivers the events with these
// attributes: neither they nor the broker of a Trigger can be changed.
func Trigger(function kmeta.Accessor, broker string, exact map[string]string) string {
	text, err := json.Marshal(exact) // keys are sorted
	if err != nil {
		panic(err) // strings only
	}
	return kmeta.ChildName(function.GetName(), "-"+build.Hash(broker+"\n"+string(text)))
}

// BrokerConfig is the name of what configures a broker on RabbitMQ.
func BrokerConfig(broker string) string {
	return kmeta.ChildName(broker, "-lambda")
}

// DeadLetterQueue is the name of the objects that make the function's dead letter
// queue.
func DeadLetterQueue(function kmeta.Accessor) string {
	return kmeta.ChildName(function.GetName(), "-dead-letters")
}

// RabbitMQDeadLetterQueue is the name of that queue in RabbitMQ.
func RabbitMQDeadLetterQueue(function kmeta.Accessor) string {
	return "lambda.dlq." + function.GetNamespace() + "." + function.GetName()
}
