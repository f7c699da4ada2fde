package trigger

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	brokerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/broker"
	triggerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/trigger"
	triggerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/trigger"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/eventing/pkg/duck"
	sourceduck "knative.dev/pkg/client/injection/ducks/duck/v1/source"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/resolver"
	"knative.dev/pkg/system"

	broker "github.com/brunovlucena/knative-lambda-operator/internal/broker/replicas"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventinginformers"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// concurrency is how many Triggers are reconciled at once.
const concurrency = 8

// NewController wires informers, RabbitMQ and the replicas to the reconciler.
func NewController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	logger := logging.FromContext(ctx)
	triggers, brokers := triggerinformer.Get(ctx), brokerinformer.Get(ctx)
	shared := plane.Get(ctx)
	owners := &owners{brokers: brokers.Lister()}
	queues := newQueues(shared.Selector)
	r := &Reconciler{
		owners:      owners,
		filled:      func() bool { return eventinginformers.Filled(brokers.Informer()) },
		connections: shared.Selector,
		identities: &serviceAccounts{
			kube: kubeclient.Get(ctx), lister: corev1listers.NewServiceAccountLister(shared.Informers.Identities.GetIndexer()), clock: clock.RealClock{},
		},
		queues: queues, triggers: triggers.Lister(), validity: newValidity(),
	}
	impl := triggerreconciler.NewImpl(ctx, r, func(*controller.Impl) controller.Options {
		return controller.Options{
			ConfigStore: shared.Configuration(ctx, cmw), FinalizerName: lambda.TriggerFinalizer, PromoteFilterFunc: owners.concerns,
		}
	})
	impl.Concurrency = concurrency // the generated controller ignores that of the options
	guarded := &guard{generated: impl.Reconciler.(leading), triggers: triggers.Lister(), owners: owners, client: eventingclient.Get(ctx), queues: queues}
	impl.Reconciler = guarded
	if err := measure.Reconciles(impl, "triggers"); err != nil {
		logger.Fatalw("Reconciles of Triggers cannot be measured", "error", err)
	}
	r.after = impl.EnqueueKeyAfter
	r.sinks = resolver.NewURIResolverFromTracker(ctx, impl.Tracker)
	r.dependencies = &sources{duck.NewListableTrackerFromTracker(ctx, sourceduck.Get, impl.Tracker)}
	r.tombstones = &tombstones{kube: kubeclient.Get(ctx), namespace: system.Namespace(), connections: shared.Selector, leads: guarded.IsLeaderFor}
	guarded.orphans = newOrphans(owners, queues, r.tombstones, guarded.IsLeaderFor)
	waiter := newWaiter(ctx, shared, impl.EnqueueKey)
	r.replicas = waiter
	v := &verifier{triggers: triggers.Lister(), owners: owners, queues: queues, leads: guarded.IsLeaderFor, enqueue: impl.EnqueueKey, clean: r.tombstones.clean}

	triggers.Informer().AddEventHandler(cache.FilteringResourceEventHandler{FilterFunc: owners.concerns, Handler: controller.HandleAll(impl.Enqueue)})
	triggers.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: impl.Tracker.OnDeletedObserver})
	triggers.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		if key, clean := guarded.orphans.observe(obj); clean {
			impl.EnqueueKey(key)
		}
	}})
	brokers.Informer().AddEventHandler(controller.HandleAll(func(obj any) { enqueueOf(owners, triggers.Lister(), obj, impl.EnqueueKey) }))
	shared.Informers.Identities.AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: controller.FilterController(&eventingv1.Trigger{}), Handler: controller.HandleAll(impl.EnqueueControllerOf),
	})
	shared.Informers.EndpointSlices.AddEventHandler(controller.HandleAll(func(any) { waiter.Changed() }))
	resync := func() { impl.FilteredGlobalResync(owners.concerns, triggers.Informer()) }
	shared.OnConfigured(resync)
	shared.Selector.Connections.Observe(func(name string) {
		resync()
		if c := shared.Selector.Get(name); c != nil && c.Err() == nil {
			go func() {
				if err := r.tombstones.clean(ctx); err != nil {
					logger.Warnw("Queues of deleted Triggers are still there", "error", err)
				}
			}()
		}
	})
	go waiter.Run(ctx)
	unused := &collector{
		wake: make(chan struct{}, 1),
		kube: kubeclient.Get(ctx), namespace: system.Namespace(), registry: shared.Selector.Registry, brokers: brokers.Lister(), triggers: triggers.Lister(),
		filled: func() bool {
			return eventinginformers.Filled(brokers.Informer()) && eventinginformers.Filled(triggers.Informer())
		},
		leads: func() bool {
			return guarded.IsLeaderFor(types.NamespacedName{Namespace: system.Namespace(), Name: collectKey})
		},
	}
	for _, informer := range []cache.SharedIndexInformer{brokers.Informer(), triggers.Informer()} {
		informer.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: unused.deleted})
	}
	go unused.run(ctx)
	go v.run(ctx)
	go (&sweeper{
		triggers: triggers.Lister(), client: eventingclient.Get(ctx), queues: queues,
		filled: func() bool { return eventinginformers.Filled(triggers.Informer()) },
		leads: func() bool {
			return guarded.IsLeaderFor(types.NamespacedName{Namespace: system.Namespace(), Name: sweepKey})
		},
	}).run(ctx)
	shared.Start(ctx)
	return impl
}

// newWaiter asks the replicas that are ready.
func newWaiter(ctx context.Context, shared *plane.Plane, enqueue func(types.NamespacedName)) *broker.Waiter {
	return broker.NewWaiter(broker.Options{
		Addresses: shared.Endpoints.Ready,
		Ask:       broker.NewClient(egress.Deliveries).Ask,
		Enqueue:   enqueue,
		Report: func(address string, err error) {
			logging.FromContext(ctx).Warnw("A replica does not say which Triggers it serves", "address", address, "error", err)
		},
	})
}

// enqueueOf a Broker its Triggers, if they are this controller's.
func enqueueOf(owners *owners, triggers eventinglisters.TriggerLister, obj any, enqueue func(types.NamespacedName)) {
	if deleted, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = deleted.Obj
	}
	b, ok := obj.(*eventingv1.Broker)
	if !ok {
		return
	}
	key := types.NamespacedName{Namespace: b.Namespace, Name: b.Name}
	all, err := triggers.Triggers(b.Namespace).List(labels.Everything())
	if err != nil {
		return // of a cache: it does not fail
	}
	for _, t := range slices.DeleteFunc(slices.Clone(all), func(t *eventingv1.Trigger) bool { return brokerOf(t) != key }) {
		if owners.concerns(t) {
			enqueue(types.NamespacedName{Namespace: t.Namespace, Name: t.Name})
		}
	}
}
