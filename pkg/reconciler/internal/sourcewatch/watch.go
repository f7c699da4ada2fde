// Package sourcewatch finds out in the background what sources are by now, again and
// again: a reconcile never waits for one, and hears when one has changed.
package sourcewatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/async"
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
	// parallel sources are asked at once, of them perNamespace of one namespace and
	// perHost of one server. Each may hold a list of refs of some 30 MiB.
	parallel, perNamespace, perHost = 8, 4, 6
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
	poller *async.Poller[identifier, Query, answer]
}

// answer of a source: what it resolved to when it last could, and what is wrong since.
type answer struct {
	resolved *source.Resolved
	err      error
}

// New returns a Watcher, which watches while Run runs.
func New(o Options) *Watcher {
	w := &Watcher{Options: o}
	w.poller = async.New(async.Options[identifier, Query, answer]{
		Name: "sources", Clock: o.Clock, Parallel: parallel, PerNamespace: perNamespace, PerHost: perHost,
		Call: func(ctx context.Context, _ identifier, queries []Query) answer {
			resolved, err := w.ask(ctx, queries[0]) // all have the same source
			return answer{resolved, err}
		},
		Host:    func(id identifier) string { return id.host },
		Failed:  func(a answer) bool { return a.err != nil },
		Merge:   merge,
		Changed: func(_ Query, before *answer, after answer) bool { return before == nil || changed(before, &after) },
		Next:    next,
		Enqueue: o.Enqueue, Leads: o.Leads,
	})
	return w
}

// Check implements Checker.
func (w *Watcher) Check(key types.NamespacedName, query Query) (*source.Resolved, error) {
	id := query.id()
	w.poller.Retain(key, id)
	known, ok := w.poller.Check(key, id, query)
	if !ok {
		return nil, ErrPending
	}
	return known.resolved, known.err
}

// Forget implements Checker.
func (w *Watcher) Forget(key types.NamespacedName) { w.poller.Forget(key) }

// Run watches until the context ends.
func (w *Watcher) Run(ctx context.Context) { w.poller.Run(ctx) }

// identifier is the same for queries whose answer is: namespaces have their own Secrets.
type identifier struct{ query, host string }

func (q Query) id() identifier {
	same := q
	same.Interval = 0
	if q.Secret == "" {
		same.Namespace = ""
	}
	text, err := json.Marshal(same)
	if err != nil {
		panic(err) // strings and addresses only
	}
	return identifier{string(text), q.Request.Host()}
}

func (w *Watcher) ask(ctx context.Context, q Query) (*source.Resolved, error) {
	var credentials source.Credentials
	if q.Secret != "" {
		ctx, cancel := context.WithTimeout(ctx, source.ResolveTimeout)
		defer cancel()
		secret, err := w.Secret(ctx, q.Namespace, q.Secret)
		switch {
		case apierrs.IsNotFound(err):
			return nil, &source.InvalidError{Reason: source.ReasonSecretNotFound, Message: fmt.Sprintf("Secret %s/%s does not exist; create it, or change secretRef in spec.source", q.Namespace, q.Secret)}
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

// merge keeps the last good answer while the source cannot be asked.
func merge(_ []Query, before *answer, after answer) answer {
	if after.err != nil && before != nil {
		after.resolved = before.resolved
	}
	return after
}

func changed(before, after *answer) bool {
	return outcome(before.err) != outcome(after.err) ||
		after.err == nil && (before.resolved == nil || *identity(before.resolved) != *identity(after.resolved))
}

// next: a source is asked again unless its answer is for ever.
func next(queries []Query, a answer, failures int) (async.Then, time.Duration) {
	if a.err == nil && queries[0].Request.Pinned() {
		return async.Keep, 0
	}
	interval := queries[0].Interval
	for _, q := range queries {
		interval = min(interval, q.Interval)
	}
	return async.Repeat, delay(interval, a.err, failures)
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

// delay until the source is asked again.
func delay(interval time.Duration, err error, failures int) time.Duration {
	if _, users := source.Reason(err); err != nil && !users {
		most := max(maxRetry, interval)
		interval = most
		if doublings := failures - 1; doublings < 16 {
			interval = min(most, firstRetry<<doublings)
		}
	}
	return wait.Jitter(time.Duration(float64(interval)*(1-spread/2)), spread)
}
