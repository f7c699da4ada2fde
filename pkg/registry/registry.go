// Package registry tells which images a registry has, in the background: a
// reconcile never waits for one.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// Checker tells whether registries have images.
type Checker interface {
	// Check tells whether the registry has the reference, and its digest
	// (sha256:…). The first time it only starts to find out and returns
	// ErrPending; the key is enqueued when the answer is there. A reference
	// that the registry does not have, or that could not be looked up, is
	// ErrNotFound or wraps ErrUnavailable.
	Check(key types.NamespacedName, reference string, insecure bool) (digest string, err error)
	// Remember that the registry has the reference by now: who asks next need not
	// wait.
	Remember(reference, digest string)
	// Forget that the registry did not have the reference: it may by now.
	Forget(reference string)
	// Lost says that the registry does not have the reference any more.
	Lost(reference string)
}

// Errors of Check.
var (
	ErrPending     = errors.New("the registry is being asked")
	ErrNotFound    = errors.New("the registry does not have the image")
	ErrUnavailable = errors.New("the registry could not be asked")
)

// How long an answer is good for. An image by content never changes, but may be
// deleted.
const (
	foundFor    = 10 * time.Minute
	notFoundFor = 30 * time.Second
	timeout     = 10 * time.Second
	parallel    = 16
)

// Resolver is a Checker over HTTP.
type Resolver struct {
	enqueue func(types.NamespacedName)
	clock   clock.PassiveClock
	slots   chan struct{}
	reach   http.RoundTripper

	mu      sync.Mutex
	results map[string]*result
}

type result struct {
	pending bool
	digest  string
	err     error
	expires time.Time
	waiting map[types.NamespacedName]struct{}
}

// NewResolver returns a Resolver that calls enqueue when an answer is there, and reaches
// registries with dial.
func NewResolver(enqueue func(types.NamespacedName), clock clock.PassiveClock, dial egress.Dial) *Resolver {
	return &Resolver{enqueue: enqueue, clock: clock, slots: make(chan struct{}, parallel), reach: egress.Transport(dial), results: map[string]*result{}}
}

// Check implements Checker.
func (r *Resolver) Check(key types.NamespacedName, reference string, insecure bool) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.results[reference]
	switch {
	case known != nil && known.pending:
		known.waiting[key] = struct{}{}
		return "", ErrPending
	case known != nil && r.clock.Now().Before(known.expires):
		return known.digest, known.err
	}
	r.expire()
	fresh := &result{pending: true, waiting: map[types.NamespacedName]struct{}{key: {}}}
	r.results[reference] = fresh
	go r.resolve(reference, insecure, fresh)
	return "", ErrPending
}

// Remember implements Checker. An answer that is on its way is of before.
func (r *Resolver) Remember(reference, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[reference] = &result{digest: digest, expires: r.clock.Now().Add(foundFor)}
}

// Forget implements Checker.
func (r *Resolver) Forget(reference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.results[reference]; known != nil && !known.pending && known.err != nil {
		delete(r.results, reference)
	}
}

// Lost implements Checker.
func (r *Resolver) Lost(reference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.results[reference]; known != nil && !known.pending {
		delete(r.results, reference)
	}
}

// expire drops answers that are no longer good, so that the map stays as small
// as what is asked.
func (r *Resolver) expire() {
	now := r.clock.Now()
	for reference, known := range r.results {
		if !known.pending && now.After(known.expires) {
			delete(r.results, reference)
		}
	}
}

func (r *Resolver) resolve(reference string, insecure bool, to *result) {
	r.slots <- struct{}{}
	defer func() { <-r.slots }()
	digest, err := r.head(reference, insecure)

	r.mu.Lock()
	to.pending, to.digest, to.err = false, digest, err
	to.expires = r.clock.Now().Add(foundFor)
	if err != nil {
		to.expires = r.clock.Now().Add(notFoundFor)
	}
	waiting := to.waiting
	to.waiting = nil
	r.mu.Unlock()
	for key := range waiting {
		r.enqueue(key)
	}
}

func (r *Resolver) head(reference string, insecure bool) (string, error) {
	var options []name.Option
	if insecure {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(reference, options...)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	descriptor, err := remote.Head(ref, remote.WithContext(ctx), remote.WithTransport(r.reach), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	var answered *transport.Error
	switch {
	case errors.As(err, &answered) && answered.StatusCode == http.StatusNotFound:
		return "", ErrNotFound
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return descriptor.Digest.String(), nil
}
