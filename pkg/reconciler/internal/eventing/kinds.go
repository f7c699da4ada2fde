// Package eventing is what functions and agents both need to receive events: the kinds
// of Knative Eventing where a cluster has them, Triggers, and dead letter queues.
package eventing

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	rabbitclientset "knative.dev/eventing-rabbitmq/pkg/client/clientset/versioned"
	rabbitinformers "knative.dev/eventing-rabbitmq/pkg/client/informers/externalversions"
	rabbitclient "knative.dev/eventing-rabbitmq/pkg/client/injection/client"
	rabbitlisters "knative.dev/eventing-rabbitmq/pkg/client/listers/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	eventinginformers "knative.dev/eventing/pkg/client/informers/externalversions"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	sourceslisters "knative.dev/eventing/pkg/client/listers/sources/v1"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/optional"
)

// Knative Serving is all that functions and agents need. What follows is there where
// the cluster has it, so its informers are none of injection's, which would have to
// be filled before anything else starts.

// Knative are the kinds of Knative Eventing.
type Knative struct {
	Client   eventingclientset.Interface
	Brokers  eventinglisters.BrokerLister
	Triggers eventinglisters.TriggerLister
}

// Sources are the kinds of Knative Eventing that send events by themselves.
type Sources struct {
	Client      eventingclientset.Interface
	PingSources sourceslisters.PingSourceLister
}

// Rabbit is what configures Knative's own Brokers on RabbitMQ.
type Rabbit struct {
	Client  rabbitclientset.Interface
	Configs rabbitlisters.RabbitmqBrokerConfigLister
}

// Handlers are told of changes.
type Handlers struct {
	// Brokers, and Configs of brokers, of everybody.
	Brokers, Configs cache.ResourceEventHandler
	// Owned are Triggers and PingSources of this project.
	Owned cache.ResourceEventHandler
	// Found is called when kinds appear that were not there at first.
	Found func()
}

// Kinds are all of them, each nil until the cluster has it. The controllers of a process
// share one, so that there is one cache of each kind.
type Kinds struct {
	knative atomic.Pointer[Knative]
	sources atomic.Pointer[Sources]
	rabbit  atomic.Pointer[Rabbit]

	mu        sync.Mutex
	running   bool
	handlers  []Handlers
	informers []informer
}

// New returns Kinds that are there from the start; for tests.
func New(knative *Knative, sources *Sources, rabbit *Rabbit) *Kinds {
	k := &Kinds{}
	k.knative.Store(knative)
	k.sources.Store(sources)
	k.rabbit.Store(rabbit)
	return k
}

// Knative is nil where the cluster has no Knative Eventing.
func (k *Kinds) Knative() *Knative { return k.knative.Load() }

// Sources is nil where the cluster has no PingSources.
func (k *Kinds) Sources() *Sources { return k.sources.Load() }

// Rabbit is nil where the cluster has no RabbitMQ brokers.
func (k *Kinds) Rabbit() *Rabbit { return k.rabbit.Load() }

type kindsKey struct{}

func init() {
	injection.Default.RegisterClient(func(ctx context.Context, _ *rest.Config) context.Context {
		return context.WithValue(ctx, kindsKey{}, &Kinds{})
	})
}

// Get returns the process's.
func Get(ctx context.Context) *Kinds {
	k, ok := ctx.Value(kindsKey{}).(*Kinds)
	if !ok {
		logging.FromContext(ctx).Panic("Unable to fetch the kinds of eventing from context.")
	}
	return k
}

// informer of a kind, and which handler of Handlers is told.
type informer struct {
	cache.SharedIndexInformer
	of func(*Handlers) cache.ResourceEventHandler
}

func (i *informer) tell(h *Handlers) error {
	_, err := i.AddEventHandler(i.of(h))
	return err
}

func brokersOf(h *Handlers) cache.ResourceEventHandler { return h.Brokers }
func configsOf(h *Handlers) cache.ResourceEventHandler { return h.Configs }
func ownedOf(h *Handlers) cache.ResourceEventHandler   { return h.Owned }

func ours(o *metav1.ListOptions) { o.LabelSelector = lambda.Selector }

// Run lets the handlers be told of changes, and starts the kinds that are there
// before it returns, unless another controller has.
func (k *Kinds) Run(ctx context.Context, d optional.Discovery, h Handlers) {
	k.mu.Lock()
	first := !k.running
	k.running = true
	k.handlers = append(k.handlers, h)
	for _, i := range k.informers {
		if err := i.tell(&h); err != nil {
			logging.FromContext(ctx).Errorw("Changes of a kind will not be heard of", "error", err)
		}
	}
	k.mu.Unlock()
	if first {
		optional.Run(ctx, d, k.optional()...)
	}
}

