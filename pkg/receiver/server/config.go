package server

import (
	"context"
	"log/slog"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/configmap/informer"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// settings are the newest valid config-events and config-eventing.
type settings struct {
	events   atomic.Pointer[config.Events]
	eventing atomic.Pointer[config.Eventing]
}

func (s *settings) newestEvents() *config.Events { return s.events.Load() }

// receiver is the receiver's own Service.
func (s *settings) receiver() types.NamespacedName { return s.eventing.Load().DeadLetters.Receiver }

// watchConfig reads both ConfigMaps and follows them until ctx ends.
func watchConfig(ctx context.Context, kube kubernetes.Interface, namespace string) (*settings, error) {
	s := &settings{}
	s.events.Store(config.DefaultEvents())
	byDefault, err := config.NewEventingFromConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}})
	if err != nil {
		return nil, err
	}
	s.eventing.Store(byDefault)
	ignored := func(err error) { slog.Warn("ignoring what this version does not know", "error", err) }
	watcher := informer.NewInformedWatcher(kube, namespace)
	watcher.Watch(config.EventsConfigName, store(&s.events, config.Tolerant(ignored, config.NewEventsFromConfigMap)))
	silent := func(error) {} // the controller warns
	watcher.Watch(config.EventingConfigName, store(&s.eventing, config.Tolerant(silent, config.NewEventingFromConfigMap)))
	return s, watcher.Start(ctx.Done())
}

// store what a ConfigMap says, if it is valid.
func store[T any](newest *atomic.Pointer[T], parse func(*corev1.ConfigMap) (*T, error)) func(*corev1.ConfigMap) {
	return func(cm *corev1.ConfigMap) {
		parsed, err := parse(cm)
		if err != nil {
			slog.Error("Invalid ConfigMap; keeping the last valid configuration", "configmap", cm.Name, "error", err)
			return
		}
		newest.Store(parsed)
	}
}
