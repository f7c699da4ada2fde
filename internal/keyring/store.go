package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"knative.dev/pkg/logging"
)

// SecretName of the keyring, in the operator's namespace. It is shipped empty; the
// first process that starts fills it.
const SecretName = "knative-lambda-keyring"

// Kind of keys that a Secret holds.
type Kind[K any] struct {
	// SecretName in the operator's namespace.
	SecretName string
	// Generate returns the data of a new Secret.
	Generate func() (map[string][]byte, error)
	// New returns the keys of a Secret's data, or an error if they are invalid.
	New func(data map[string][]byte) (*K, error)
	// Equal reports whether two hold the same keys.
	Equal func(a, b *K) bool
}

// Store holds keys as a Secret has them now.
type Store[K any] struct{ newest atomic.Pointer[K] }

// Newest returns the newest valid keys.
func (s *Store[K]) Newest() *K { return s.newest.Load() }

// Static returns a store of these keys.
func Static[K any](keys *K) *Store[K] {
	s := &Store[K]{}
	s.newest.Store(keys)
	return s
}

// Open opens the operator's keyring as OpenKind does.
func Open(ctx context.Context, kube kubernetes.Interface, namespace string, changed func()) (*Store[Keyring], error) {
	return OpenKind(ctx, kube, namespace, Kind[Keyring]{SecretName, Generate, New, (*Keyring).equal}, changed)
}

// OpenKind fills the Secret if it is empty and watches it until ctx ends. It calls
// changed, which may be nil, after each change to other valid keys. An invalid change is
// logged, and the last valid keys stay in force.
func OpenKind[K any](ctx context.Context, kube kubernetes.Interface, namespace string, kind Kind[K], changed func()) (*Store[K], error) {
	data, err := ensure(ctx, kube, namespace, kind.SecretName, kind.Generate)
	if err != nil {
		return nil, err
	}
	first, err := kind.New(data)
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, kind.SecretName, err)
	}
	s := Static(first)
	err = watch(ctx, kube, namespace, kind.SecretName, func(data map[string][]byte) error {
		keys, err := kind.New(data)
		if err != nil {
			return err
		}
		if old := s.newest.Swap(keys); !kind.Equal(old, keys) && changed != nil {
			changed()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// watch calls apply with the data of a Secret after each change, until ctx ends. It logs
// the error of data that apply refuses.
func watch(ctx context.Context, kube kubernetes.Interface, namespace, name string, apply func(map[string][]byte) error) error {
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		}))
	update := func(obj any) {
		secret, ok := obj.(*corev1.Secret)
		if !ok || secret.Name != name {
			return
		}
		if err := apply(secret.Data); err != nil {
			logging.FromContext(ctx).Errorw("Invalid Secret; keeping the last valid keys", "secret", name, "error", err)
		}
	}
	if _, err := factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: update, UpdateFunc: func(_, obj any) { update(obj) },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return nil
}

func (k *Keyring) equal(other *Keyring) bool {
	return string(k.current) == string(other.current) && string(k.previous) == string(other.previous)
}

// errConcurrent reports that another process filled the Secret at the same time.
var errConcurrent = errors.New("another process filled the Secret")

// ensure returns the data of a Secret. If it has none, ensure fills it with what
// generate returns, unless another process does so first.
func ensure(ctx context.Context, kube kubernetes.Interface, namespace, name string, generate func() (map[string][]byte, error)) (map[string][]byte, error) {
	secrets := kube.CoreV1().Secrets(namespace)
	var data map[string][]byte
	again := func(err error) bool { return apierrs.IsConflict(err) || errors.Is(err, errConcurrent) }
	err := retry.OnError(retry.DefaultBackoff, again, func() error {
		secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
		missing := apierrs.IsNotFound(err)
		if err != nil && !missing {
			return err
		}
		if !missing && len(secret.Data) > 0 {
			data = secret.Data
			return nil
		}
		if data, err = generate(); err != nil {
			return err
		}
		if missing {
			_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}, metav1.CreateOptions{})
			if apierrs.IsAlreadyExists(err) {
				return errConcurrent
			}
			return err
		}
		secret = secret.DeepCopy()
		secret.Data = data
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("filling Secret %s/%s: %w", namespace, name, err)
	}
	return data, nil
}
