// Package names holds the name of every child of a LambdaFunction.
package names

import (
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
