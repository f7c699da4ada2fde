package lambdaagent

import (
	"context"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	configmapinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/configmap/filtered"
	podinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	serviceaccountinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/serviceaccount/filtered"
	roleinformer "knative.dev/pkg/client/injection/kube/informers/rbac/v1/role/filtered"
	rolebindinginformer "knative.dev/pkg/client/injection/kube/informers/rbac/v1/rolebinding/filtered"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"
	servingclient "knative.dev/serving/pkg/client/injection/client"
	serviceinformer "knative.dev/serving/pkg/client/injection/informers/serving/v1/service/filtered"
	domainmappinginformer "knative.dev/serving/pkg/client/injection/informers/serving/v1beta1/domainmapping/filtered"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	agentinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdaagent"
	agentreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/modelprobe"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

// concurrency is how many agents are reconciled at once. A pass waits only for its own
// writes.
const concurrency = 8

// NewController wires informers, handlers and configuration to the reconciler. The
// context must carry lambda.Selector for filtered informers.
func NewController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	agents := agentinformer.Get(ctx)
	services := serviceinformer.Get(ctx, lambda.Selector)
	configMaps := configmapinformer.Get(ctx, lambda.Selector)
	pods := podinformer.Get(ctx, lambda.Selector)
	mappings := domainmappinginformer.Get(ctx, lambda.Selector)
	serviceAccounts := serviceaccountinformer.Get(ctx, lambda.Selector)
	roles, bindings := roleinformer.Get(ctx, lambda.Selector), rolebindinginformer.Get(ctx, lambda.Selector)
	for _, informer := range []cache.SharedIndexInformer{agents.Informer(), serviceAccounts.Informer(), roles.Informer(), bindings.Informer()} {
		if err := informer.SetTransform(cachetransform.Strip); err != nil {
			logging.FromContext(ctx).Warnw("A cache keeps what nobody reads", "error", err)
		}
	}
	events := plane.Get(ctx)
	r := &Reconciler{
		kube:            kubeclient.Get(ctx),
		serving:         servingclient.Get(ctx),
		lambda:          lambdaclient.Get(ctx),
		services:        services.Lister(),
		configMaps:      configMaps.Lister(),
		pods:            pods.Lister(),
		serviceAccounts: serviceAccounts.Lister(),
		roles:           roles.Lister(),
		bindings:        bindings.Lister(),
		kinds:           shared.Get(ctx),
		queues:          events.DeadLetters,
		mappings:        domains.Mappings{Client: servingclient.Get(ctx), Lister: mappings.Lister()},
		inspect:         inspectOn(events.Selector.Connections),
		index:           routing.NewIndex(),
		clock:           clock.RealClock{},
	}
	var resync func(name string, value any)
	store := config.NewStore(logging.FromContext(ctx).Named("config-store"), func(name string, value any) { resync(name, value) })
	impl := agentreconciler.NewImpl(ctx, r, func(*controller.Impl) controller.Options {
		return controller.Options{ConfigStore: store}
	})
	impl.Concurrency = concurrency // the generated controller ignores that of the options
	err := measure.Reconciles(impl, "lambdaagent")
	if err == nil {
		err = measure.Objects("LambdaAgent", agents.Informer(), leads(impl))
	}
	if err != nil {
		logging.FromContext(ctx).Fatalw("Nothing can be measured", "error", err)
	}
	resync = func(name string, _ any) {
		switch name {
		case config.DefaultsConfigName:
			impl.GlobalResync(agents.Informer())
		case config.EventingConfigName, config.EventsConfigName:
			impl.FilteredGlobalResync(hasBroker, agents.Informer())
		}
	}
	store.WatchConfigs(cmw)
	keys, err := keyring.Open(ctx, r.kube, system.Namespace(), func() { impl.FilteredGlobalResync(signed, agents.Informer()) })
	if err != nil {
		logging.FromContext(ctx).Fatalw("Failed to open the keyring", "error", err)
	}
	r.Keys = keys
	r.enqueueAfter = impl.EnqueueAfter
	r.tracker = impl.Tracker
	r.resolver = sinks.New(ctx, impl.Tracker, agents.Lister())
	r.models = probeModels(ctx, impl, store.Load)

	agents.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		impl.Tracker.OnDeletedObserver(obj)
		if gone, err := kmeta.DeletionHandlingAccessor(obj); err == nil {
			r.models.Forget(types.NamespacedName{Namespace: gone.GetNamespace(), Name: gone.GetName()})
		}
	}})
	r.indexed = indexAgents(ctx, r.index, agents.Informer(), impl.EnqueueKey)
	owned := cache.FilteringResourceEventHandler{
		FilterFunc: controller.FilterController(&v1alpha1.LambdaAgent{}),
		Handler:    controller.HandleAll(impl.EnqueueControllerOf),
	}
	services.Informer().AddEventHandler(owned)
	configMaps.Informer().AddEventHandler(owned)
	mappings.Informer().AddEventHandler(owned)
	serviceAccounts.Informer().AddEventHandler(owned)
	roles.Informer().AddEventHandler(owned)
	bindings.Informer().AddEventHandler(owned)
	// A pod is owned by Knative's ReplicaSet; its label names the agent.
	pods.Informer().AddEventHandler(controller.HandleAll(impl.EnqueueLabelOfNamespaceScopedResource("", lambda.AgentLabelKey)))
	r.kinds.Run(ctx, r.kube.Discovery(), shared.Handlers{
		Brokers: controller.HandleAll(func(obj any) { // somebody else's may stand in the way
			if b, err := kmeta.DeletionHandlingAccessor(obj); err == nil {
				if key := (types.NamespacedName{Namespace: b.GetNamespace(), Name: b.GetName()}); r.index.Has(key) {
					impl.EnqueueKey(key)
				}
			}
		}),
		Configs: owned, Owned: owned,
		Found: func() { impl.FilteredGlobalResync(hasBroker, agents.Informer()) },
	})
	events.DeadLetters.Observe(func(queue string) {
		if o, ok := deadletters.OwnerOf(queue); ok && o.Agent {
			impl.EnqueueKey(o.NamespacedName)
		}
	})
	events.Selector.Connections.Observe(func(string) { impl.FilteredGlobalResync(hasBroker, agents.Informer()) })
	watcher := references.Get(ctx)
	r.referred = watcher.Watch(ctx, impl.Tracker)
	watcher.Observe(ctx, references.KindSecret, events.SecretChanged)
	return impl
}

// probeModels starts what asks whether models answer.
func probeModels(ctx context.Context, impl *controller.Impl, load func() *config.Config) modelprobe.Checker {
	permit := func(hostPort string, address netip.Addr) error {
		return egress.Policy{Cluster: true, Denied: load().Build.EgressDeniedNetworks}.Check(hostPort, address)
	}
	ask, err := modelprobe.Measured(modelprobe.NewClient(permit).Ask)
	if err != nil {
		logging.FromContext(ctx).Fatalw("Models cannot be measured", "error", err)
	}
	prober := modelprobe.New(modelprobe.Options{Enqueue: impl.EnqueueKey, Leads: leads(impl), Clock: clock.RealClock{}, Ask: ask})
	go prober.Run(ctx)
	return prober
}

// leads tells which agents this replica reconciles.
func leads(impl *controller.Impl) func(types.NamespacedName) bool {
	leader, ok := impl.Reconciler.(interface {
		IsLeaderFor(types.NamespacedName) bool
	})
	if !ok {
		return func(types.NamespacedName) bool { return true }
	}
	return leader.IsLeaderFor
}
