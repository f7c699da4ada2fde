package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// sinkKinds are the kinds that a sink may refer to. The operator and Knative read objects
// of other kinds, Secrets among them, with their own rights, and their errors would disclose
// what exists. The schemas of eventing.sink and triggers[].delivery have the same
// list.
var sinkKinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Service"},
	{Group: "eventing.knative.dev", Version: "v1", Kind: "Broker"},
	{Group: "flows.knative.dev", Version: "v1", Kind: "Parallel"},
	{Group: "flows.knative.dev", Version: "v1", Kind: "Sequence"},
	{Group: lambda.GroupName, Version: "v1alpha1", Kind: "LambdaAgent"},
	{Group: lambda.GroupName, Version: "v1alpha1", Kind: "LambdaFunction"},
	{Group: "messaging.knative.dev", Version: "v1", Kind: "Channel"},
	{Group: "messaging.knative.dev", Version: "v1", Kind: "InMemoryChannel"},
	{Group: "serving.knative.dev", Version: "v1", Kind: "Service"},
}

// ExpectedSinkKinds are the kinds that a sink may refer to, for messages.
const ExpectedSinkKinds = "expected Service (v1 or serving.knative.dev/v1), Broker (eventing.knative.dev/v1), Channel or InMemoryChannel (messaging.knative.dev/v1), " +
	"Parallel or Sequence (flows.knative.dev/v1), LambdaAgent or LambdaFunction (lambda.knative.io/v1alpha1)"

// IsSink reports whether a sink may refer to the object's kind.
func IsSink(ref *duckv1.KReference) bool {
	return ref.Group == "" && slices.Contains(sinkKinds, schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
}

func validateSinkKind(ref *duckv1.KReference) *apis.FieldError {
	if ref == nil || IsSink(ref) {
		return nil
	}
	return apis.ErrInvalidValue(ref.Kind+" ("+ref.APIVersion+")", "ref.kind", ExpectedSinkKinds)
}
