// Package dispatch delivers the events of Triggers to their subscribers. It consumes a
// queue for each Trigger and acknowledges an event last: after the subscriber has
// accepted it and the reply is stored, after the event was moved or became a dead
// letter, or when the Trigger does not want it. What is not acknowledged comes back.
package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// maxInHand is how long an event is in hand. RabbitMQ closes a channel on which one
	// is for 30 min.
	maxInHand = 20 * time.Minute
	// maxHandWait is the longest backoff that an event of an unordered queue waits in
	// hand.
	maxHandWait = 10 * time.Second
	// maxSinkAge is how long a dead letter is offered to a sink that does not accept it.
	maxSinkAge = 7 * 24 * time.Hour
	// orderedSinkTimeout bounds how long a dead letter sink delays the next event of an
	// ordered queue.
	orderedSinkTimeout = 10 * time.Second
	// closeTimeout bounds how long a consumer is canceled.
	closeTimeout = 10 * time.Second
)

// Sender sends an event to a subscriber or a sink; *delivery.Client is one.
type Sender interface {
	Send(ctx context.Context, r *delivery.Request) *delivery.Result
}

// Budget bounds what is in hand; *budget.Budget is one. Acquire and Hold return nil if
// the namespace has its share.
type Budget interface {
	Acquire(namespace string) (release func())
	Hold(namespace string, bytes int64) (release func())
	Largest() (namespace string, bytes int64)
}

// Inspector looks at queues.
type Inspector interface {
	Inspect(ctx context.Context, queue string) (queue.State, error)
}

// Connection to a message broker.
type Connection interface {
	queue.Subscriber
	queue.Publisher
	Inspector
}

// Options of a Dispatcher. Budget may be nil.
type Options struct {
	Subscriber queue.Subscriber
	Publisher  queue.Publisher
	Inspector  Inspector
	// Connection returns a connection besides that of the three above, nil while it is not
	// open. Dead letter queues are on that of the Publisher in any case.
	Connection func(name string) Connection
	Sender     Sender
	Budget     Budget
	Metrics    *Metrics
	// MaxLength of the queues of Triggers, which is a policy in RabbitMQ; default 100,000.
	MaxLength int
	// InspectEvery is how often each queue is looked at; default 30 s.
	InspectEvery time.Duration
	// Priority of this replica for an ordered queue, to spread them; nil is 0. Spread
	// returns one.
	Priority func(queue string) int
	// Replied is called with each reply that the Broker has got; nil is allowed. It must
	// not block.
	Replied func(ctx context.Context, broker types.NamespacedName, uid types.UID, reply *cloudevents.Event)
}

// Dispatcher serves Triggers.
type Dispatcher struct {
	options      Options
	installation Connection
	// ctx ends when deliveries are to be given up.
	ctx    context.Context
	cancel context.CancelFunc
	// stopping is closed when nothing new is to be delivered.
	stopping chan struct{}

	mu      sync.Mutex
	stopped bool
	workers map[types.UID]*worker
	running sync.WaitGroup // workers and lanes
}

// New returns a Dispatcher that serves no Triggers yet.
func New(o Options) *Dispatcher {
	if o.MaxLength <= 0 {
		o.MaxLength = 100_000
	}
	if o.InspectEvery <= 0 {
		o.InspectEvery = 30 * time.Second
	}
	d := &Dispatcher{
		options: o, installation: &installation{o.Subscriber, o.Publisher, o.Inspector},
		stopping: make(chan struct{}), workers: map[types.UID]*worker{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Apply a Trigger as it is now. broker is nil while it does not exist. When Apply
// returns, no event is judged by an earlier generation.
func (d *Dispatcher) Apply(t *eventingv1.Trigger, broker *eventingv1.Broker) {
	d.apply(t, broker, d.compile(t))
}

func (d *Dispatcher) apply(t *eventingv1.Trigger, broker *eventingv1.Broker, c compiled) {
	s := newSubscription(t, broker, c)
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.workers[t.UID]
	switch {
	case w != nil:
		w.set(s) // also while it stops: events in hand are judged by it
	case !d.stopped:
		w = newWorker(d, s)
		d.workers[t.UID] = w
		d.running.Go(w.run)
	}
}

// Remove a Trigger that was deleted. Its events in hand are acknowledged.
func (d *Dispatcher) Remove(uid types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.workers[uid]; w != nil {
		delete(d.workers, uid)
		w.set(nil)
	}
}

// Queue of a Trigger, and false if there is no such Trigger.
func (d *Dispatcher) Queue(uid types.UID) (string, bool) {
	if s := d.subscription(uid); s != nil {
		return s.queue, true
	}
	return "", false
}

// Reconnect looks at the connections again, after one was opened or closed.
func (d *Dispatcher) Reconnect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.workers {
		w.wake()
	}
}

// Waiting says why a Trigger's events are not delivered; empty if they are.
func (d *Dispatcher) Waiting(uid types.UID) string {
	if s := d.subscription(uid); s != nil {
		return s.waiting
	}
	return "the Trigger does not exist"
}

func (d *Dispatcher) subscription(uid types.UID) *subscription {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.workers[uid]; w != nil {
		return w.current.Load()
	}
	return nil
}

// Stop delivers nothing new, returns what was not sent, and waits for deliveries to
// end. Events that have failed meanwhile are moved with their attempts. When the context
// ends, deliveries are given up: their events come back uncounted.
func (d *Dispatcher) Stop(ctx context.Context) error {
	d.mu.Lock()
	if !d.stopped {
		d.stopped = true
		close(d.stopping)
	}
	for _, w := range d.workers {
		w.wake()
	}
	d.mu.Unlock()
	ended := make(chan struct{})
	go func() { d.running.Wait(); close(ended) }()
	select {
	case <-ended:
		d.cancel()
		return nil
	case <-ctx.Done():
	}
	d.cancel()
	<-ended
	return errors.Join(errGivenUp, ctx.Err())
}

var errGivenUp = errors.New("gave up deliveries that did not end in time; their events are delivered again")

func (d *Dispatcher) isStopping() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}
