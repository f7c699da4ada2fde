package lambdafunction

import (
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// subscribers signs what the function's Triggers ask of its runtime.
func subscribers(f *v1alpha1.LambdaFunction, keys *keyring.Keyring) shared.Subscribers {
	return shared.Subscribers{Keys: keys, Kind: "function", Namespace: f.Namespace, Name: f.Name}
}
