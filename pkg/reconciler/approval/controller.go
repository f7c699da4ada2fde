// Package approval asks those who decide about the actions of supervised agents,
// decides where nobody did in time, and tells agents the outcome. What it works on is
// in ApprovalRequests: it keeps nothing in memory, and a restart forgets nothing.
package approval

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	requestinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/approvalrequest"
	agentinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
)

const (
	// concurrency is how many requests are reconciled at once. A pass waits only for its
	// own writes.
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
	var networks networks
	brokers := egress.Client(egress.Deliveries, askTimeout)

	d := &decider{
		requests: requests.Lister(), agents: agents.Lister(), client: lambdaclient.Get(ctx).LambdaV1alpha1(),
		recorder: recorder(ctx),
		clock:    clock.RealClock{},
	}
	ctx = logging.WithLogger(ctx, logger)
	late := newDeadlines(d, clock.RealClock{})
	d.PromoteFunc = func(bucket reconciler.Bucket, enqueue func(reconciler.Bucket, types.NamespacedName)) error {
		for _, obj := range requests.Informer().GetStore().List() {
			if r, ok := obj.(*v1alpha1.ApprovalRequest); ok {
				enqueue(bucket, types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
				late.watch(r)
			}
		}
		return nil
	}
	impl := controller.NewContext(ctx, d, controller.ControllerOptions{
		WorkQueueName: "approvals", Logger: logger, Concurrency: concurrency,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[any](firstRetry, maxRetry),
	})
	if err := measure.Reconciles(impl, "approvals"); err != nil {
		logger.Fatalw("Nothing can be measured", "error", err)
	}
	d.after = impl.EnqueueKeyAfter
	d.calls = newCalls(&asker{
		secret: func(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
			return kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		},
		client: egress.Client(networks.permit, askTimeout),
	}, func(ctx context.Context, url string, e *event.Event) error { return sink.Post(ctx, brokers, url, e) },
		clock.RealClock{}, impl.EnqueueKey, d.IsLeaderFor)
	go d.calls.Run(ctx)
	go late.run(ctx)
	networks.watch(cmw, logger)
	requests.Informer().AddEventHandler(controller.HandleAll(impl.Enqueue))
	requests.Informer().AddEventHandler(controller.HandleAll(late.watch))
	return impl
}

// networks is the configuration of what approval endpoints may be.
type networks struct {
	allowed, denied atomic.Pointer[[]netip.Prefix]
}

// permit is an egress.Permit: the author of an agent names where its requests go.
func (n *networks) permit(hostPort string, address netip.Addr) error {
	p := egress.Policy{AllowedKey: "config-events, approval-allowed-networks"}
	if allowed := n.allowed.Load(); allowed != nil {
		p.Allowed = *allowed
	}
	if denied := n.denied.Load(); denied != nil {
		p.Denied = *denied
	}
	return p.Check(hostPort, address)
}

func (n *networks) watch(cmw configmap.Watcher, logger *zap.SugaredLogger) {
	invalid := func(cm *corev1.ConfigMap, err error) {
		logger.Errorw("Invalid ConfigMap; keeping the last valid configuration", "configmap", cm.Name, "error", err)
	}
	unknown := func(err error) { logger.Warnw("Ignoring keys that this version does not know", "error", err) }
	events := config.Tolerant(unknown, config.NewEventsFromConfigMap)
	cmw.Watch(config.EventsConfigName, func(cm *corev1.ConfigMap) {
		e, err := events(cm)
		if err != nil {
			invalid(cm, err)
			return
		}
		n.allowed.Store(&e.ApprovalAllowedNetworks)
	})
	builds := config.Tolerant(unknown, config.NewBuildFromConfigMap)
	cmw.Watch(config.BuildConfigName, func(cm *corev1.ConfigMap) {
		b, err := builds(cm)
		if err != nil {
			invalid(cm, err)
			return
		}
		n.denied.Store(&b.EgressDeniedNetworks)
	})
}

// recorder of Kubernetes events about agents.
func recorder(ctx context.Context) record.EventRecorder {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kubeclient.Get(ctx).CoreV1().Events("")})
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "approvals"})
}
