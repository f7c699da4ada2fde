package layer

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/async"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// ErrPending says that the image is being made.
var ErrPending = errors.New("the image is being made")

// Result of a build.
type Result struct {
	build.Outcome
	// Found says that the registry had the image.
	Found bool
	// Started and Ended tell when.
	Started, Ended time.Time
}

// Builder makes images while nobody waits.
type Builder interface {
	// Build makes the image of the request. The first time it only starts to and
	// returns ErrPending; the key is enqueued when there is a result. Equal
	// requests share one build.
	Build(key types.NamespacedName, r *Request) (Result, error)
	// Lost says that the registry does not have the reference any more.
	Lost(reference string)
}

// How many are made at once, of them perNamespace of one namespace, and how long a
// result is kept. A failure is kept for less than the shortest delay before another
// attempt.
const (
	parallel, perNamespace = 8, 4

	madeFor   = 10 * time.Minute
	failedFor = time.Second
)

// Background is a Builder. Images are made while Run runs.
type Background struct {
	make  func(context.Context, *Request) (build.Outcome, bool)
	clock clock.PassiveClock
	// Waited, if set before Run, observes how long a build that begins has waited for
	// others.
	Waited func(time.Duration)

	poller *async.Poller[taskKey, *Request, Result]
}

// taskKey is what makes requests equal. A build has the rights of its namespace,
// so it is not shared with another one.
type taskKey struct {
	namespace, reference string
	push, pull           string
	attempt              int32
}

// NewBackground returns a Builder that makes images with the maker and calls enqueue when
// one is made. It makes images only for keys that this process leads.
func NewBackground(maker *Maker, enqueue func(types.NamespacedName), leads func(types.NamespacedName) bool, c clock.WithTicker) *Background {
	b := &Background{make: maker.Make, clock: c}
	b.poller = async.New(async.Options[taskKey, *Request, Result]{
		Name: "layers", Clock: c, Parallel: parallel, PerNamespace: perNamespace,
		// The requests of a task are equal.
		Call:    func(ctx context.Context, _ taskKey, requests []*Request) Result { return b.run(ctx, requests[0]) },
		Failed:  func(r Result) bool { return !r.Succeeded() },
		Changed: func(*Request, *Result, Result) bool { return true }, // each key waits for the result
		Next:    keep,
		Started: func(_ taskKey, waited time.Duration) {
			if b.Waited != nil {
				b.Waited(waited)
			}
		},
		Enqueue: enqueue, Leads: leads,
	})
	return b
}

// Run makes images until the context ends.
func (b *Background) Run(ctx context.Context) { b.poller.Run(ctx) }

// Build implements Builder.
func (b *Background) Build(key types.NamespacedName, r *Request) (Result, error) {
	result, ok := b.poller.Check(key, taskKey{r.Namespace, r.Reference, r.PushSecret, r.PullSecret, r.Attempt}, r)
	if !ok {
		return Result{}, ErrPending
	}
	return result, nil
}

// Depth is how many builds wait for others.
func (b *Background) Depth() int { return b.poller.Depth() }

// Lost implements Builder.
func (b *Background) Lost(reference string) {
	b.poller.Invalidate(func(k taskKey, _ Result) bool { return k.reference == reference })
}

func (b *Background) run(ctx context.Context, r *Request) Result {
	result := Result{Started: b.clock.Now()}
	result.Outcome, result.Found = b.make(ctx, r)
	result.Ended = b.clock.Now()
	return result
}

// keep a result for functions that want the same image.
func keep(_ []*Request, r Result, _ int) (async.Then, time.Duration) {
	if r.Succeeded() {
		return async.Expire, madeFor
	}
	return async.Expire, failedFor
}
