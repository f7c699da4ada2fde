package lambdaagent

import (
	"context"

	"k8s.io/client-go/tools/cache"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	configmapinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/configmap/filtered"
	podinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/pod/filtered"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	servingclient "knative.dev/serving/pkg/client/injection/client"
	serviceinformer "knative.dev/serving/pkg/client/injection/informers/serving/v1/service/filtered"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	agentinformer "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/informers/lambda/v1alpha1/lambdaagent"
	agentreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
)

// NewController wires informers and handlers to the reconciler. The context must
// carry lambda.Selector for filtered informers.
func NewController(ctx context.Context, _ configmap.Watcher) *controller.Impl {
	agents := agentinformer.Get(ctx)
	services := serviceinformer.Get(ctx, lambda.Selector)
	configMaps := configmapinformer.Get(ctx, lambda.Selector)
	pods := podinformer.Get(ctx, lambda.Selector)
	if err := agents.Informer().SetTransform(cachetransform.Strip); err != nil {
		logging.FromContext(ctx).Warnw("A cache keeps what nobody reads", "error", err)
	}
	impl := agentreconciler.NewImpl(ctx, &Reconciler{
		kube:       kubeclient.Get(ctx),
		serving:    servingclient.Get(ctx),
		services:   services.Lister(),
		configMaps: configMaps.Lister(),
		pods:       pods.Lister(),
	})
	agents.Informer().AddEventHandler(controller.HandleAll(impl.Enqueue))
	owned := cache.FilteringResourceEventHandler{
		FilterFunc: controller.FilterController(&v1alpha1.LambdaAgent{}),
		Handler:    controller.HandleAll(impl.EnqueueControllerOf),
	}
	services.Informer().AddEventHandler(owned)
	configMaps.Informer().AddEventHandler(owned)
	// A pod is owned by Knative's ReplicaSet; its label names the agent.
	pods.Informer().AddEventHandler(controller.HandleAll(impl.EnqueueLabelOfNamespaceScopedResource("", lambda.AgentLabelKey)))
	return impl
}
