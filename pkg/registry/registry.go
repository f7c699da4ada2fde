// Package registry asks registries about images in the background: a reconcile never
// waits for one.
package registry

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

// Image is an image in a registry, as one namespace sees it.
type Image struct {
	// Namespace that asks.
	Namespace string
	// Reference of the image: a tag that is made from its content, or a digest.
	Reference string
	// PushSecret and PullSecret name Secrets of the namespace with credentials; empty is
	// none.
	PushSecret, PullSecret string
	// Insecure registries speak plain HTTP.
	Insecure bool
}

// Checker answers questions about images. The first time it only starts to ask and
// returns ErrPending; the key is enqueued when the answer is there. What is known of an
// image is known to the namespace that asked with these credentials, and to no other.
type Checker interface {
	// Find returns the digest (sha256:…) of the image if the registry has it with a
	// signature of the operator for this reference and namespace. Otherwise it returns
	// ErrNotFound, or an error that wraps ErrUnavailable.
	Find(key types.NamespacedName, image Image) (digest string, err error)
	// Confirm makes sure that the reference has the digest that a build has reported, and
	// signs it. The error is ErrPending or nil.
	Confirm(key types.NamespacedName, image Image, digest string) (build.Outcome, error)
	// Exists returns nil if the registry has the image, signed or not. Otherwise it
	// returns the errors of Find.
	Exists(key types.NamespacedName, image Image) error
	// Forget drops the answer that the registry does not have the reference.
	Forget(reference string)
	// Lost drops all answers on a reference that the registry does not have any more.
	Lost(reference string)
}

// Asker asks registries, and waits for their answers. Its methods are those of Checker.
type Asker interface {
	Find(ctx context.Context, image Image) (digest string, err error)
	Confirm(ctx context.Context, image Image, digest string) build.Outcome
	Exists(ctx context.Context, image Image) error
}

// Errors of Find and Exists.
var (
	ErrPending     = errors.New("the registry is being asked")
	ErrNotFound    = errors.New("the registry does not have the image with a signature of the operator")
	ErrUnavailable = errors.New("the registry could not be asked")
)

// How long an answer is good for. An image by content never changes, but may be
// deleted. A build that could not be confirmed is asked about again after less than the
// shortest delay between two attempts.
const (
	foundFor       = 10 * time.Minute
	notFoundFor    = 30 * time.Second
	unconfirmedFor = time.Second
)

// How long one question may take, and how many are asked at once.
const (
	timeout              = 10 * time.Second
	confirmTimeout       = 30 * time.Second
	parallel             = 16
	parallelPerNamespace = 4
)

type kind int

const (
	find kind = iota
	confirm
	exists
)

// question is what makes two questions one.
type question struct {
	kind
	Image
	digest string // of confirm
}

type answer struct {
	digest  string
	outcome build.Outcome
	err     error
}

// Resolver is a Checker.
type Resolver struct {
	enqueue func(types.NamespacedName)
	clock   clock.PassiveClock
	asker   Asker

	mu      sync.Mutex
	results map[question]*result
	// confirming are the images that are being confirmed: who looks for one waits.
	confirming map[Image]*result
	line       fair.Line[question]
	running    map[string]int // by namespace
	total      int
}

type result struct {
	answer
	pending bool
	expires time.Time
	waiting map[types.NamespacedName]struct{}
}

// NewResolver returns a Resolver that calls enqueue when an answer is there.
func NewResolver(asker Asker, enqueue func(types.NamespacedName), clock clock.PassiveClock) *Resolver {
	return &Resolver{enqueue: enqueue, clock: clock, asker: asker,
		results: map[question]*result{}, confirming: map[Image]*result{}, running: map[string]int{}}
}

// Find implements Checker.
func (r *Resolver) Find(key types.NamespacedName, image Image) (string, error) {
	a, err := r.ask(key, question{kind: find, Image: image})
	if err != nil {
		return "", err
	}
	return a.digest, a.err
}

