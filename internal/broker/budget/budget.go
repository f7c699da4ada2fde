// Package budget bounds what a replica of the event plane has in hand, so that its
// memory is bounded and one namespace cannot take all of it. The ingress and the
// dispatcher have a budget each, of the same kind.
package budget

import (
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
)

// Defaults of a replica.
const (
	Requests = 2_000
	Bytes    = 64 << 20
)

// Budget of requests, and of bytes of bodies. A namespace gets at most half of what the
// others leave free of each.
type Budget struct {
	requests, bytes *httpserver.Budget
}

// New returns a Budget of that many requests and bytes.
func New(requests, bytes int64) *Budget {
	return &Budget{requests: httpserver.NewSharedBudget(requests), bytes: httpserver.NewSharedBudget(bytes)}
}

// Acquire a request of a namespace. Call release, which may be called more than once,
// when it ends; it is nil where the namespace has its share in hand.
func (b *Budget) Acquire(namespace string) (release func()) {
	return acquire(b.requests, namespace, 1)
}

// Hold n bytes for a namespace, for an event that is in memory already. Call release when
// it is no longer; it is nil where the namespace has its share in hand.
func (b *Budget) Hold(namespace string, n int64) (release func()) {
	return acquire(b.bytes, namespace, n)
}

func acquire(of *httpserver.Budget, namespace string, n int64) func() {
	if !of.Reserve(namespace, n) {
		return nil
	}
	return sync.OnceFunc(func() { of.Release(namespace, n) })
}

// Bodies is the budget of bytes, with namespaces as keys, for reading requests.
func (b *Budget) Bodies() *httpserver.Budget { return b.bytes }

// InHand returns how many requests and bytes are in hand.
func (b *Budget) InHand() (requests, bytes int64) { return b.requests.Used(), b.bytes.Used() }

// Largest returns the namespace that holds most bytes; it is empty if there is none.
func (b *Budget) Largest() (namespace string, bytes int64) { return b.bytes.Largest() }
