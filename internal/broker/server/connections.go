package server

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/dispatch"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// Connect opens a connection to RabbitMQ in the background. current are its settings,
// which may change; dial connects where it may lead.
type Connect func(current func() *connection.Settings, dial egress.Dial) Engine

// maxReply of subscribers, in bytes; see package delivery.
const maxReply = 16 << 20

// ConnectRabbitMQ connects a replica to a RabbitMQ that users name. Messages in it are at
// most as large as events and replies.
func ConnectRabbitMQ(replica string, maxBody int64) Connect {
	return func(current func() *connection.Settings, dial egress.Dial) Engine {
		return amqp.New(amqp.Options{
			Current: func() amqp.Credentials { return current().Credentials() }, Dial: dial, MaxMessage: max(maxBody, maxReply),
			Name: "knative-lambda-broker " + replica, Logger: slog.Default(),
		})
	}
}

// ownConnections to RabbitMQ are those besides that of the installation. Each has an engine
// of its own, so that one that fails, or is blocked, concerns its Brokers only.
type ownConnections struct {
	set     *connection.Set[*opened]
	closing sync.WaitGroup

	mu sync.Mutex
	// consume the delay queues of an engine, nil while nothing is delivered; changed is
	// called when a connection was opened or closed.
	consume func(name string, e Engine) *delay.Consumer
	changed func()
}

// opened connection.
type opened struct {
	Engine
	name   string
	delays *delay.Consumer // nil while nothing is delivered
}

// watchConnections opens what the Secret has. ctx bounds how long that takes to be known.
func (d *Dependencies) watchConnections(running, ctx context.Context, o *Options) error {
	if o.Connect == nil {
		return nil
	}
	c := d.Connections
	c.set.Open = func(name string, current func() *connection.Settings) *opened {
		slog.Info("Opening a connection to RabbitMQ", "connection", name, "source", current().Source)
		return c.open(name, o.Connect(current, egress.Dialer(func(hostPort string, address netip.Addr) error {
			return d.Permit(current().From, hostPort, address)
		})))
	}
	return connection.Follow(running, ctx, connection.NewInformer(d.Clients.Kube, o.Namespace), func(all map[string]connection.Settings) {
		c.set.Apply(all)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.changed != nil {
			c.changed()
		}
	})
}

func newOwnConnections() *ownConnections {
	c := &ownConnections{}
	c.set = &connection.Set[*opened]{Close: func(name string, o *opened) {
		slog.Info("Closing a connection to RabbitMQ that no Broker uses", "connection", name)
		c.closing.Go(func() { c.shut(name, o) })
	}}
	return c
}

func (c *ownConnections) open(name string, e Engine) *opened {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &opened{Engine: e, name: name}
	if c.consume != nil {
		o.delays = c.consume(name, e)
	}
	return o
}

func (c *ownConnections) shut(name string, o *opened) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.mu.Lock()
	delays := o.delays
	c.mu.Unlock()
	var err error
	if delays != nil {
		err = delays.Stop(ctx)
	}
	if err = errors.Join(err, o.Close(ctx)); err != nil {
		slog.Warn("A connection to RabbitMQ was not closed in order", "connection", name, "error", err)
	}
}

// deliver the events of all connections, and of those to come. changed is called when a
// connection was opened or closed.
func (c *ownConnections) deliver(consume func(name string, e Engine) *delay.Consumer, changed func()) {
	c.mu.Lock()
	c.consume, c.changed = consume, changed
	c.mu.Unlock()
	all := c.set.Opened() // before or after: none is missed
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range all {
		if o.delays == nil {
			o.delays = consume(o.name, o.Engine)
		}
	}
}

// stop consuming the delay queues.
func (c *ownConnections) stop(ctx context.Context) error {
	c.mu.Lock()
	c.consume = nil
	c.mu.Unlock()
	var errs []error
	for _, o := range c.set.Opened() {
		c.mu.Lock()
		delays := o.delays
		c.mu.Unlock()
		if delays != nil {
			errs = append(errs, delays.Stop(ctx))
		}
	}
	return errors.Join(errs...)
}

// close all connections, at the end of the program.
func (c *ownConnections) close() {
	c.set.Apply(nil)
	c.closing.Wait()
}

// count of connections to RabbitMQ that are open.
func (c *ownConnections) count() (n int) {
	for _, o := range c.set.Opened() {
		if m, ok := o.Engine.(monitored); ok {
			n += m.Connections()
		}
	}
	return n
}

// publisher of a connection, nil while it is not open.
func (c *ownConnections) publisher(name string) queue.Publisher {
	if o, ok := c.set.Get(name); ok {
		return o
	}
	return nil
}

// connection of a name, nil while it is not open.
func (c *ownConnections) connection(name string) dispatch.Connection {
	if o, ok := c.set.Get(name); ok {
		return o
	}
	return nil
}
