package signing

import (
	"context"
	"fmt"
	"sync/atomic"

	"k8s.io/client-go/kubernetes"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
)

// SecretName of the keys, in the operator's namespace. It is shipped empty; the
// controller fills it at its first start.
const SecretName = "knative-lambda-signing"

// Store holds the keys as the Secret has them now.
type Store struct{ newest atomic.Pointer[Keys] }

// Keys returns the newest valid keys.
func (s *Store) Keys() *Keys { return s.newest.Load() }

// Static returns a store of these keys.
func Static(k *Keys) *Store {
	s := &Store{}
	s.newest.Store(k)
	return s
}

// Open fills the Secret if it is empty and watches it until ctx ends. An invalid change
// is logged, and the last valid keys stay in force.
func Open(ctx context.Context, kube kubernetes.Interface, namespace string) (*Store, error) {
	data, err := keyring.Ensure(ctx, kube, namespace, SecretName, Generate)
	if err != nil {
		return nil, err
	}
	first, err := New(data)
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, SecretName, err)
	}
	s := Static(first)
	return s, keyring.Watch(ctx, kube, namespace, SecretName, func(data map[string][]byte) error {
		k, err := New(data)
		if err == nil {
			s.newest.Store(k)
		}
		return err
	})
}
