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
	// Expire the result after a while: the next Check starts a new call.
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
	namespace string // that it is accounted to while queued or running
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

// Check returns the newest result of a call, and false as long as there is none. The
// first Check starts the call. A key has one query for each call, its newest.
func (p *Poller[K, Q, R]) Check(key Key, id K, query Q) (result R, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[id]
	if e == nil {
		e = &entry[Q, R]{queries: map[Key]Q{}}
		if p.Host != nil {
			e.host = p.Host(id)
		}
		p.entries[id] = e
		p.due.Add(id)
	}
	if p.byKey[key] == nil {
		p.byKey[key] = map[K]struct{}{}
	}
	p.byKey[key][id] = struct{}{}
	e.queries[key] = query
	if e.state == queued && p.load(key.Namespace) < p.load(e.namespace)-1 { // its turn comes sooner
		p.line.Leave(id)
		decrement(p.waiting, e.namespace)
		p.join(id, e)
	}
	if e.result != nil && !e.expires.IsZero() && !p.Clock.Now().Before(e.expires) {
		e.result, e.expires = nil, time.Time{}
		p.due.Add(id)
	}
	if e.result == nil {
		return result, false
	}
	return *e.result, true
}

// Again makes a call after a while that was to be repeated later, or not at all.
func (p *Poller[K, Q, R]) Again(id K, after time.Duration) { p.due.AddAfter(id, max(0, after)) }

// Wanted reports whether a key wants the call.
func (p *Poller[K, Q, R]) Wanted(id K) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[id] != nil
}

// Peek returns the newest result of a call without wanting it.
func (p *Poller[K, Q, R]) Peek(id K) (result R, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[id]; e != nil && e.result != nil {
		return *e.result, true
	}
	return result, false
}

// Retain forgets all calls that the key wanted, but these.
func (p *Poller[K, Q, R]) Retain(key Key, ids ...K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retain(key, ids...)
}

// Forget the key. A call that nobody wants any more is not made, and its result dropped.
func (p *Poller[K, Q, R]) Forget(key Key) { p.Retain(key) }

func (p *Poller[K, Q, R]) retain(key Key, ids ...K) {
	kept := map[K]struct{}{}
	for _, id := range ids {
		kept[id] = struct{}{}
	}
	for id := range p.byKey[key] {
		if _, ok := kept[id]; ok {
			continue
		}
		delete(p.byKey[key], id)
		e := p.entries[id]
		delete(e.queries, key)
		if len(e.queries) > 0 {
			continue
		}
		delete(p.entries, id) // a call that runs ends on its own
		if e.state == queued {
			p.line.Leave(id)
			decrement(p.waiting, e.namespace)
		}
	}
	if len(p.byKey[key]) == 0 {
		delete(p.byKey, key)
	}
}

// Run makes calls until the context ends, and returns when the last has ended.
func (p *Poller[K, Q, R]) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, p.due.ShutDown)
	defer stop()
	for {
		id, quit := p.due.Get()
		if quit {
			break
		}
		p.mu.Lock()
		p.enter(id)
		p.start(ctx)
		p.mu.Unlock()
		p.due.Done(id)
	}
	p.calls.Wait()
}

// enter puts a call that is due in line.
func (p *Poller[K, Q, R]) enter(id K) {
	e := p.entries[id]
	if e == nil {
		return
	}
	for key := range e.queries {
		if !p.Leads(key) {
			p.retain(key)
		}
	}
	switch {
	case p.entries[id] != e: // nobody wants it
	case e.state == running:
		e.again = true
	case e.state == idle:
		p.join(id, e)
	}
}

// join the line on account of the namespace that has least in it: whoever else wants
// the same call does not make it later.
func (p *Poller[K, Q, R]) join(id K, e *entry[Q, R]) {
	first := true
	for key := range e.queries {
		if first || p.load(key.Namespace) < p.load(e.namespace) {
			e.namespace, first = key.Namespace, false
		}
	}
	e.state = queued
	p.waiting[e.namespace]++
	p.line.Join(id, e.namespace)
}

// load is how many calls a namespace has in line and running.
func (p *Poller[K, Q, R]) load(namespace string) int {
	return p.waiting[namespace] + p.running[namespace]
}

// start the calls that may run now.
func (p *Poller[K, Q, R]) start(ctx context.Context) {
	for p.total < p.Parallel && ctx.Err() == nil {
		id, ok := p.line.NextWhere(p.running, p.PerNamespace, p.eligible)
		if !ok {
			return
		}
		e := p.entries[id]
		decrement(p.waiting, e.namespace)
		e.state = running
		p.running[e.namespace]++
		retry := e.failures > 0
		p.hosts[e.host]++
		p.total++
		if retry {
			p.retries++
		}
		queries := e.all()
		p.calls.Go(func() {
			result := p.Call(ctx, id, queries)
			p.mu.Lock()
			defer p.mu.Unlock()
			decrement(p.running, e.namespace)
			decrement(p.hosts, e.host)
			p.total--
			if retry {
				p.retries--
			}
			e.state = idle
			if ctx.Err() == nil {
				p.finish(id, e, result)
				p.start(ctx)
			}
		})
	}
}

// eligible: its host has room, and calls that failed before leave half of the places to
// others.
func (p *Poller[K, Q, R]) eligible(id K) bool {
	e := p.entries[id]
	if e.host != "" && p.hosts[e.host] >= p.PerHost {
		return false
	}
	return e.failures == 0 || p.retries < max(1, p.Parallel/2)
}

// finish a call whose result has come.
func (p *Poller[K, Q, R]) finish(id K, e *entry[Q, R], result R) {
	if p.entries[id] != e {
		return // forgotten meanwhile
	}
	queries := e.all()
	if e.failures++; !p.Failed(result) {
		e.failures = 0
	}
	before := e.result
	if p.Merge != nil {
		result = p.Merge(queries, before, result)
	}
	e.result, e.expires = &result, time.Time{}
	for key, query := range e.queries {
		if p.Changed(query, before, result) {
			p.Enqueue(key)
		}
	}
	switch then, after := p.Next(queries, result, e.failures); then {
	case Keep:
	case Repeat:
		p.due.AddAfter(id, after)
	case Expire:
		e.expires = p.Clock.Now().Add(after)
	}
	if e.again {
		e.again = false
		p.join(id, e)
	}
}

func (e *entry[Q, R]) all() []Q {
	queries := make([]Q, 0, len(e.queries))
	for _, q := range e.queries {
		queries = append(queries, q)
	}
	return queries
}

// decrement a count, and drop it at zero: namespaces come and go.
func decrement(counts map[string]int, of string) {
	if counts[of]--; counts[of] <= 0 {
		delete(counts, of)
	}
}
