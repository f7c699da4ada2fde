package lambdafunction

import (
	"context"
	"net/netip"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	jobinformer "knative.dev/pkg/client/injection/kube/informers/batch/v1/job/filtered"
	configmapinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/configmap/filtered"
	podinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"
	servingclient "knative.dev/serving/pkg/client/injection/client"
	serviceinformer "knative.dev/serving/pkg/client/injection/informers/serving/v1/service/filtered"
	domainmappinginformer "knative.dev/serving/pkg/client/injection/informers/serving/v1beta1/domainmapping/filtered"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/signing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	agentinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdaagent"
	functioninformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdafunction"
	functionreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdafunction"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// concurrency is how many functions are reconciled at once. A pass waits only for
// its own writes.
const concurrency = 8

// NewController wires informers, handlers and configuration to the reconciler.
// The context must carry lambda.Selector for filtered informers.
func NewController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	functions := functioninformer.Get(ctx)
	services := serviceinformer.Get(ctx, lambda.Selector)
	jobs := jobinformer.Get(ctx, lambda.Selector)
	pods := podinformer.Get(ctx, lambda.Selector)
	configMaps := configmapinformer.Get(ctx, lambda.Selector)
	mappings := domainmappinginformer.Get(ctx, lambda.Selector)
	refusals := refusalInformer(kubeclient.Get(ctx))
	for _, informer := range []cache.SharedIndexInformer{functions.Informer(), services.Informer(), jobs.Informer(), pods.Informer(), configMaps.Informer(), mappings.Informer(), refusals.Informer()} {
		if err := informer.SetTransform(cachetransform.Strip); err != nil {
			logging.FromContext(ctx).Warnw("A cache keeps what nobody reads", "error", err)
		}
	}

	events := plane.Get(ctx)
	r := &Reconciler{
		kube:       kubeclient.Get(ctx),
		serving:    servingclient.Get(ctx),
		services:   services.Lister(),
		jobs:       jobs.Lister(),
		pods:       pods.Lister(),
		configMaps: configMaps.Lister(),
		kinds:      shared.Get(ctx),
		queues:     events.DeadLetters,
		mappings:   domains.Mappings{Client: servingclient.Get(ctx), Lister: mappings.Lister()},
		refusals:   refusals.Lister(),
		clock:      clock.RealClock{},
	}
	var resync func(name string, value any)
	store := config.NewStore(logging.FromContext(ctx).Named("config-store"), func(name string, value any) { resync(name, value) })
	impl := functionreconciler.NewImpl(ctx, r, func(*controller.Impl) controller.Options {
		return controller.Options{ConfigStore: store}
	})
	impl.Concurrency = concurrency // the generated controller ignores that of the options
	if err := r.measure(impl, functions.Informer()); err != nil {
		logging.FromContext(ctx).Fatalw("Nothing can be measured", "error", err)
	}
	dial := egress.Dialer(func(hostPort string, address netip.Addr) error {
		return permitRegistry(store.Load(), hostPort, address)
	})
	signer, err := signing.Open(ctx, r.kube, system.Namespace())
	if err != nil {
		logging.FromContext(ctx).Fatalw("Failed to open the signing keys", "error", err)
	}
	maker := layer.NewMaker(secretReader(r.kube), r.clock, dial, signer.Newest)
	resync = func(name string, _ any) {
		impl.FilteredGlobalResync(concerns(name), functions.Informer())
		if name != config.DefaultsConfigName {
			go warmUp(ctx, maker, store.Load())
		}
	}
	store.WatchConfigs(cmw)
	keys, err := keyring.Open(ctx, r.kube, system.Namespace(), func() { impl.GlobalResync(functions.Informer()) })
	if err != nil {
		logging.FromContext(ctx).Fatalw("Failed to open the keyring", "error", err)
	}
	r.Keys = keys

	sources := sourcewatch.New(sourcewatch.Options{
		Enqueue: impl.EnqueueKey,
		Leads:   leads(impl),
		Secret:  secretReader(r.kube),
		Clock:   clock.RealClock{},
		Resolve: source.Resolve,
	})
	r.sources = sources
	go sources.Run(ctx)
	layers := layer.NewBackground(maker, impl.EnqueueKey, leads(impl), clock.RealClock{})
	resolver := registry.NewResolver(maker, impl.EnqueueKey, leads(impl), clock.RealClock{})
	go resolver.Run(ctx)
	r.layers, r.registry, r.tracker = layers, resolver, impl.Tracker
	r.slots = newSlots(impl.EnqueueKey, func() ([]*batchv1.Job, error) { return activeJobs(r.jobs) }, r.clock)
	if err := measureLines(r.slots, layers); err != nil {
		logging.FromContext(ctx).Fatalw("Builds cannot be measured", "error", err)
	}
	go layers.Run(ctx)

	functions.Informer().AddEventHandler(controller.HandleAll(impl.Enqueue))
	functions.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		impl.Tracker.OnDeletedObserver(obj)
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			namespace, name, _ := cache.SplitMetaNamespaceKey(key)
			gone := types.NamespacedName{Namespace: namespace, Name: name}
			r.slots.forget(gone)
			r.builds.forget(gone)
			sources.Forget(gone)
		}
	}})
	owned := cache.FilteringResourceEventHandler{
		FilterFunc: controller.FilterController(&v1alpha1.LambdaFunction{}),
		Handler:    controller.HandleAll(impl.EnqueueControllerOf),
	}
	services.Informer().AddEventHandler(owned)
	configMaps.Informer().AddEventHandler(owned)
	mappings.Informer().AddEventHandler(owned)
	jobs.Informer().AddEventHandler(controller.HandleAll(func(obj any) { r.jobChanged(obj, resolver) }))
	jobs.Informer().AddEventHandler(owned)
	jobs.Informer().AddEventHandler(controller.HandleAll(controller.EnsureTypeMeta(impl.Tracker.OnChanged, batchv1.SchemeGroupVersion.WithKind("Job"))))
	refusals.Informer().AddEventHandler(r.refusedPod(impl.EnqueueControllerOf))
	go refusals.Informer().Run(ctx.Done())
	// A pod is owned by a Job or by Knative's ReplicaSet; its label names the function.
	pods.Informer().AddEventHandler(controller.HandleAll(impl.EnqueueLabelOfNamespaceScopedResource("", lambda.FunctionLabelKey)))
	r.resolver = sinks.New(ctx, impl.Tracker, agentinformer.Get(ctx).Lister())
	tracked := func(kind schema.GroupVersionKind) cache.ResourceEventHandler {
		return controller.HandleAll(controller.EnsureTypeMeta(impl.Tracker.OnChanged, kind))
	}
	r.kinds.Run(ctx, r.kube.Discovery(), shared.Handlers{
		Brokers: tracked(eventingv1.SchemeGroupVersion.WithKind("Broker")),
		Configs: tracked(rabbitv1alpha1.SchemeGroupVersion.WithKind("RabbitmqBrokerConfig")),
		Owned:   owned,
		Found:   func() { impl.FilteredGlobalResync(concerns(config.EventingConfigName), functions.Informer()) },
	})
	r.referred = references.Get(ctx).Watch(ctx, impl.Tracker)
	watchDeadLetters(ctx, events, impl, functions.Informer())
	return impl
}

