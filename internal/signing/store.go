package signing

import (
	"context"
	"crypto/ecdsa"
	"slices"

	"k8s.io/client-go/kubernetes"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
)

// SecretName of the keys, in the operator's namespace. It is shipped empty; the
// controller fills it at its first start.
const SecretName = "knative-lambda-signing"

// Open fills the Secret if it is empty and watches it until ctx ends. An invalid change
// is logged, and the last valid keys stay in force.
func Open(ctx context.Context, kube kubernetes.Interface, namespace string) (*keyring.Store[Keys], error) {
	return keyring.OpenKind(ctx, kube, namespace, keyring.Kind[Keys]{SecretName: SecretName, Generate: Generate, New: New, Equal: (*Keys).equal}, nil)
}

func (k *Keys) equal(other *Keys) bool {
	return k.private.Equal(other.private) && slices.EqualFunc(k.accepted, other.accepted, func(a, b *ecdsa.PublicKey) bool { return a.Equal(b) })
}
