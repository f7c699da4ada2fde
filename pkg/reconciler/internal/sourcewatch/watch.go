// Package sourcewatch finds out in the background what sources are by now, again and
// again: a reconcile never waits for one, and hears when one has changed.
package sourcewatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// Checker tells what sources have resolved to.
type Checker interface {
	// Check tells what the query's source was when it was last asked, and what is
	// wrong with it since. The first time it only starts to find out and returns
	// ErrPending. The key is enqueued when there is an answer and whenever it
	// changes. A key has one query: another takes its place.
	Check(key types.NamespacedName, query Query) (*source.Resolved, error)
	// Forget the key and its query.
	Forget(key types.NamespacedName)
}

// ErrPending is of a source that has not answered yet.
var ErrPending = errors.New("the source is being asked")

// Query is a source with the Secret that may read it.
type Query struct {
	Request source.Request
	// Namespace and Secret name the credentials; without Secret there are none.
	Namespace, Secret string
	// Interval after which the source is asked again.
	Interval time.Duration
}

const (
	// parallel sources are asked at once.
	parallel = 8
	// firstRetry of a source that could not be asked; each further one waits twice
	// as long, at most maxRetry or the interval, whichever is longer.
	firstRetry = 2 * time.Second
	maxRetry   = 5 * time.Minute
	// spread of intervals, so that sources are not all asked at once.
	spread = 0.2
)

// Options of a Watcher.
type Options struct {
	// Enqueue a key whose answer is there or has changed.
	Enqueue func(types.NamespacedName)
	// Leads tells whether this process is responsible for a key; nobody's sources
	// are watched.
	Leads func(types.NamespacedName) bool
	// Secret reads one now.
	Secret func(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	Clock  clock.WithTicker
	// Resolve is source.Resolve.
	Resolve func(context.Context, source.Request, source.Credentials) (*source.Resolved, error)
}

// Watcher is a Checker.
type Watcher struct {
	Options
	queue workqueue.TypedDelayingInterface[string]

	mu      sync.Mutex
	watched map[string]*watched
	queries map[types.NamespacedName]string
}

// watched is one source, for all that ask for it.
type watched struct {
	query    Query
	keys     map[types.NamespacedName]struct{}
	answered bool
	resolved *source.Resolved
	err      error
	failures int
}

// New returns a Watcher, which watches while Run runs.
func New(o Options) *Watcher {
	return &Watcher{
		Options: o,
		queue:   workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Name: "sources", Clock: o.Clock}),
		watched: map[string]*watched{},
		queries: map[types.NamespacedName]string{},
	}
}

// Check implements Checker.
func (w *Watcher) Check(key types.NamespacedName, query Query) (*source.Resolved, error) {
	id := query.id()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queries[key] != id {
		w.leave(key)
		w.queries[key] = id
	}
	known := w.watched[id]
	if known == nil {
		known = &watched{keys: map[types.NamespacedName]struct{}{}}
		w.watched[id] = known
		w.queue.Add(id)
	}
	known.query = query // the interval may be new
	known.keys[key] = struct{}{}
	if !known.answered {
		return nil, ErrPending
	}
	return known.resolved, known.err
}

// Forget implements Checker.
func (w *Watcher) Forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leave(key)
}

// leave takes the key from its source, and the source from those watched when
// nobody asks for it any more.
func (w *Watcher) leave(key types.NamespacedName) {
	id, ok := w.queries[key]
	if !ok {
		return
	}
	delete(w.queries, key)
	known := w.watched[id]
	delete(known.keys, key)
	if len(known.keys) == 0 {
		delete(w.watched, id)
	}
}

// id is the same for queries whose answer is: namespaces have their own Secrets.
func (q Query) id() string {
	same := q
	same.Interval = 0
	if q.Secret == "" {
		same.Namespace = ""
	}
	text, err := json.Marshal(same)
	if err != nil {
		panic(err) // strings and addresses only
	}
	return string(text)
}

// Run watches until the context ends.
func (w *Watcher) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	workers.Wait()
}

func (w *Watcher) next(ctx context.Context) bool {
	id, quit := w.queue.Get()
	if quit {
		return false
	}
	defer w.queue.Done(id)
	if known, query, ok := w.begin(id); ok {
		resolved, err := w.ask(ctx, query)
		if ctx.Err() == nil {
			w.end(id, known, resolved, err)
		}
	}
	return true
}

// begin tells whether the source is still watched by anybody who is responsible.
func (w *Watcher) begin(id string) (*watched, Query, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.watched[id]
	if known == nil {
		return nil, Query{}, false
	}
	for key := range known.keys {
		if !w.Leads(key) {
			w.leave(key)
		}
	}
	return known, known.query, w.watched[id] == known
}

func (w *Watcher) ask(ctx context.Context, q Query) (*source.Resolved, error) {
	var credentials source.Credentials
	if q.Secret != "" {
		ctx, cancel := context.WithTimeout(ctx, source.ResolveTimeout)
		defer cancel()
		secret, err := w.Secret(ctx, q.Namespace, q.Secret)
		switch {
		case apierrs.IsNotFound(err):
			return nil, &source.InvalidError{Reason: source.ReasonSecretNotFound, Message: fmt.Sprintf("there is no Secret %q in namespace %q", q.Secret, q.Namespace)}
		case err != nil:
			return nil, fmt.Errorf("the Secret %q cannot be read: %w", q.Secret, err)
		}
		credentials = secret.Data
		if credentials == nil {
			credentials = source.Credentials{}
		}
	}
	return w.Resolve(ctx, q.Request, credentials)
}

// end records an answer, tells who waits for one or for a change, and comes back
// later unless the answer is for ever.
func (w *Watcher) end(id string, known *watched, resolved *source.Resolved, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[id] != known {
		return // forgotten meanwhile
	}
	changed := !known.answered || outcome(known.err) != outcome(err)
	if err == nil {
		changed = changed || known.resolved == nil || *identity(known.resolved) != *identity(resolved)
		known.resolved, known.failures = resolved, 0
	} else {
		known.failures++
	}
	known.answered, known.err = true, err
	if changed {
		for key := range known.keys {
			w.Enqueue(key)
		}
	}
	if err != nil || !known.query.Request.Pinned() {
		w.queue.AddAfter(id, known.wait())
	}
}

// outcome of asking, without what differs each time.
func outcome(err error) string {
	if err == nil {
		return ""
	}
	reason, _ := source.Reason(err)
	return reason
}

type version struct{ digest, id, etag, commit string }

func identity(r *source.Resolved) *version {
	return &version{r.Digest, r.VersionID, r.ETag, r.Commit}
}

// wait is how long until the source is asked again.
func (k *watched) wait() time.Duration {
	interval := k.query.Interval
	if _, users := source.Reason(k.err); k.err != nil && !users {
		most := max(maxRetry, interval)
		interval = most
		if doublings := k.failures - 1; doublings < 16 {
			interval = min(most, firstRetry<<doublings)
		}
	}
	return wait.Jitter(time.Duration(float64(interval)*(1-spread/2)), spread)
}
