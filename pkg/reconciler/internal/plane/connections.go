package plane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
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

// claimPrefix is of the name of a queue by which an installation marks a virtual host. It
// gets no messages.
const claimPrefix = "lambda.installation."

// Connections to the message broker, by name. The installation's has an empty name.
type Connections struct {
	mu        sync.Mutex
	all       map[string]*Connection
	claim     func() types.UID
	observers []func(name string)
}

// Connection to a message broker.
type Connection struct {
	Name     string
	Topology queue.Topology
	// Queues are the names of all queues in the virtual host; nil if they cannot be listed.
	Queues func(context.Context) ([]string, error)
	// QueueType of the queues of Triggers, empty for that of the configuration.
	QueueType func() string

	installation func() types.UID

	mu         sync.Mutex
	err        error
	noOutcomes bool // the stream of outcomes could not be declared
	wake       chan struct{}
}

// NewConnections returns none.
func NewConnections() *Connections { return &Connections{all: map[string]*Connection{}} }

// Claim the virtual hosts of connections for the installation of this UID, which is empty
// while it is not known.
func (c *Connections) Claim(installation func() types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claim = installation
}

// Add a connection. Run checks it.
func (c *Connections) Add(name string, topology queue.Topology, options ...func(*Connection)) *Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	connection := newConnection(name, topology)
	if c.claim != nil {
		connection.installation = c.claim
	}
	for _, set := range options {
		set(connection)
	}
	c.all[name] = connection
	return connection
}

func newConnection(name string, topology queue.Topology) *Connection {
	return &Connection{
		Name: name, Topology: topology, QueueType: func() string { return "" }, installation: func() types.UID { return "" },
		err: errUnchecked, wake: make(chan struct{}, 1),
	}
}

// Remove a connection. It is no longer checked once the context of Run ends.
func (c *Connections) Remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, name)
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
// published, and the queues of events that wait for a retry. The stream of outcomes is on
// the connection of the installation only.
func (c *Connection) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := declareShared(ctx, c.Topology)
	if err == nil && c.Name == "" {
		c.declareOutcomes(ctx)
	}
	if uid := c.installation(); err == nil && uid != "" {
		err = c.Topology.Declare(ctx, queue.Declaration{Name: claimPrefix + string(uid)})
	}
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

// declareOutcomes declares the stream of outcomes. Without it everything works but asking
// for outcomes, so that an error does not fail the check. The first of successive errors
// is logged.
func (c *Connection) declareOutcomes(ctx context.Context) {
	err := c.Topology.Declare(ctx, calls.Declaration())
	c.mu.Lock()
	first := err != nil && !c.noOutcomes
	c.noOutcomes = err != nil
	c.mu.Unlock()
	if first {
		logging.FromContext(ctx).Warnw("Failed to declare the stream of outcomes: outcomes of calls are not recorded", "queue", calls.Outcomes, "error", err)
	}
}

// Err is nil if the connection worked when it was last checked.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Shared says whether another installation uses the virtual host, by the names of its
// queues. That of a Broker counts as shared while it bears no mark of this installation.
func (c *Connection) Shared(queues []string) bool {
	own := claimPrefix + string(c.installation())
	if own == claimPrefix {
		return c.Name != ""
	}
	return slices.ContainsFunc(queues, func(name string) bool { return strings.HasPrefix(name, claimPrefix) && name != own })
}

// Checked says whether the connection has been checked at all.
func (c *Connection) Checked() bool { return !errors.Is(c.Err(), errUnchecked) }