// measure reconciles, functions and their builds.
func (r *Reconciler) measure(impl *controller.Impl, functions cache.SharedIndexInformer) (err error) {
	if r.builds, err = newBuilds(); err != nil {
		return err
	}
	if err := measure.Reconciles(impl, "lambdafunction"); err != nil {
		return err
	}
	return measure.Objects("LambdaFunction", functions, leads(impl))
}

// leads tells which functions this replica reconciles.
func leads(impl *controller.Impl) func(types.NamespacedName) bool {
	leader, ok := impl.Reconciler.(interface {
		IsLeaderFor(types.NamespacedName) bool
	})
	if !ok {
		return func(types.NamespacedName) bool { return true }
	}
	return leader.IsLeaderFor
}

// secretReader reads a Secret from the API server: only those that a function
// names, and none is kept.
func secretReader(kube kubernetes.Interface) func(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return func(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
		return kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	}
}

// warmUp fetches what the first function of each language needs. Where it fails, that
// function meets the same failure and says so.
func warmUp(ctx context.Context, maker *layer.Maker, cfg *config.Config) {
	for _, recipe := range recipes(cfg) {
		if err := maker.Prepare(ctx, recipe, cfg.Build.Insecure); err != nil {
			logging.FromContext(ctx).Infow("A base image could not be looked at ahead of time", "image", recipe.Base, "error", err)
		}
	}
}

// concerns tells which functions a ConfigMap's change concerns.
func concerns(name string) func(any) bool {
	return func(obj any) bool {
		f, ok := obj.(*v1alpha1.LambdaFunction)
		if !ok {
			return false
		}
		switch name {
		case config.EventsConfigName: // read where events are sent
			return false
		case config.DefaultsConfigName:
			return true
		case config.EventingConfigName:
			return f.Spec.WantsEvents() || f.Spec.Source.Image == nil
		}
		return f.Spec.Source.Image == nil
	}
}

// jobChanged tells those that wait when a build has ended.
func (r *Reconciler) jobChanged(obj any, resolver *registry.Resolver) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	job, ok := obj.(*batchv1.Job)
	if !ok {
		return
	}
	_, err := r.jobs.Jobs(job.Namespace).Get(job.Name)
	if gone := err != nil; !gone && finished(job) == nil {
		return
	}
	resolver.Forget(job.Annotations[lambda.ImageAnnotationKey])
	r.slots.freed(types.NamespacedName{Namespace: job.Namespace, Name: job.Name})
}
