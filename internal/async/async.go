// Package async makes slow calls in the background for reconcilers: a reconcile asks for
// a result, gets what is known or nothing yet, and its key is enqueued when there is
// more. Equal calls are made once for all keys. The places in which calls run are shared
// out fairly between namespaces, with bounds per namespace and per host, and calls that
// failed before have no more than half of them: one tenant's slow servers do not delay
// another's first call.
package async

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/fair"
)

// Key of an object that is reconciled.
type Key = types.NamespacedName

// Then says what follows a call.
type Then int

const (
	// Keep the result until nobody asks for it.
	Keep Then = iota
	// Repeat the call after a while. The result is kept meanwhile.
	Repeat
	// Expire the result after a while: the next Check starts a new call. The keys that
	// wanted this one are enqueued and let go of, with their queries.
	Expire
)

// Options of a Poller. K identifies a call, Q is what a key wants of it, R is its result,
// errors included. All functions but Call are called with a lock held and must not call
// the Poller.
type Options[K comparable, Q, R any] struct {
	// Name of the queue in metrics.
	Name  string
	Clock clock.WithTicker
	// Parallel calls at once, of them PerNamespace of one namespace and PerHost of one
	// host.
	Parallel, PerNamespace, PerHost int
	// Call for all that want it, within a time that it bounds itself. The context ends
	// with Run.
	Call func(ctx context.Context, id K, queries []Q) R
	// Host that a call connects to; empty is not bounded.
	Host func(K) string
	// Failed reports whether a result is a failure, of which those in a row are counted.
	Failed func(R) bool
	// Merge a new result with the one before, which is nil at first.
	Merge func(queries []Q, before *R, after R) R
	// Changed reports whether a key with the query has to know. before is nil at first.
	Changed func(query Q, before *R, after R) bool
	// Next says what follows a result and when.
	Next func(queries []Q, result R, failures int) (Then, time.Duration)
	// Started, if set, observes how long a call that begins now has waited in line.
	Started func(id K, waited time.Duration)
	// Enqueue a key whose result is there or has changed.
	Enqueue func(Key)
	// Leads reports whether this process is responsible for a key. Calls for others are
	// not made.
	Leads func(Key) bool
}

// Poller makes calls while Run runs.
type Poller[K comparable, Q, R any] struct {
	Options[K, Q, R]
	due workqueue.TypedDelayingInterface[K]

	mu      sync.Mutex
	entries map[K]*entry[Q, R]
	byKey   map[Key]map[K]struct{}
	line    fair.Line[K]
	waiting map[string]int // by namespace
	running map[string]int // by namespace
	hosts   map[string]int // running, by host
	retries int            // running, that failed before
	total   int
	swept   time.Time
	calls   sync.WaitGroup
}

type state int

const (
	idle state = iota
	queued
	running
)

// entry is one call, for all keys that want it.
type entry[Q, R any] struct {
	queries   map[Key]Q
	state     state
	again     bool // it is due again while it runs
	host      string
	namespace string    // that it is accounted to while queued or running
	since     time.Time // that it waits in line
	result    *R
	expires   time.Time // zero is never
	failures  int
}

// New returns a Poller.
func New[K comparable, Q, R any](o Options[K, Q, R]) *Poller[K, Q, R] {
	return &Poller[K, Q, R]{
		Options: o,
		due:     workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[K]{Name: o.Name, Clock: o.Clock}),
		entries: map[K]*entry[Q, R]{}, byKey: map[Key]map[K]struct{}{},
		waiting: map[string]int{}, running: map[string]int{}, hosts: map[string]int{},
	}
}