// listen is before the informers start; forget takes them back where they do not.
func (k *Kinds) listen(all ...informer) (forget func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, i := range all {
		if err := i.SetTransform(cachetransform.Strip); err != nil {
			return nil, err
		}
		for n := range k.handlers {
			if err := i.tell(&k.handlers[n]); err != nil {
				return nil, err
			}
		}
	}
	before := k.informers
	k.informers = slices.Concat(before, all)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.informers = before
	}, nil
}

// start informers: sync fills their caches. They are taken back if it fails.
func (k *Kinds) start(sync func() error, all ...informer) error {
	forget, err := k.listen(all...)
	if err != nil {
		return err
	}
	if err := sync(); err != nil {
		forget()
		return err
	}
	return nil
}

func (k *Kinds) found() {
	k.mu.Lock()
	handlers := k.handlers[:len(k.handlers):len(k.handlers)]
	k.mu.Unlock()
	for _, h := range handlers {
		h.Found()
	}
}

func (k *Kinds) optional() []optional.Kinds {
	return []optional.Kinds{{
		Name: "Knative Eventing", Found: k.found, Start: k.startKnative,
		Resources: []schema.GroupVersionResource{eventingv1.SchemeGroupVersion.WithResource("brokers"), eventingv1.SchemeGroupVersion.WithResource("triggers")},
	}, {
		Name: "Knative's PingSources", Found: k.found, Start: k.startSources,
		Resources: []schema.GroupVersionResource{sourcesv1.SchemeGroupVersion.WithResource("pingsources")},
	}, {
		Name: "Knative's Brokers on RabbitMQ", Found: k.found, Start: k.startRabbit,
		Resources: []schema.GroupVersionResource{rabbitv1alpha1.SchemeGroupVersion.WithResource("rabbitmqbrokerconfigs")},
	}}
}

func (k *Kinds) startKnative(ctx context.Context) error {
	kinds := &Knative{Client: eventingclient.Get(ctx)}
	// Brokers are also other people's.
	all := eventinginformers.NewSharedInformerFactory(kinds.Client, controller.GetResyncPeriod(ctx))
	mine := eventinginformers.NewSharedInformerFactoryWithOptions(kinds.Client, controller.GetResyncPeriod(ctx), eventinginformers.WithTweakListOptions(ours))
	brokers, triggers := all.Eventing().V1().Brokers(), mine.Eventing().V1().Triggers()
	kinds.Brokers, kinds.Triggers = brokers.Lister(), triggers.Lister()
	err := k.start(func() error {
		if err := optional.Sync(ctx, all, all.WaitForCacheSync); err != nil {
			return err
		}
		return optional.Sync(ctx, mine, mine.WaitForCacheSync)
	}, informer{brokers.Informer(), brokersOf}, informer{triggers.Informer(), ownedOf})
	if err != nil {
		return err
	}
	k.knative.Store(kinds)
	return nil
}

func (k *Kinds) startSources(ctx context.Context) error {
	kinds := &Sources{Client: eventingclient.Get(ctx)}
	mine := eventinginformers.NewSharedInformerFactoryWithOptions(kinds.Client, controller.GetResyncPeriod(ctx), eventinginformers.WithTweakListOptions(ours))
	pings := mine.Sources().V1().PingSources()
	kinds.PingSources = pings.Lister()
	err := k.start(func() error { return optional.Sync(ctx, mine, mine.WaitForCacheSync) }, informer{pings.Informer(), ownedOf})
	if err != nil {
		return err
	}
	k.sources.Store(kinds)
	return nil
}

func (k *Kinds) startRabbit(ctx context.Context) error {
	kinds := &Rabbit{Client: rabbitclient.Get(ctx)}
	// Configurations are also those of other people's brokers.
	brokers := rabbitinformers.NewSharedInformerFactory(kinds.Client, controller.GetResyncPeriod(ctx))
	configs := brokers.Eventing().V1alpha1().RabbitmqBrokerConfigs()
	kinds.Configs = configs.Lister()
	err := k.start(func() error { return optional.Sync(ctx, brokers, brokers.WaitForCacheSync) }, informer{configs.Informer(), configsOf})
	if err != nil {
		return err
	}
	k.rabbit.Store(kinds)
	return nil
}
