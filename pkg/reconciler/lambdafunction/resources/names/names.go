// Package names holds the name of every child of a LambdaFunction.
package names

import (
	"encoding/json"
	"fmt"

	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
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

// Trigger is the name of a new Trigger that delivers the events with these attributes. It
// keeps the name when its filters change.
func Trigger(function kmeta.Accessor, broker string, exact map[string]string) string {
	text, err := json.Marshal(exact) // keys are sorted
	if err != nil {
		panic(err) // strings only
	}
	return kmeta.ChildName(function.GetName(), "-"+build.Hash(broker+"\n"+string(text)))
}

// Outcomes is the name of the Trigger that delivers outcomes of calls: of a kind, success or
// failure.
func Outcomes(function kmeta.Accessor, kind string) string {
	return kmeta.ChildName(function.GetName(), "-on-"+kind)
}

// BrokerConfig is the name of what configures a broker on RabbitMQ.
func BrokerConfig(broker string) string {
	return kmeta.ChildName(broker, "-lambda")
}

// RabbitMQDeadLetterQueue is the name of the function's dead letter queue in RabbitMQ.
func RabbitMQDeadLetterQueue(function kmeta.Accessor) string {
	return events.DeadLetterQueue(function.GetNamespace(), function.GetName())
}
