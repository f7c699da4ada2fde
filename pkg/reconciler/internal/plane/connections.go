package plane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// checkInterval is how often a connection is checked, and what Triggers share declared.
	checkInterval = time.Minute
	// downInterval is how often while it does not work.
	downInterval = 2 * time.Second
	checkTimeout = 10 * time.Second
)

// errUnchecked is of a connection before its first check.
var errUnchecked = errors.New("the connection to RabbitMQ has not been tried yet")

// Connections to the message broker, by name. The installation's has an empty name.
type Connections struct {
	mu        sync.Mutex
	all       map[string]*Connection
	observers []func(name string)
}

// Connection to a message broker.
type Connection struct {
	Name     string
	Topology queue.Topology

	mu   sync.Mutex
	err  error
	wake chan struct{}
}

// NewConnections returns none.
func NewConnections() *Connections { return &Connections{all: map[string]*Connection{}} }

// Add a connection. Run checks it.
func (c *Connections) Add(name string, topology queue.Topology) *Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	connection := &Connection{Name: name, Topology: topology, err: errUnchecked, wake: make(chan struct{}, 1)}
	c.all[name] = connection
	return connection
}

// Get a connection, nil if there is none of the name.
func (c *Connections) Get(name string) *Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[name]
}

// Names of all connections, in order.
func (c *Connections) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.all))
}

// Observe calls changed when a connection works that did not, or the other way round.
func (c *Connections) Observe(changed func(name string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observers = append(c.observers, changed)
}

// Check is to be called when a connection is new, or when an operation failed.
func (c *Connections) Check(name string) {
	if connection := c.Get(name); connection != nil {
		select {
		case connection.wake <- struct{}{}:
		default:
		}
	}
}

// Run checks a connection until the context ends.
func (c *Connections) Run(ctx context.Context, connection *Connection) {
	for {
		interval := checkInterval
		before := connection.Err()
		after := connection.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		if after != nil {
			interval = downInterval
		}
		if (before == nil) != (after == nil) || errors.Is(before, errUnchecked) {
			c.report(connection.Name)
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-connection.wake:
			timer.Stop()
		}
	}
}

func (c *Connections) report(name string) {
	c.mu.Lock()
	observers := slices.Clone(c.observers)
	c.mu.Unlock()
	for _, changed := range observers {
		changed(name)
	}
}

// Check declares what all Triggers share: the exchange, without which nothing can be
// published, and the queues of events that wait for a retry.
func (c *Connection) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := declareShared(ctx, c.Topology)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	return err
}

func declareShared(ctx context.Context, topology queue.Topology) error {
	if err := topology.DeclareExchange(ctx); err != nil {
		return err
	}
	for _, name := range delay.Queues() {
		if err := topology.Declare(ctx, queue.Declaration{Name: name}); err != nil {
			return fmt.Errorf("failed to declare queue %s: %w", name, err)
		}
	}
	return nil
}

// Err is nil if the connection worked when it was last checked.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Checked says whether the connection has been checked at all.
func (c *Connection) Checked() bool { return !errors.Is(c.Err(), errUnchecked) }
