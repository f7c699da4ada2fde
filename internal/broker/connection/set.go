package connection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// SecretName of the Secret in the operator's namespace that has all connections: a key for
// each by its name, with the Settings in JSON. There is one, so that a program that follows
// it may read no other Secret.
const SecretName = "knative-lambda-connections"

// Encode the settings for the Secret.
func (s *Settings) Encode() ([]byte, error) { return json.Marshal(s) }

// Decode all connections of the Secret. What cannot be read is left out.
func Decode(o *corev1.Secret) map[string]Settings {
	all := map[string]Settings{}
	for name, text := range o.Data {
		var s Settings
		if err := json.Unmarshal(text, &s); err != nil {
			slog.Error("A connection to RabbitMQ cannot be read", "secret", o.Name, "connection", name)
			continue
		}
		all[name] = s
	}
	return all
}

// NewInformer of the Secret.
func NewInformer(kube kubernetes.Interface, namespace string) cache.SharedIndexInformer {
	return informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, SecretName).String()
		})).Core().V1().Secrets().Informer()
}

// Follow calls apply with all connections, now and at each change, as long as running does.
// It returns when apply was called with what there is; ctx bounds how long that takes.
func Follow(running, ctx context.Context, informer cache.SharedIndexInformer, apply func(map[string]Settings)) error {
	changed := func(o any) {
		if s, ok := o.(*corev1.Secret); ok {
			apply(Decode(s))
		}
	}
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, o any) { changed(o) }, DeleteFunc: func(any) { apply(nil) },
	})
	if err != nil {
		return err
	}
	go informer.Run(running.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return errors.New("cannot read Secret " + SecretName + ": check that the ServiceAccount may list and watch it")
	}
	return nil
}

// Set keeps open what the Secret has.
type Set[T any] struct {
	// Open a connection. current are its settings, which may change later on.
	Open func(name string, current func() *Settings) T
	// Close a connection that the Secret no longer has. It may take its time.
	Close func(name string, opened T)

	mu  sync.Mutex
	all map[string]*member[T]
}

type member[T any] struct {
	settings atomic.Pointer[Settings]
	opened   T
}

// Apply opens, changes and closes connections so that all are open, and no others.
func (s *Set[T]) Apply(all map[string]Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]*member[T]{}
	}
	for name, m := range s.all {
		if _, wanted := all[name]; !wanted {
			delete(s.all, name)
			s.Close(name, m.opened)
		}
	}
	for name, settings := range all {
		m := s.all[name]
		if m != nil {
			m.settings.Store(&settings)
			continue
		}
		m = &member[T]{}
		m.settings.Store(&settings)
		m.opened = s.Open(name, m.settings.Load)
		s.all[name] = m
	}
}

// Get a connection that is open.
func (s *Set[T]) Get(name string) (opened T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.all[name]; m != nil {
		return m.opened, true
	}
	return opened, false
}

// Opened are all connections that are open, in order of their names.
func (s *Set[T]) Opened() (all []T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.all)) {
		all = append(all, s.all[name].opened)
	}
	return all
}

// TooManyError says why there can be no further connection.
type TooManyError struct{ Limit, PerNamespace int }

// Error implements error.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("%d connections besides that of the installation may be open, %d of one namespace", e.Limit, e.PerNamespace)
}

// Admit says whether a further connection may be open. One namespace gets half of them.
func Admit(all map[string][]byte, name string, limit int) error {
	perNamespace := (limit + 1) / 2
	if _, open := all[name]; open {
		return nil
	}
	own := 0
	for other := range all {
		if NamespaceOf(other) == NamespaceOf(name) {
			own++
		}
	}
	if len(all) >= limit || own >= perNamespace {
		return &TooManyError{limit, perNamespace}
	}
	return nil
}
