// Package approval asks those who decide about the actions of supervised agents,
// decides where nobody did in time, and tells agents the outcome. What it works on is
// in ApprovalRequests: it keeps nothing in memory, and a restart forgets nothing.
package approval

import (
	"context"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	requestinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/approvalrequest"
	agentinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
)

const (
	// concurrency bounds how many providers are asked at once.
	concurrency = 8
	// firstRetry of a provider or broker that does not answer, and the longest.
	firstRetry = 500 * time.Millisecond
	maxRetry   = time.Minute
)

// NewController wires informers and configuration to what decides.
func NewController(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	requests, agents := requestinformer.Get(ctx), agentinformer.Get(ctx)
	logger := logging.FromContext(ctx).Named("approvals")
	if err := requests.Informer().SetTransform(cachetransform.Strip); err != nil {
		logger.Warnw("A cache keeps what nobody reads", "error", err)
	}
	kube := kubeclient.Get(ctx)
	var networks atomic.Pointer[[]netip.Prefix]
	networks.Store(&[]netip.Prefix{})
	brokers := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute}}

	d := &decider{
		requests: requests.Lister(), agents: agents.Lister(), client: lambdaclient.Get(ctx).LambdaV1alpha1(),
		asker: &asker{
			secret: func(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
				return kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
			},
			client: guarded(func() []netip.Prefix { return *networks.Load() }),
		},
		post:     func(ctx context.Context, url string, e *event.Event) error { return sink.Post(ctx, brokers, url, e) },
		recorder: recorder(ctx),
		clock:    clock.RealClock{},
	}
	d.PromoteFunc = func(bucket reconciler.Bucket, enqueue func(reconciler.Bucket, types.NamespacedName)) error {
		for _, key := range requests.Informer().GetStore().ListKeys() {
			namespace, name, err := cache.SplitMetaNamespaceKey(key)
			if err != nil {
				return err
			}
			enqueue(bucket, types.NamespacedName{Namespace: namespace, Name: name})
		}
		return nil
	}
	impl := controller.NewContext(logging.WithLogger(ctx, logger), d, controller.ControllerOptions{
		WorkQueueName: "approvals", Logger: logger, Concurrency: concurrency,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[any](firstRetry, maxRetry),
	})
	if err := measure.Reconciles(impl, "approvals"); err != nil {
		logger.Fatalw("Nothing can be measured", "error", err)
	}
	d.after = impl.EnqueueKeyAfter
	cmw.Watch(config.EventsConfigName, func(cm *corev1.ConfigMap) {
		e, err := config.NewEventsFromConfigMap(cm)
		if err != nil {
			logger.Errorw("What was in force stays so", "configmap", cm.Name, "error", err)
			return
		}
		networks.Store(&e.ApprovalAllowedNetworks)
	})
	requests.Informer().AddEventHandler(controller.HandleAll(impl.Enqueue))
	return impl
}

// recorder of Kubernetes events about agents.
func recorder(ctx context.Context) record.EventRecorder {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kubeclient.Get(ctx).CoreV1().Events("")})
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "approvals"})
}
