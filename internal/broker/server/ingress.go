package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	"knative.dev/eventing/pkg/eventtype"
	"knative.dev/eventing/pkg/observability/otel"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/configmap/informer"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/ingress"
)

// newIngress returns the handler of senders. It follows the features of Knative Eventing
// as long as ctx runs.
func newIngress(ctx context.Context, d *Dependencies, o Options) (http.Handler, error) {
	logger, err := knativeLogger()
	if err != nil {
		return nil, err
	}
	ctx = logging.WithLogger(injection.WithConfig(ctx, d.Clients.Config), logger)
	watcher := watchFeatures(d.Clients.Kube, o.EventingNamespace)
	types := &eventTypes{ctx: ctx, dependencies: d, logger: logger.Desugar()}
	features := feature.NewStore(logger.Named("features"), func(string, any) { types.changed() })
	types.features = features
	features.WatchConfigs(watcher)
	verifier := auth.NewVerifier(ctx, d.Policies, d.TrustBundles, watcher)
	if err := watcher.Start(ctx.Done()); err != nil {
		return nil, fmt.Errorf("cannot watch the features of Knative Eventing in namespace %s: %w", o.EventingNamespace, err)
	}
	types.changed()
	telemetry, err := ingress.NewTelemetry(d.Meters, d.Traces)
	if err != nil {
		return nil, err
	}
	handler := (&ingress.Handler{
		Brokers:    ingress.NewListedBrokers(d.Brokers.Lister(), d.Clients.Eventing.EventingV1()),
		Publisher:  d.Engine,
		Budget:     d.Requests,
		Telemetry:  telemetry,
		Clock:      clock.RealClock{},
		Authorizer: &ingress.EventPolicies{Verifier: verifier, Features: features.Load},
		Accepted:   types.accepted,
		MaxBody:    o.MaxBody,
	}).Complete()
	// Metrics of requests by Host header and path are in the hands of senders.
	return otel.NewHandler(encrypted(features, handler), "broker.ingress", noopmetric.NewMeterProvider(), d.Traces), nil
}

// encrypted refuses plain HTTP where transport-encryption is strict. As in Knative, 404 is
// what senders try again: not all of them know of the feature at the same moment.
func encrypted(features *feature.Store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && features.Load().IsStrictTransportEncryption() {
			http.Error(w, "the feature transport-encryption is strict: use https", http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// watchFeatures of Knative Eventing. It lists that one ConfigMap, so that the right to do
// so can name it.
func watchFeatures(kube kubernetes.Interface, namespace string) *informer.InformedWatcher {
	name := fields.OneTermEqualSelector(metav1.ObjectNameField, feature.FlagsConfigName).String()
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

// eventTypes makes an EventType for each type of event, while that feature is on. The
// cache of EventTypes is filled when it is first switched on.
type eventTypes struct {
	ctx          context.Context
	dependencies *Dependencies
	features     *feature.Store
	logger       *zap.Logger
	once         sync.Once
	mu           sync.RWMutex
	handler      *eventtype.EventTypeAutoHandler
}

func (t *eventTypes) changed() {
	if t.features != nil && t.features.IsEnabled(feature.EvenTypeAutoCreate) {
		t.once.Do(func() { go t.start() })
	}
}

func (t *eventTypes) start() {
	client := t.dependencies.Clients.Eventing
	factory := externalversions.NewSharedInformerFactoryWithOptions(client, resync, externalversions.WithTransform(slim))
	lister := factory.Eventing().V1beta3().EventTypes().Lister()
	factory.Start(t.ctx.Done())
	if err := synced(factory.WaitForCacheSync(t.ctx.Done())); err != nil {
		slog.WarnContext(t.ctx, "EventTypes are not created", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handler = &eventtype.EventTypeAutoHandler{
		EventTypeLister: lister, EventingClient: client.EventingV1beta3(), FeatureStore: t.features, Logger: t.logger,
	}
}

// accepted looks at the feature itself, and does not block.
func (t *eventTypes) accepted(ctx context.Context, b ingress.Broker, e *cloudevents.Event) {
	t.mu.RLock()
	handler := t.handler
	t.mu.RUnlock()
	if handler != nil {
		bare := &cloudevents.Event{Context: e.Context} // it outlives the request, whose data is no longer counted
		broker := &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: b.Namespace, Name: b.Name}
		handler.AutoCreateEventType(ctx, bare, broker, b.UID)
	}
}
