package plane

import (
	"context"
	"sync"

	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	rabbitlisters "knative.dev/eventing-rabbitmq/pkg/client/listers/eventing/v1alpha1"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/injection/clients/dynamicclient"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
)

// Plane is what the controllers of Brokers and Triggers share: one for each process.
type Plane struct {
	Informers *Informers
	Endpoints *Endpoints
	Selector  *Selector
	// DeadLetters are the queues of functions and agents, on the installation's connection.
	DeadLetters *deadletters.Queues

	kinds         *eventing.Kinds
	mu            sync.Mutex
	configuration *Configuration
	configured    []func()
	secrets       []func(namespace string)
	start         sync.Once
}

// holder makes the Plane when the first controller asks for it.
type holder struct {
	once  sync.Once
	plane *Plane
}

type planeKey struct{}

func init() {
	injection.Default.RegisterClient(func(ctx context.Context, _ *rest.Config) context.Context {
		return context.WithValue(ctx, planeKey{}, &holder{})
	})
}

// Get returns the Plane of the process.
func Get(ctx context.Context) *Plane {
	h, ok := ctx.Value(planeKey{}).(*holder)
	if !ok {
		logging.FromContext(ctx).Panic("Unable to fetch the event plane from context.")
	}
	h.once.Do(func() {
		i := NewInformers(kubeclient.Get(ctx), controller.GetResyncPeriod(ctx), system.Namespace())
		h.plane = &Plane{
			Informers: i,
			Endpoints: &Endpoints{Slices: i.EndpointSlices.GetStore(), Secret: i.Certificate.GetStore()},
			Selector:  &Selector{Connections: NewConnections()},
		}
		h.plane.Selector.Configs = h.plane.configs
		h.plane.Selector.Objects = &apiObjects{kube: kubeclient.Get(ctx), dynamic: dynamicclient.Get(ctx)}
		h.plane.Selector.Registry = &Registry{
			Kube: kubeclient.Get(ctx), Namespace: system.Namespace(), Secrets: corev1listers.NewSecretLister(i.Connections.GetIndexer()),
		}
		h.plane.Selector.Connections.Claim(h.plane.Selector.Registry.Installation)
		h.plane.DeadLetters = newDeadLetters(h.plane.Selector.Connections)
		h.plane.kinds = eventing.Get(ctx)
	})
	return h.plane
}

// newDeadLetters returns the queues of dead letters. They are declared again when the
// connection is new, before others hear of that.
func newDeadLetters(connections *Connections) *deadletters.Queues {
	queues := deadletters.New(deadletters.Options{
		Topology: func() (queue.Topology, error) {
			c := connections.Get("")
			if c == nil {
				return nil, errUnchecked
			}
			return c.Topology, c.Err()
		},
		Policies: deadletters.FromSecret(folder()),
		Failed:   func() { connections.Check("") },
	})
	connections.Observe(func(name string) {
		if name == "" {
			queues.Reset()
		}
	})
	return queues
}

// Configuration for the generated reconcilers.
func (p *Plane) Configuration(ctx context.Context, cmw configmap.Watcher) *Configuration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.configuration == nil {
		logger := logging.FromContext(ctx).Named("event-plane")
		p.configuration = &Configuration{Config: config.NewStore(logger, func(name string, _ any) {
			if name == config.EventingConfigName {
				go p.resync() // the store has the new value when this has returned
			}
		})}
		p.configuration.Config.WatchConfigs(cmw)
		if _, err := p.Informers.Features.AddEventHandler(p.configuration.Handler(p.resync, func(err error) {
			logger.Errorw("The features of Knative Eventing cannot be read", "error", err)
		})); err != nil {
			logger.Errorw("Changes of Knative Eventing's features have no effect until a restart", "error", err)
		}
	}
	return p.configuration
}

// OnConfigured calls resync after each change of the configuration.
func (p *Plane) OnConfigured(resync func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.configured = append(p.configured, resync)
}

// OnSecret calls changed with the namespace of each Secret that changes.
func (p *Plane) OnSecret(changed func(namespace string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secrets = append(p.secrets, changed)
}

// SecretChanged is to be called with the metadata of a Secret, or what is left of it. The
// agents' controller watches them, and watching them once is enough.
func (p *Plane) SecretChanged(obj any) {
	secret, err := kmeta.DeletionHandlingAccessor(obj)
	if err != nil {
		return // a handler gets nothing else
	}
	p.mu.Lock()
	all := p.secrets[:len(p.secrets):len(p.secrets)]
	p.mu.Unlock()
	for _, changed := range all {
		changed(secret.GetNamespace())
	}
}

func (p *Plane) resync() {
	p.mu.Lock()
	all := p.configured[:len(p.configured):len(p.configured)]
	p.mu.Unlock()
	for _, resync := range all {
		resync()
	}
}

// configs of Brokers on RabbitMQ, where the cluster has the kind.
func (p *Plane) configs() rabbitlisters.RabbitmqBrokerConfigLister {
	if rabbit := p.kinds.Rabbit(); rabbit != nil {
		return rabbit.Configs
	}
	return nil
}

// Start the informers and the connection, once.
func (p *Plane) Start(ctx context.Context) {
	p.start.Do(func() {
		ignored := cache.ResourceEventHandlerFuncs{}
		p.kinds.Run(ctx, kubeclient.Get(ctx).Discovery(), eventing.Handlers{
			Brokers: ignored, Owned: ignored, Configs: controller.HandleAll(func(any) { p.resync() }), Found: p.resync,
		})
		p.Informers.Start(ctx)
		connections := p.Selector.Connections
		connections.Observe(func(name string) {
			if c := connections.Get(name); c != nil {
				logging.FromContext(ctx).Infow("The connection to RabbitMQ has changed", "connection", name, "error", c.Err())
			}
		})
		p.watchOwn(ctx)
		go connections.Run(ctx, connections.Add("", open(ctx), func(c *Connection) { c.Queues = Queues }))
	})
}
