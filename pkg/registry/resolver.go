package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/async"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// How long an answer is good for. An image by content never changes, but may be
// deleted. A build that could not be confirmed is asked about again after less than the
// shortest delay between two attempts.
const (
	foundFor       = 10 * time.Minute
	notFoundFor    = 30 * time.Second
	unconfirmedFor = time.Second
)

// How long one question may take, and how many are.
const (
	timeout        = 10 * time.Second
	confirmTimeout = 30 * time.Second
	// parallel questions are asked at once, of them perNamespace of one namespace and
	// perHost to one registry.
	parallel, perNamespace, perHost = 16, 4, 12
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

// host of the registry.
func (q question) host() string {
	host, _, _ := strings.Cut(q.Reference, "/")
	return strings.ToLower(host)
}

type answer struct {
	digest  string
	outcome build.Outcome
	err     error
	failed  bool // the registry gave none
	goodFor time.Duration
}

// Resolver is a Checker. Questions are asked while Run runs.
type Resolver struct {
	asker  Asker
	poller *async.Poller[question, struct{}, answer]

	mu sync.Mutex
	// confirming are the digests of images that are being confirmed: Find waits for that.
	confirming map[Image]string
}

// NewResolver returns a Resolver that calls enqueue when an answer is there, and asks
// only for keys that this process leads.
func NewResolver(asker Asker, enqueue func(types.NamespacedName), leads func(types.NamespacedName) bool, c clock.WithTicker) *Resolver {
	r := &Resolver{asker: asker, confirming: map[Image]string{}}
	r.poller = async.New(async.Options[question, struct{}, answer]{
		Name: "registry", Clock: c, Parallel: parallel, PerNamespace: perNamespace, PerHost: perHost,
		Call:    func(ctx context.Context, q question, _ []struct{}) answer { return r.answer(ctx, q) },
		Host:    question.host,
		Failed:  func(a answer) bool { return a.failed },
		Changed: func(struct{}, *answer, answer) bool { return true }, // each key waits for the answer
		Next:    func(_ []struct{}, a answer, _ int) (async.Then, time.Duration) { return async.Expire, a.goodFor },
		Enqueue: enqueue, Leads: leads,
	})
	return r
}

// Run asks registries until the context ends.
func (r *Resolver) Run(ctx context.Context) { r.poller.Run(ctx) }

// Find implements Checker.
func (r *Resolver) Find(key types.NamespacedName, image Image) (string, error) {
	if r.awaitConfirm(key, image) {
		return "", ErrPending
	}
	a, ok := r.poller.Check(key, question{kind: find, Image: image}, struct{}{})
	if !ok {
		return "", ErrPending
	}
	return a.digest, a.err
}

// awaitConfirm reports whether the image is being confirmed, and then makes the key wait
// for that.
func (r *Resolver) awaitConfirm(key types.NamespacedName, image Image) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	digest, ok := r.confirming[image]
	if ok && !r.poller.Await(key, question{confirm, image, digest}, struct{}{}) {
		delete(r.confirming, image)
		ok = false
	}
	return ok
}

// Confirm implements Checker.
func (r *Resolver) Confirm(key types.NamespacedName, image Image, digest string) (build.Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.poller.Check(key, question{confirm, image, digest}, struct{}{})
	if !ok {
		r.confirming[image] = digest
		return build.Outcome{}, ErrPending
	}
	return a.outcome, nil
}

// Exists implements Checker.
func (r *Resolver) Exists(key types.NamespacedName, image Image) error {
	a, ok := r.poller.Check(key, question{kind: exists, Image: image}, struct{}{})
	if !ok {
		return ErrPending
	}
	return a.err
}

// Forget implements Checker.
func (r *Resolver) Forget(reference string) {
	r.poller.Invalidate(func(q question, a answer) bool { return q.Reference == reference && a.err != nil })
}

// Lost implements Checker.
func (r *Resolver) Lost(reference string) {
	r.poller.Invalidate(func(q question, _ answer) bool { return q.Reference == reference })
}

// answer asks the registry, and says how long its answer is good for.
func (r *Resolver) answer(ctx context.Context, q question) answer {
	if q.kind == confirm {
		return r.confirmed(ctx, q)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a := answer{goodFor: foundFor}
	if q.kind == exists {
		a.err = r.asker.Exists(ctx, q.Image)
	} else {
		a.digest, a.err = r.asker.Find(ctx, q.Image)
	}
	if a.err != nil {
		a.goodFor, a.failed = notFoundFor, !errors.Is(a.err, ErrNotFound)
	}
	return a
}

// confirmed makes sure of what a build reports. Afterwards Find need not ask for it; a
// Find that runs meanwhile may still answer with the state before.
func (r *Resolver) confirmed(ctx context.Context, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	a := answer{outcome: r.asker.Confirm(ctx, q.Image, q.digest), goodFor: foundFor}
	if a.outcome.Succeeded() {
		r.poller.Set(question{kind: find, Image: q.Image}, answer{digest: a.outcome.Digest, goodFor: foundFor}, foundFor)
	} else {
		a.failed, a.goodFor = true, unconfirmedFor
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.confirming[q.Image] == q.digest {
		delete(r.confirming, q.Image)
	}
	return a
}
