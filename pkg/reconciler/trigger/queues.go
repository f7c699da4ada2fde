package trigger

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// drainDelay is how long a queue stays after it was unbound and found empty. An ingress
// waits this long for the confirm of an event that was routed before.
const drainDelay = 10 * time.Second

// removeTimeout is how long the deletion of a Trigger waits for RabbitMQ.
const removeTimeout = 5 * time.Second

// errNoConnection: the connection that the queues of a Trigger are on is not known.
var errNoConnection = errors.New("the connection to RabbitMQ that the queues are on is not configured")

// queues of Triggers in the message broker.
type queues struct {
	connections connections
	clock       clock.PassiveClock
	// locks are by the UID of a Trigger: its queues are changed, or looked at and put
	// right, by one goroutine at a time.
	locks [64]sync.Mutex

	mu    sync.Mutex
	empty map[string]time.Time // since when, of draining queues
}

func newQueues(c connections) *queues {
	return &queues{connections: c, clock: clock.RealClock{}, empty: map[string]time.Time{}}
}

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
	_, err := topology.Inspect(ctx, a.Queue)
	missing := errors.Is(err, queue.ErrNoQueue)
	if missing {
		err = topology.Declare(ctx, queue.Declaration{Name: a.Queue, Kind: a.Kind, Ordered: assignment.Ordered(a.Queue)})
	}
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
			err = topology.Delete(ctx, name)
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
// there is no RabbitMQ, is no error.
func (q *queues) remove(ctx context.Context, t *eventingv1.Trigger) error {
	defer q.lock(t.UID)()
	a := assignment.Of(t)
	connection := q.connections.Get(a.Connection)
	switch {
	case a.Queue == "" && (connection == nil || connection.Err() != nil):
		return nil // it never had one
	case connection == nil:
		return errNoConnection
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	return removeAll(ctx, connection, assignment.Queues(t))
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
