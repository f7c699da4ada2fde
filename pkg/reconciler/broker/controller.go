package broker

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/auth"
	brokerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/broker"
	policyinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1alpha1/eventpolicy"
	brokerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/broker"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/resolver"

	"k8s.io/client-go/tools/cache"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// concurrency is how many Brokers are reconciled at once.
const concurrency = 4

// NewController wires informers and configuration to the reconciler. It registers the
// conditions of Brokers for the whole process.
func NewController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	RegisterConditions()
	brokers, policies := brokerinformer.Get(ctx), policyinformer.Get(ctx)
	shared := plane.Get(ctx)
	r := &Reconciler{endpoints: shared.Endpoints, connections: shared.Selector, policies: policies.Lister()}
	ours := pkgreconciler.AnnotationFilterFunc(brokerreconciler.ClassAnnotationKey, lambda.BrokerClass, false)
	impl := brokerreconciler.NewImpl(ctx, r, lambda.BrokerClass, func(*controller.Impl) controller.Options {
		return controller.Options{ConfigStore: shared.Configuration(ctx, cmw), PromoteFilterFunc: ours}
	})
	impl.Concurrency = concurrency // the generated controller ignores that of the options
	if err := measure.Reconciles(impl, "brokers"); err != nil {
		logging.FromContext(ctx).Fatalw("Reconciles of Brokers cannot be measured", "error", err)
	}
	r.after = impl.EnqueueKeyAfter
	r.sinks = resolver.NewURIResolverFromTracker(ctx, impl.Tracker)

	brokers.Informer().AddEventHandler(cache.FilteringResourceEventHandler{FilterFunc: ours, Handler: controller.HandleAll(impl.Enqueue)})
	brokers.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: impl.Tracker.OnDeletedObserver})
	policies.Informer().AddEventHandler(auth.EventPolicyEventHandler(
		brokers.Informer().GetIndexer(), eventingv1.SchemeGroupVersion.WithKind("Broker").GroupKind(), impl.EnqueueKey))
	resync := func() { impl.FilteredGlobalResync(ours, brokers.Informer()) }
	for _, informer := range []cache.SharedIndexInformer{shared.Informers.EndpointSlices, shared.Informers.Certificate} {
		informer.AddEventHandler(controller.HandleAll(func(any) { resync() }))
	}
	shared.OnConfigured(resync)
	shared.OnSecret(func(namespace string) { enqueueConfigured(brokers.Lister(), ours, namespace, impl.Enqueue) })
	shared.Selector.Connections.Observe(func(string) { resync() })
	shared.Start(ctx)
	return impl
}

// enqueueConfigured enqueues the Brokers of a namespace whose configuration may lead to a
// Secret there.
func enqueueConfigured(brokers eventinglisters.BrokerLister, ours func(any) bool, namespace string, enqueue func(any)) {
	all, err := brokers.Brokers(namespace).List(labels.Everything())
	if err != nil {
		return // a lister fails for no reason
	}
	for _, b := range all {
		if assignment.Configured(b) && ours(b) {
			enqueue(b)
		}
	}
}
