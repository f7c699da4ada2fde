package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	"knative.dev/eventing/pkg/eventtype"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/configmap/informer"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
)

// features of Knative Eventing that the program has.
type features struct {
	store    *feature.Store
	verifier *auth.Verifier
	types    *eventTypes
}

// watchFeatures follows the features of Knative Eventing as long as ctx runs.
func (d *Dependencies) watchFeatures(ctx context.Context, namespace string) error {
	logger, err := knativeLogger()
	if err != nil {
		return err
	}
	ctx = logging.WithLogger(injection.WithConfig(ctx, d.Clients.Config), logger)
	watcher := watchConfigMap(d.Clients.Kube, namespace, feature.FlagsConfigName)
	types := &eventTypes{ctx: ctx, client: d.Clients.Eventing, logger: logger.Desugar()}
	types.features = feature.NewStore(logger.Named("features"), func(string, any) { types.changed() })
	types.features.WatchConfigs(watcher)
	d.Features = &features{store: types.features, verifier: auth.NewVerifier(ctx, d.Policies, d.TrustBundles, watcher), types: types}
	if err := watcher.Start(ctx.Done()); err != nil {
		return fmt.Errorf("cannot watch the features of Knative Eventing in namespace %s: %w", namespace, err)
	}
	types.changed()
	return nil
}

// watchConfigMap lists one ConfigMap, so that the right to do so can name it.
func watchConfigMap(kube kubernetes.Interface, namespace, configMap string) *informer.InformedWatcher {
	name := fields.OneTermEqualSelector(metav1.ObjectNameField, configMap).String()
	factory := informers.NewSharedInformerFactoryWithOptions(kube, resync, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = name }))
	return informer.NewInformedWatcherFromFactory(factory, namespace)
}

// knativeLogger is for Knative's packages, which take a logger of zap.
func knativeLogger() (*zap.SugaredLogger, error) {
	logger, err := zap.NewProduction()
	if err != nil {
		return nil, err
	}
	return logger.Sugar(), nil
}

// eventTypes makes an EventType for each type of event, posted or in reply, while that
// feature is on. The cache of EventTypes is filled when it is first switched on.
type eventTypes struct {
	ctx      context.Context
	client   eventingclientset.Interface
	features *feature.Store
	logger   *zap.Logger
	once     sync.Once
	mu       sync.RWMutex
	handler  *eventtype.EventTypeAutoHandler
}

func (t *eventTypes) changed() {
	if t.features != nil && t.features.IsEnabled(feature.EvenTypeAutoCreate) {
		t.once.Do(func() { go t.start() })
	}
}

func (t *eventTypes) start() {
	factory := externalversions.NewSharedInformerFactoryWithOptions(t.client, resync, externalversions.WithTransform(slim))
	lister := factory.Eventing().V1beta3().EventTypes().Lister()
	factory.Start(t.ctx.Done())
	if err := synced(factory.WaitForCacheSync(t.ctx.Done())); err != nil {
		slog.WarnContext(t.ctx, "EventTypes are not created", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handler = &eventtype.EventTypeAutoHandler{
		EventTypeLister: lister, EventingClient: t.client.EventingV1beta3(), FeatureStore: t.features, Logger: t.logger,
	}
}

// see an event that a Broker has got. It looks at the feature itself, and does not block.
func (t *eventTypes) see(ctx context.Context, broker types.NamespacedName, uid types.UID, e *cloudevents.Event) {
	t.mu.RLock()
	handler := t.handler
	t.mu.RUnlock()
	if handler != nil {
		bare := &cloudevents.Event{Context: e.Context} // it outlives the request, whose data is no longer counted
		reference := &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: broker.Namespace, Name: broker.Name}
		handler.AutoCreateEventType(ctx, bare, reference, uid)
	}
}
