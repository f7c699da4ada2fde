package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/network"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/guard"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// sharedOfOperator are the operator's Services for all namespaces: Brokers, and what takes
// dead letters, approvals and commands.
var sharedOfOperator = []string{"knative-lambda-broker", "knative-lambda-receiver"}

// sharedOfEventing are Knative's Services for all namespaces, in its namespace: Brokers,
// Channels and sinks of other classes have their addresses there, or are ExternalName
// Services that lead there. Paths and host names say which object is meant. Knative's
// webhooks and controllers are not among them.
var sharedOfEventing = []string{
	"broker-ingress", "imc-dispatcher", "job-sink", "request-reply", "kafka-broker-ingress", "kafka-channel-ingress", "kafka-sink-ingress",
}

func shared(o *Options) (all []types.NamespacedName) {
	for namespace, names := range map[string][]string{o.Namespace: sharedOfOperator, o.EventingNamespace: sharedOfEventing} {
		for _, name := range names {
			all = append(all, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	return all
}

// watchTargets decides from now on where events may be delivered. ctx bounds how long the
// caches fill.
func (d *Dependencies) watchTargets(running, ctx context.Context, o *Options) error {
	clients := guard.Clients{Kube: d.Clients.Kube, Metadata: d.Clients.Metadata, Lambda: d.Clients.Lambda}
	cluster, err := guard.Watch(running, ctx, clients, d.Brokers.Lister())
	if err != nil {
		return err
	}
	s := &settings{}
	if err := s.watch(running, d.Clients.Kube, o.Namespace); err != nil {
		return err
	}
	g := &guard.Guard{Domain: network.GetClusterDomainName(), Shared: shared(o), Cluster: cluster, Settings: s.load}
	d.Permit = g.Permit
	return nil
}

// settings of deliveries in the ConfigMaps of the operator.
type settings struct {
	mu       sync.Mutex
	eventing *config.Eventing
	build    *config.Build
	err      error // of what was read first
}

func (s *settings) watch(ctx context.Context, kube kubernetes.Interface, namespace string) error {
	observe := map[string]func(*corev1.ConfigMap){
		config.EventingConfigName: observer(s, config.NewEventingFromConfigMap, &s.eventing),
		config.BuildConfigName:    observer(s, config.NewBuildFromConfigMap, &s.build),
	}
	for name, observed := range observe {
		watcher := watchConfigMap(kube, namespace, name)
		watcher.Watch(name, observed)
		if err := watcher.Start(ctx.Done()); err != nil {
			return fmt.Errorf("cannot watch ConfigMap %s/%s: %w", namespace, name, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.eventing == nil || s.build == nil {
		return errors.Join(errors.New("the networks of deliveries are not known"), s.err)
	}
	return nil
}

// observer keeps what could be parsed last.
func observer[T any](s *settings, parse func(*corev1.ConfigMap) (*T, error), to **T) func(*corev1.ConfigMap) {
	tolerant := config.Tolerant(func(err error) { slog.Warn("Ignoring what this version does not know", "error", err) }, parse)
	return func(cm *corev1.ConfigMap) {
		parsed, err := tolerant(cm)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.err = err
			slog.Error("The configuration is not valid; the last one holds", "configmap", cm.Name, "error", err)
			return
		}
		*to = parsed
	}
}

func (s *settings) load() *guard.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &guard.Settings{
		Gateways: s.eventing.DeliveryGateways, Allowed: s.eventing.DeliveryAllowedNetworks, Denied: s.build.EgressDeniedNetworks,
	}
}
