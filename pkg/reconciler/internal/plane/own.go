package plane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/network"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/guard"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
)

// guardTimeout bounds how long the caches fill that decide where connections may lead.
const guardTimeout = 30 * time.Second

var errNoEventing = errors.New("the cluster has no Knative Eventing")

// apiObjects read from the API server.
type apiObjects struct {
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

var _ Objects = (*apiObjects)(nil)

var rabbitmqClusters = schema.GroupVersionResource{Group: "rabbitmq.com", Version: "v1beta1", Resource: "rabbitmqclusters"}

// Secret implements Objects.
func (a *apiObjects) Secret(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	return a.kube.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
}

// RabbitmqCluster implements Objects.
func (a *apiObjects) RabbitmqCluster(ctx context.Context, name types.NamespacedName) (*unstructured.Unstructured, error) {
	return a.dynamic.Resource(rabbitmqClusters).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
}

// opener opens the connections that the registry has.
type opener struct {
	connections *Connections
	// topology of a connection, and how it ends.
	topology func(current func() *connection.Settings, dial egress.Dial) engine
	permit   func(namespace, hostPort string, address netip.Addr) error
}

// engine is what is opened; *amqp.Engine is one.
type engine interface {
	queue.Topology
	Close(ctx context.Context) error
}

// member is an open connection.
type member struct {
	engine engine
	stop   context.CancelFunc // of its checks
}

// set of connections that are open as long as ctx runs.
func (o *opener) set(ctx context.Context) *connection.Set[*member] {
	return &connection.Set[*member]{
		Open: func(name string, current func() *connection.Settings) *member {
			running, stop := context.WithCancel(ctx)
			dial := egress.Dialer(func(hostPort string, address netip.Addr) error {
				return o.permit(current().From, hostPort, address)
			})
			m := &member{engine: o.topology(current, dial), stop: stop}
			go o.connections.Run(running, o.connections.Add(name, m.engine, func(c *Connection) {
				c.QueueType = func() string { return current().QueueType }
				c.Queues = func(ctx context.Context) ([]string, error) { return queuesOf(ctx, current(), dial) }
			}))
			return m
		},
		Close: func(name string, m *member) {
			o.connections.Remove(name)
			m.stop()
			go func() {
				if err := m.engine.Close(context.WithoutCancel(ctx)); err != nil {
					logging.FromContext(ctx).Infow("The connection to RabbitMQ was not closed in order", "connection", name, "error", err)
				}
			}()
		},
	}
}

// queuesOf the virtual host of a connection. The error is management.ErrNotConfigured if
// the user's Secret does not name the management API.
func queuesOf(ctx context.Context, s *connection.Settings, dial egress.Dial) ([]string, error) {
	if s.Management == "" {
		return nil, management.ErrNotConfigured
	}
	client, err := management.Over(dial, s.Management, s.Username, s.Password, s.CA)
	if err != nil {
		return nil, err
	}
	return client.Queues(ctx, s.VirtualHost)
}

// openTopology of a connection. It is dialed when it is first used.
func openTopology(current func() *connection.Settings, dial egress.Dial) engine {
	return amqp.New(amqp.Options{
		Current: func() amqp.Credentials { return current().Credentials() }, Dial: dial, Name: "knative-lambda-controller", TopologyOnly: true, Lazy: true,
		MaxMessage: 1, // it reads none
	})
}

// watchOwn opens the connections that the registry has, now and at each change.
func (p *Plane) watchOwn(ctx context.Context) {
	o := &opener{connections: p.Selector.Connections, topology: openTopology, permit: p.lazyGuard(ctx)}
	set := o.set(ctx)
	err := connection.Follow(ctx, ctx, p.Informers.Connections, func(all map[string]connection.Settings) {
		set.Apply(all)
		p.resync()
	})
	if err != nil {
		logging.FromContext(ctx).Errorw("Brokers have no connections of their own", "error", err)
	}
}

// lazyGuard decides where connections may lead, as the event plane does. What it needs to
// know of the cluster is watched when there is the first connection.
func (p *Plane) lazyGuard(ctx context.Context) func(namespace, hostPort string, address netip.Addr) error {
	var mu sync.Mutex
	var g *guard.Guard
	return func(namespace, hostPort string, address netip.Addr) error {
		mu.Lock()
		defer mu.Unlock()
		if g == nil {
			made, err := p.newGuard(ctx)
			if err != nil {
				return fmt.Errorf("cannot decide whether %s may be dialed: %w", hostPort, err)
			}
			g = made
		}
		return g.Permit(namespace, hostPort, address)
	}
}

// newGuard fills its caches, and keeps them as long as ctx runs.
func (p *Plane) newGuard(ctx context.Context) (*guard.Guard, error) {
	knative := p.kinds.Knative()
	if knative == nil {
		return nil, errNoEventing
	}
	objects, err := metadata.NewForConfig(injection.GetConfig(ctx))
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	context.AfterFunc(ctx, stop)
	bounded, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	clients := guard.Clients{Kube: kubeclient.Get(ctx), Metadata: objects, Lambda: lambdaclient.Get(ctx)}
	cluster, err := guard.Watch(running, bounded, clients, knative.Brokers)
	if err != nil {
		stop()
		return nil, err
	}
	return &guard.Guard{Domain: network.GetClusterDomainName(), Cluster: cluster, Settings: func() *guard.Settings {
		cfg := p.configuration.Config.Load()
		return &guard.Settings{
			Gateways: cfg.Eventing.DeliveryGateways, Allowed: cfg.Eventing.DeliveryAllowedNetworks, Denied: cfg.Build.EgressDeniedNetworks,
		}
	}}, nil
}
