package lifecycle

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	podinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	agentinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdaagent"
	functioninformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdafunction"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
)

const (
	// concurrency bounds how many objects the sink is told of at once.
	concurrency = 8
	// firstRetry of a sink that does not answer, and the longest.
	firstRetry = 500 * time.Millisecond
	maxRetry   = time.Minute
)

// NewFunctionController tells of LambdaFunctions. The context must carry
// lambda.Selector for filtered informers.
func NewFunctionController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	informer, client := functioninformer.Get(ctx), lambdaclient.Get(ctx).LambdaV1alpha1()
	pods := podinformer.Get(ctx, lambda.Selector).Lister()
	t := &teller{
		get: func(key types.NamespacedName) (*snapshot, error) {
			f, err := informer.Lister().LambdaFunctions(key.Namespace).Get(key.Name)
			if err != nil {
				return nil, err
			}
			return ofFunction(f, replicas(pods, key, lambda.FunctionLabelKey)), nil
		},
		patch: func(ctx context.Context, key types.NamespacedName, patch []byte) error {
			_, err := client.LambdaFunctions(key.Namespace).Patch(ctx, key.Name, types.MergePatchType, patch, patchOptions)
			return err
		},
	}
	last := func(obj any) *snapshot {
		if f, ok := obj.(*v1alpha1.LambdaFunction); ok {
			return ofFunction(f, 0)
		}
		return nil
	}
	return newController(ctx, cmw, t, "lifecycle-functions", informer.Informer(), last, lambda.FunctionLabelKey)
}

// NewAgentController tells of LambdaAgents. The context must carry lambda.Selector
// for filtered informers.
func NewAgentController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	informer, client := agentinformer.Get(ctx), lambdaclient.Get(ctx).LambdaV1alpha1()
	pods := podinformer.Get(ctx, lambda.Selector).Lister()
	t := &teller{
		get: func(key types.NamespacedName) (*snapshot, error) {
			a, err := informer.Lister().LambdaAgents(key.Namespace).Get(key.Name)
			if err != nil {
				return nil, err
			}
			return ofAgent(a, replicas(pods, key, lambda.AgentLabelKey)), nil
		},
		patch: func(ctx context.Context, key types.NamespacedName, patch []byte) error {
			_, err := client.LambdaAgents(key.Namespace).Patch(ctx, key.Name, types.MergePatchType, patch, patchOptions)
			return err
		},
	}
	last := func(obj any) *snapshot {
		if a, ok := obj.(*v1alpha1.LambdaAgent); ok {
			return ofAgent(a, 0)
		}
		return nil
	}
	return newController(ctx, cmw, t, "lifecycle-agents", informer.Informer(), last, lambda.AgentLabelKey)
}

func newController(ctx context.Context, cmw configmap.Watcher, t *teller, name string, objects cache.SharedIndexInformer, lastOf func(any) *snapshot, label string) *controller.Impl {
	var url atomic.Value
	url.Store("")
	t.sink = func() string { return url.Load().(string) }
	t.post = func(ctx context.Context, url string, e *event.Event) error { return sink.Post(ctx, client, url, e) }
	t.now, t.last = clock.RealClock{}, map[types.UID]told{}
	t.PromoteFunc = func(bucket reconciler.Bucket, enqueue func(reconciler.Bucket, types.NamespacedName)) error {
		for _, key := range objects.GetStore().ListKeys() {
			namespace, name, err := cache.SplitMetaNamespaceKey(key)
			if err != nil {
				return err
			}
			enqueue(bucket, types.NamespacedName{Namespace: namespace, Name: name})
		}
		for _, key := range t.pending() {
			enqueue(bucket, key)
		}
		return nil
	}
	logger := logging.FromContext(ctx).Named(name)
	impl := controller.NewContext(logging.WithLogger(ctx, logger), t, controller.ControllerOptions{
		WorkQueueName: name, Logger: logger, Concurrency: concurrency,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[any](firstRetry, maxRetry),
	})
	if err := measure.Reconciles(impl, name); err != nil {
		logger.Fatalw("Nothing can be measured", "error", err)
	}
	parse := config.Tolerant(func(err error) { logger.Warnw("Ignoring what this version does not know", "error", err) }, config.NewEventsFromConfigMap)
	cmw.Watch(config.EventsConfigName, func(cm *corev1.ConfigMap) {
		e, err := parse(cm)
		if err != nil {
			logger.Errorw("What was in force stays so", "configmap", cm.Name, "error", err)
			return
		}
		if url.Swap(e.LifecycleSink) != e.LifecycleSink {
			impl.GlobalResync(objects)
		}
	})
	objects.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: impl.Enqueue, UpdateFunc: controller.PassNew(impl.Enqueue),
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if s := lastOf(obj); s != nil {
				key := types.NamespacedName{Namespace: s.GetNamespace(), Name: s.GetName()}
				t.deleted(key, s)
				impl.EnqueueKey(key)
			}
		},
	})
	podinformer.Get(ctx, lambda.Selector).Informer().AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool { return t.sink() != "" && serves(obj) },
		Handler:    controller.HandleAll(impl.EnqueueLabelOfNamespaceScopedResource("", label)),
	})
	return impl
}

// serves tells whether a pod runs a function or an agent, and builds nothing.
func serves(obj any) bool {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	pod, ok := obj.(metav1.Object)
	return ok && pod.GetLabels()[serving.RevisionLabelKey] != ""
}

// replicas that are ready, as the cache has them.
func replicas(pods corelisters.PodLister, key types.NamespacedName, label string) int32 {
	selector := labels.SelectorFromSet(labels.Set{label: key.Name})
	if revision, err := labels.NewRequirement(serving.RevisionLabelKey, selection.Exists, nil); err == nil {
		selector = selector.Add(*revision)
	}
	list, err := pods.Pods(key.Namespace).List(selector)
	if err != nil { // a cache does not fail
		return 0
	}
	return readyPods(list)
}
