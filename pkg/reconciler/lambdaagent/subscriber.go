package lambdaagent

import (
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// subscribers signs what the agent's Triggers ask of its runtime.
func subscribers(a *v1alpha1.LambdaAgent, keys *keyring.Keyring) shared.Subscribers {
	return shared.Subscribers{Keys: keys, Kind: "agent", Namespace: a.Namespace, Name: a.Name}
}