// Confirm implements Checker.
func (r *Resolver) Confirm(key types.NamespacedName, image Image, digest string) (build.Outcome, error) {
	a, err := r.ask(key, question{kind: confirm, Image: image, digest: digest})
	return a.outcome, err
}

// Exists implements Checker.
func (r *Resolver) Exists(key types.NamespacedName, image Image) error {
	a, err := r.ask(key, question{kind: exists, Image: image})
	if err != nil {
		return err
	}
	return a.err
}

// ask returns the answer, or ErrPending.
func (r *Resolver) ask(key types.NamespacedName, q question) (answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.results[q]
	if now := r.confirming[q.Image]; now != nil && q.kind == find {
		known = now
	}
	switch {
	case known != nil && known.pending:
		known.waiting[key] = struct{}{}
		return answer{}, ErrPending
	case known != nil && r.clock.Now().Before(known.expires):
		return known.answer, nil
	}
	r.expire()
	fresh := &result{pending: true, waiting: map[types.NamespacedName]struct{}{key: {}}}
	r.results[q] = fresh
	if q.kind == confirm {
		r.confirming[q.Image] = fresh
	}
	r.line.Join(q, q.Namespace)
	r.start()
	return answer{}, ErrPending
}

// start asks the questions of those whose turn it is.
func (r *Resolver) start() {
	for r.total < parallel {
		q, ok := r.line.Next(r.running, parallelPerNamespace)
		if !ok {
			return
		}
		r.total++
		r.running[q.Namespace]++
		go r.resolve(q, r.results[q])
	}
}

// Forget implements Checker.
func (r *Resolver) Forget(reference string) {
	r.drop(func(q question, known *result) bool { return q.Reference == reference && known.err != nil })
}

// Lost implements Checker.
func (r *Resolver) Lost(reference string) {
	r.drop(func(q question, _ *result) bool { return q.Reference == reference })
}

// expire drops answers that are no longer good, so that the map stays as small as what is
// asked.
func (r *Resolver) expire() {
	now := r.clock.Now()
	maps.DeleteFunc(r.results, func(_ question, known *result) bool { return !known.pending && now.After(known.expires) })
}

func (r *Resolver) drop(chosen func(question, *result) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.results, func(q question, known *result) bool { return !known.pending && chosen(q, known) })
}

func (r *Resolver) resolve(q question, to *result) {
	a, goodFor := r.answer(q)

	r.mu.Lock()
	to.answer, to.pending, to.expires = a, false, r.clock.Now().Add(goodFor)
	if q.kind == confirm {
		delete(r.confirming, q.Image)
		if a.outcome.Succeeded() {
			// Who looks for it next need not ask. An answer that is on its way is of before.
			r.found(q.Image, a.outcome.Digest)
		}
	}
	waiting := to.waiting
	to.waiting = nil
	r.total--
	if r.running[q.Namespace]--; r.running[q.Namespace] == 0 {
		delete(r.running, q.Namespace)
	}
	r.start()
	r.mu.Unlock()
	for key := range waiting {
		r.enqueue(key)
	}
}

// found notes that the registry has the image. Who waits for an older question is
// enqueued by its answer.
func (r *Resolver) found(image Image, digest string) {
	q := question{kind: find, Image: image}
	if known := r.results[q]; known == nil || !known.pending {
		r.results[q] = &result{answer: answer{digest: digest}, expires: r.clock.Now().Add(foundFor)}
	}
}

// answer asks the registry, and says how long its answer is good for.
func (r *Resolver) answer(q question) (answer, time.Duration) {
	within := timeout
	if q.kind == confirm {
		within = confirmTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var a answer
	switch q.kind {
	case confirm:
		if a.outcome = r.asker.Confirm(ctx, q.Image, q.digest); !a.outcome.Succeeded() {
			return a, unconfirmedFor
		}
	case exists:
		a.err = r.asker.Exists(ctx, q.Image)
	default:
		a.digest, a.err = r.asker.Find(ctx, q.Image)
	}
	if a.err != nil {
		return a, notFoundFor
	}
	return a, foundFor
}
