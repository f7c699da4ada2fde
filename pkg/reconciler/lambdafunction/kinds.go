package lambdafunction

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	rabbitclientset "knative.dev/eventing-rabbitmq/pkg/client/clientset/versioned"
	rabbitinformers "knative.dev/eventing-rabbitmq/pkg/client/informers/externalversions"
	rabbitclient "knative.dev/eventing-rabbitmq/pkg/client/injection/client"
	rabbitlisters "knative.dev/eventing-rabbitmq/pkg/client/listers/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	topologyclientset "knative.dev/eventing-rabbitmq/third_party/pkg/client/clientset/versioned"
	topologyinformers "knative.dev/eventing-rabbitmq/third_party/pkg/client/informers/externalversions"
	topologyclient "knative.dev/eventing-rabbitmq/third_party/pkg/client/injection/client"
	topologylisters "knative.dev/eventing-rabbitmq/third_party/pkg/client/listers/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	eventinginformers "knative.dev/eventing/pkg/client/informers/externalversions"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/optional"
)

// Knative Serving is all that functions need. What follows is there where the
// cluster has it, so its informers are none of injection's, which would have to be
// filled before anything else starts.

// eventingKinds are Knative Eventing's.
type eventingKinds struct {
	client   eventingclientset.Interface
	brokers  eventinglisters.BrokerLister
	triggers eventinglisters.TriggerLister
}

// rabbitKinds are those of brokers and queues on RabbitMQ.
type rabbitKinds struct {
	client   rabbitclientset.Interface
	topology topologyclientset.Interface
	configs  rabbitlisters.RabbitmqBrokerConfigLister
	queues   topologylisters.QueueLister
	policies topologylisters.PolicyLister
}

func ours(o *metav1.ListOptions) { o.LabelSelector = lambda.Selector }

// informer is one of them and who is told of its changes.
type informer struct {
	cache.SharedIndexInformer
	handler cache.ResourceEventHandler
}

func listen(all ...informer) error {
	for _, i := range all {
		if err := i.SetTransform(cachetransform.Strip); err != nil {
			return err
		}
		if _, err := i.AddEventHandler(i.handler); err != nil {
			return err
		}
	}
	return nil
}

// optionalKinds are what the reconciler uses where it is there. resync enqueues
// the functions that want events.
func (r *Reconciler) optionalKinds(impl *controller.Impl, resync func()) []optional.Kinds {
	owned := cache.FilteringResourceEventHandler{
		FilterFunc: controller.FilterController(&v1alpha1.LambdaFunction{}),
		Handler:    controller.HandleAll(impl.EnqueueControllerOf),
	}
	tracked := func(kind schema.GroupVersionKind) cache.ResourceEventHandler {
		return controller.HandleAll(controller.EnsureTypeMeta(impl.Tracker.OnChanged, kind))
	}
	return []optional.Kinds{{
		Name: "Knative Eventing", Found: resync,
		Resources: []schema.GroupVersionResource{eventingv1.SchemeGroupVersion.WithResource("brokers"), eventingv1.SchemeGroupVersion.WithResource("triggers")},
		Start: func(ctx context.Context) error {
			k := &eventingKinds{client: eventingclient.Get(ctx)}
			// Brokers are also other people's.
			all := eventinginformers.NewSharedInformerFactory(k.client, controller.GetResyncPeriod(ctx))
			mine := eventinginformers.NewSharedInformerFactoryWithOptions(k.client, controller.GetResyncPeriod(ctx), eventinginformers.WithTweakListOptions(ours))
			brokers, triggers := all.Eventing().V1().Brokers(), mine.Eventing().V1().Triggers()
			k.brokers, k.triggers = brokers.Lister(), triggers.Lister()
			err := listen(informer{brokers.Informer(), tracked(eventingv1.SchemeGroupVersion.WithKind("Broker"))}, informer{triggers.Informer(), owned})
			if err == nil {
				err = optional.Sync(ctx, all, all.WaitForCacheSync)
			}
			if err == nil {
				err = optional.Sync(ctx, mine, mine.WaitForCacheSync)
			}
			if err == nil {
				r.eventing.Store(k)
			}
			return err
		},
	}, {
		Name: "RabbitMQ's brokers and topology operator", Found: resync,
		Resources: []schema.GroupVersionResource{
			rabbitv1alpha1.SchemeGroupVersion.WithResource("rabbitmqbrokerconfigs"),
			topologyv1beta1.GroupVersion.WithResource("queues"), topologyv1beta1.GroupVersion.WithResource("policies"),
		},
		Start: func(ctx context.Context) error {
			k := &rabbitKinds{client: rabbitclient.Get(ctx), topology: topologyclient.Get(ctx)}
			brokers := rabbitinformers.NewSharedInformerFactoryWithOptions(k.client, controller.GetResyncPeriod(ctx), rabbitinformers.WithTweakListOptions(ours))
			topology := topologyinformers.NewSharedInformerFactoryWithOptions(k.topology, controller.GetResyncPeriod(ctx), topologyinformers.WithTweakListOptions(ours))
			configs := brokers.Eventing().V1alpha1().RabbitmqBrokerConfigs()
			queues, policies := topology.Rabbitmq().V1beta1().Queues(), topology.Rabbitmq().V1beta1().Policies()
			k.configs, k.queues, k.policies = configs.Lister(), queues.Lister(), policies.Lister()
			err := listen(informer{configs.Informer(), tracked(rabbitv1alpha1.SchemeGroupVersion.WithKind("RabbitmqBrokerConfig"))},
				informer{queues.Informer(), owned}, informer{policies.Informer(), owned})
			if err == nil {
				err = optional.Sync(ctx, brokers, brokers.WaitForCacheSync)
			}
			if err == nil {
				err = optional.Sync(ctx, topology, topology.WaitForCacheSync)
			}
			if err == nil {
				r.rabbitmq.Store(k)
			}
			return err
		},
	}}
}
