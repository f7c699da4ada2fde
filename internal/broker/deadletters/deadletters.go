// Package deadletters declares, bounds and deletes the queues of dead letters: one for
// each function or agent that receives events. RabbitMQ keeps the queues; their bounds
// are policies, because arguments of a queue cannot be changed.
package deadletters

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// operationTimeout of one request to RabbitMQ.
	operationTimeout = 5 * time.Second
	// retryInterval is how long an operation that failed is not tried again.
	retryInterval = 10 * time.Second
	// policyPriority is above that of the policy for queues without bounds of their own.
	policyPriority = 1
)

// Bounds of a queue.
type Bounds struct {
	// TTL is how long a dead letter is kept.
	TTL time.Duration
	// MaxLength is how many dead letters are kept.
	MaxLength int64
	// Overflow of a full queue: drop-head or reject-publish.
	Overflow string
}

// BoundsError says that a queue works, with the bounds that it had before or the default
// ones, because its own could not be set.
type BoundsError struct{ Err error }

// Error implements error.
func (e *BoundsError) Error() string {
	return fmt.Sprintf("cannot set the bounds of the dead letter queue: %v", e.Err)
}

// Unwrap is for errors.Is.
func (e *BoundsError) Unwrap() error { return e.Err }

// Policies of the installation's virtual host.
type Policies interface {
	Set(ctx context.Context, name string, p management.Policy) error
	Delete(ctx context.Context, name string) error
	// Queues are the names of all queues.
	Queues(ctx context.Context) ([]string, error)
}

// Options of New.
type Options struct {
	// Topology of the installation's RabbitMQ. The error says why it does not work now.
	Topology func() (queue.Topology, error)
	Policies Policies
	// Failed is called when RabbitMQ did not do what was asked, so that the connection is
	// checked.
	Failed func()
	Clock  clock.PassiveClock
}

// Queues of dead letters. What was declared in RabbitMQ is kept in memory, so that it is
// declared once.
type Queues struct {
	options Options
	// locks are by the name of a queue: one operation at a time.
	locks [64]sync.Mutex

	mu        sync.Mutex
	known     map[string]state
	observers []func(queue string)
	// epoch counts resets; swept is the one of the last sweep.
	epoch, swept uint64
}

// state of a queue, as this process knows it.
type state struct {
	declared bool
	// bounds in force, nil if they are not known.
	bounds *Bounds
	// refused bounds, since when and why.
	refused   Bounds
	refusedAt time.Time
	refusal   error
	// doomed queues are to be deleted; absent ones have been.
	doomed, absent bool
}

// New returns Queues of which nothing is known yet.
func New(o Options) *Queues {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Queues{options: o, known: map[string]state{}, swept: ^uint64(0)}
}

// Observe calls changed with the name of a queue that was lost, or for which something
// is to be tried again.
func (q *Queues) Observe(changed func(queue string)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.observers = append(q.observers, changed)
}

// Reset forgets what was declared. It is to be called when the connection is
// new: RabbitMQ may be another one.
func (q *Queues) Reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for name, s := range q.known {
		q.known[name] = s.forgotten()
	}
	q.epoch++
}

// forgotten is what is known after a reset.
func (s state) forgotten() state { return state{doomed: s.doomed} }

// lock a queue. The result unlocks it.
func (q *Queues) lock(name string) func() {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	l := &q.locks[h.Sum32()%uint32(len(q.locks))]
	l.Lock()
	return l.Unlock
}

func (q *Queues) load(name string) (s state, epoch uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.known[name], q.epoch
}

// store what is known since the epoch.
func (q *Queues) store(name string, s state, epoch uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if epoch != q.epoch {
		s = s.forgotten()
	}
	q.known[name] = s
}

// Ensure declares a queue and sets its bounds. A queue that is known to have them costs
// nothing. Errors: queue.ErrConflict if a queue of that name has other arguments,
// *BoundsError, and otherwise why RabbitMQ is not available.
func (q *Queues) Ensure(ctx context.Context, name string, b Bounds) error {
	defer q.lock(name)()
	s, epoch := q.load(name)
	s.doomed, s.absent = false, false
	defer func() { q.store(name, s, epoch) }()
	topology, err := q.options.Topology()
	if err != nil {
		return err
	}
	if !s.declared {
		err := within(ctx, func(ctx context.Context) error {
			return topology.Declare(ctx, queue.Declaration{Name: name, OverflowByPolicy: true})
		})
		if err != nil {
			q.options.Failed()
			return fmt.Errorf("cannot declare the dead letter queue %s: %w", name, err)
		}
		s.declared = true
	}
	return q.bound(ctx, name, &s, b)
}

func (q *Queues) bound(ctx context.Context, name string, s *state, b Bounds) error {
	now := q.options.Clock.Now()
	switch {
	case s.bounds != nil && *s.bounds == b:
		return nil
	case s.refusal != nil && s.refused == b && now.Sub(s.refusedAt) < retryInterval:
		return &BoundsError{s.refusal}
	}
	err := within(ctx, func(ctx context.Context) error { return q.options.Policies.Set(ctx, name, policyOf(name, b)) })
	s.refused, s.refusedAt, s.refusal = b, now, err
	if err != nil {
		return &BoundsError{err}
	}
	s.bounds = &b
	return nil
}

func policyOf(name string, b Bounds) management.Policy {
	return management.Policy{
		Pattern: "^" + regexp.QuoteMeta(name) + "$", ApplyTo: "queues", Priority: policyPriority,
		Definition: map[string]any{"message-ttl": b.TTL.Milliseconds(), "max-length": b.MaxLength, "overflow": b.Overflow},
	}
}

// Delete a queue with its dead letters and its bounds. If that fails, Run tries again
// until it succeeds or Ensure wants the queue.
func (q *Queues) Delete(ctx context.Context, name string) error {
	defer q.lock(name)()
	return q.delete(ctx, name)
}

func (q *Queues) delete(ctx context.Context, name string) error {
	s, epoch := q.load(name)
	if s.absent {
		return nil
	}
	s.doomed = true
	defer func() { q.store(name, s, epoch) }()
	topology, err := q.options.Topology()
	if err != nil {
		return err
	}
	if err := within(ctx, func(ctx context.Context) error { return topology.Delete(ctx, name) }); err != nil {
		q.options.Failed()
		return fmt.Errorf("cannot delete the dead letter queue %s: %w", name, err)
	}
	err = within(ctx, func(ctx context.Context) error { return q.options.Policies.Delete(ctx, name) })
	if err != nil && !management.IsNotFound(err) && !errors.Is(err, management.ErrNotConfigured) {
		return &BoundsError{err}
	}
	s = state{absent: true}
	return nil
}

// Known says whether this process has something to do with a queue: it declared it, or
// has not deleted it yet.
func (q *Queues) Known(name string) bool {
	s, _ := q.load(name)
	return s.declared || s.doomed
}

func within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	return f(ctx)
}
