package trigger

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// drainDelay is how long a queue stays after it was unbound and found empty. An ingress
// waits this long for the confirm of an event that was routed before.
const drainDelay = 10 * time.Second

// redeclareDelay is how long a queue stays deleted before one of the same name is declared.
// RabbitMQ may close the connection of a client that declares or consumes one at once.
const redeclareDelay = 2 * time.Second

// removeTimeout is how long the deletion of a Trigger waits for RabbitMQ.
const removeTimeout = 5 * time.Second

// errNoConnection: the connection that the queues of a Trigger are on is not known.
var errNoConnection = errors.New("the connection to RabbitMQ that the queues are on is not configured")

// errDeleted: the queue was deleted so short a time ago that it is not declared yet.
var errDeleted = errors.New("the queue was deleted; it is declared again in a moment")

// queues of Triggers in the message broker.
type queues struct {
	connections connections
	clock       clock.PassiveClock
	// locks are by the UID of a Trigger: its queues are changed, or looked at and put
	// right, by one goroutine at a time.
	locks [64]sync.Mutex

	mu      sync.Mutex
	empty   map[string]time.Time // since when, of draining queues
	deleted map[string]time.Time // when, or when that was found out
}

func newQueues(c connections) *queues {
	return &queues{connections: c, clock: clock.RealClock{}, empty: map[string]time.Time{}, deleted: map[string]time.Time{}}
}

// on the connection that the status of a Trigger names; nil if it is not open.
func (q *queues) on(name string) *plane.Connection { return q.connections.Get(name) }

// lock a Trigger's queues. The result unlocks them.
func (q *queues) lock(uid types.UID) func() {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid))
	l := &q.locks[h.Sum32()%uint32(len(q.locks))]
	l.Lock()
	return l.Unlock
}

// settle is the part of a change that the replicas allow: without served the queue gets
// what it got before. It returns what the Trigger has then. Of the keys only the first
// is bound: others come from the Trigger's status, which its author may write.
func (q *queues) settle(ctx context.Context, topology queue.Topology, a assignment.Assignment, served bool) (assignment.Assignment, error) {
	a, missing, err := q.ensure(ctx, topology, a)
	// Without served a new queue is bound because no replica consumes it with an old
	// filter, unless another queue has the bindings as yet.
	if err != nil || (!served && (!missing || len(a.Draining) > 0)) {
		return a, err
	}
	if err := topology.Bind(ctx, a.Queue, a.Keys[0]); err != nil || !served {
		return a, err
	}
	for _, key := range a.Keys[1:] {
		if err := topology.Unbind(ctx, a.Queue, key); err != nil {
			return a, err
		}
	}
	a.Draining, err = q.drain(ctx, topology, a)
	if err == nil {
		a.Keys = a.Keys[:1]
	}
	return a, err
}

// ensure that the queue is declared, and say whether it was missing.
func (q *queues) ensure(ctx context.Context, topology queue.Topology, a assignment.Assignment) (after assignment.Assignment, missing bool, err error) {
	_, err = topology.Inspect(ctx, a.Queue)
	missing = errors.Is(err, queue.ErrNoQueue)
	switch {
	case missing && !q.mayDeclare(a):
		a.Undeclared = true
		return a, missing, errDeleted
	case missing:
		err = topology.Declare(ctx, queue.Declaration{Name: a.Queue, Kind: a.Kind, Ordered: assignment.Ordered(a.Queue)})
	}
	if err == nil {
		a.Undeclared = false
	}
	return a, missing, err
}

// mayDeclare says whether a queue that is missing may be declared. One that was declared is
// lost: dispatchers have to stop consuming it first, which takes them a moment.
func (q *queues) mayDeclare(a assignment.Assignment) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, known := q.deleted[a.Queue]
	switch {
	case known && q.clock.Since(at) < redeclareDelay:
		return false
	case !known && !a.Undeclared && len(a.Draining) == 0: // where one drains, only that one is consumed
		q.remember(a.Queue)
		return false
	}
	return true
}

// maxDeleted is how many deletions are remembered before old ones are forgotten.
const maxDeleted = 1_000

// remember that queues do not exist. It is called with the lock.
func (q *queues) remember(names ...string) {
	now := q.clock.Now()
	if len(q.deleted) > maxDeleted {
		maps.DeleteFunc(q.deleted, func(_ string, at time.Time) bool { return now.Sub(at) > time.Minute })
	}
	for _, name := range names {
		q.deleted[name] = now
	}
}

// removed says whether the queues of a Trigger were deleted a short time ago.
func (q *queues) removed(t *eventingv1.Trigger) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range assignment.Queues(t) {
		if at, known := q.deleted[name]; !known || q.clock.Since(at) > time.Minute {
			return false
		}
	}
	return true
}

// drain unbinds queues and deletes those that are empty. It returns the others.
func (q *queues) drain(ctx context.Context, topology queue.Topology, a assignment.Assignment) (draining []string, err error) {
	for i, name := range a.Draining {
		for _, key := range a.Keys {
			if err := topology.Unbind(ctx, name, key); err != nil {
				return slices.Concat(draining, a.Draining[i:]), err
			}
		}
		drained, err := q.drained(ctx, topology, name)
		if err == nil && drained {
			err = q.delete(ctx, topology, name)
		}
		if err != nil {
			return slices.Concat(draining, a.Draining[i:]), err
		}
		if !drained {
			draining = append(draining, name)
		}
	}
	return draining, nil
}

// drained says whether a queue has been empty for long enough. Events in the hands of a
// dispatcher are not counted; it consumes as long as it has some.
func (q *queues) drained(ctx context.Context, topology queue.Topology, name string) (bool, error) {
	state, err := topology.Inspect(ctx, name)
	if err != nil && !errors.Is(err, queue.ErrNoQueue) {
		return false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil { // deleted already
		delete(q.empty, name)
		return true, nil
	}
	if state.Messages > 0 || state.Consumers > 0 {
		delete(q.empty, name)
		return false, nil
	}
	since, ok := q.empty[name]
	if !ok {
		since = q.clock.Now()
		q.empty[name] = since
	}
	if q.clock.Since(since) < drainDelay {
		return false, nil
	}
	delete(q.empty, name)
	return true, nil
}

// remove the queues of a Trigger, with their bindings. A Trigger that has none, where
// there is no RabbitMQ, is no error, nor is one whose connection was removed: nothing is
// left by which its queues could be deleted.
func (q *queues) remove(ctx context.Context, t *eventingv1.Trigger) error {
	defer q.lock(t.UID)()
	a := assignment.Of(t)
	connection := q.on(a.Connection)
	switch {
	case a.Queue == "" && (connection == nil || connection.Err() != nil):
		return nil // it never had one
	case connection == nil && a.Connection != "":
		logging.FromContext(ctx).Warnw("The queues of a Trigger are left in RabbitMQ: its connection was removed",
			"trigger", t.Namespace+"/"+t.Name, "connection", a.Connection, "queues", assignment.Queues(t))
		return nil
	case connection == nil:
		return errNoConnection
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	names := assignment.Queues(t)
	if err := removeAll(ctx, connection, names); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remember(names...)
	return nil
}

func (q *queues) delete(ctx context.Context, topology queue.Topology, name string) error {
	if err := topology.Delete(ctx, name); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remember(name)
	return nil
}

func removeAll(ctx context.Context, connection *plane.Connection, names []string) error {
	if err := connection.Err(); err != nil && connection.Checked() {
		return err // known to be away: not tried for each Trigger
	}
	for _, name := range names {
		if err := connection.Topology.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
