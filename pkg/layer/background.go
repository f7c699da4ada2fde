package layer

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/fair"
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

// How many are made at once, and how long a result is kept for who asks again.
// A failure is kept for less than the shortest delay before another attempt.
const (
	parallel             = 8
	parallelPerNamespace = 4
	madeFor              = 10 * time.Minute
	failedFor            = time.Second
)

// Background is a Builder.
type Background struct {
	make    func(context.Context, *Request) (build.Outcome, bool)
	enqueue func(types.NamespacedName)
	clock   clock.PassiveClock
	// Waited is told how long a build waited for others when it begins; nil tells
	// nobody.
	Waited func(time.Duration)

	mu      sync.Mutex
	tasks   map[taskKey]*task
	line    fair.Line[taskKey]
	running map[string]int // by namespace
	total   int
}

// taskKey is what makes requests equal. A build has the rights of its namespace,
// so it is not shared with another one.
type taskKey struct {
	namespace, reference string
	push, pull           string
	attempt              int32
}

type task struct {
	request *Request
	since   time.Time // in the line
	done    bool
	result  Result
	expires time.Time
	waiting map[types.NamespacedName]struct{}
}

// NewBackground returns a Builder that makes images with the maker and calls
// enqueue when one is made.
func NewBackground(maker *Maker, enqueue func(types.NamespacedName), clock clock.PassiveClock) *Background {
	return &Background{make: maker.Make, enqueue: enqueue, clock: clock, tasks: map[taskKey]*task{}, running: map[string]int{}}
}

// Build implements Builder.
func (b *Background) Build(key types.NamespacedName, r *Request) (Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := taskKey{r.Namespace, r.Reference, r.PushSecret, r.PullSecret, r.Attempt}
	known := b.tasks[k]
	switch {
	case known != nil && !known.done:
		known.waiting[key] = struct{}{}
		return Result{}, ErrPending
	case known != nil && b.clock.Now().Before(known.expires):
		return known.result, nil
	}
	b.expire()
	b.tasks[k] = &task{request: r, since: b.clock.Now(), waiting: map[types.NamespacedName]struct{}{key: {}}}
	b.line.Join(k, k.namespace)
	b.start()
	return Result{}, ErrPending
}

// Depth is how many builds wait for others.
func (b *Background) Depth() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.line.Len()
}

// Lost implements Builder.
func (b *Background) Lost(reference string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.tasks, func(k taskKey, t *task) bool { return k.reference == reference && t.done })
}

// start lets run who may.
func (b *Background) start() {
	for b.total < parallel {
		k, ok := b.line.Next(b.running, parallelPerNamespace)
		if !ok {
			return
		}
		b.total++
		b.running[k.namespace]++
		go b.run(k, b.tasks[k])
	}
}

func (b *Background) run(k taskKey, t *task) {
	result := Result{Started: b.clock.Now()}
	if b.Waited != nil {
		b.Waited(result.Started.Sub(t.since))
	}
	result.Outcome, result.Found = b.make(context.Background(), t.request)
	result.Ended = b.clock.Now()

	b.mu.Lock()
	t.done, t.result, t.request = true, result, nil
	t.expires = result.Ended.Add(failedFor)
	if result.Succeeded() {
		t.expires = result.Ended.Add(madeFor)
	}
	waiting := t.waiting
	t.waiting = nil
	b.total--
	if b.running[k.namespace]--; b.running[k.namespace] == 0 {
		delete(b.running, k.namespace)
	}
	b.start()
	b.mu.Unlock()
	for key := range waiting {
		b.enqueue(key)
	}
}

// expire drops results that nobody needs any more.
func (b *Background) expire() {
	now := b.clock.Now()
	for k, t := range b.tasks {
		if t.done && !now.Before(t.expires) {
			delete(b.tasks, k)
		}
	}
}
