// Package outcome answers what became of asynchronous calls. It reads the stream of
// outcomes into memory, with bounds: each replica has all of them.
package outcome

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// defaultBytes bounds the outcomes in memory.
	defaultBytes = 64 << 20
	// overhead of an outcome besides its data, in bytes.
	overhead = 1 << 10
	prefetch = 200
)

// Index of the outcomes of the last calls.
type Index struct {
	clock    clock.PassiveClock
	maxBytes int

	mu     sync.Mutex
	byCall map[call][]*calls.Record
	// order in which they came, and their bytes.
	order []*calls.Record
	bytes int
}

// call is identified by its callee and its id. Calls of several sources may have one id.
type call struct {
	calls.Callee
	id string
}

// NewIndex returns an empty Index.
func NewIndex(c clock.PassiveClock) *Index {
	return &Index{clock: c, maxBytes: defaultBytes, byCall: map[call][]*calls.Record{}}
}

// Follow the stream. It is replayed after each loss of the connection.
func (i *Index) Follow(ctx context.Context, s queue.Subscriber) (queue.Consumption, error) {
	return s.Consume(ctx, queue.Consumer{
		Queue: calls.Outcomes, Scope: calls.Outcomes, Prefetch: prefetch, Replay: calls.MaxAge,
		Handler: func(_ context.Context, d queue.Delivery) {
			r, err := calls.Decode(d.Message())
			if err != nil {
				slog.Warn("Ignoring a message of the stream of outcomes", "error", err)
			} else {
				i.Add(r)
			}
			_ = d.Ack() // else it comes again
		},
	})
}

// Add an outcome, unless it is there.
func (i *Index) Add(r *calls.Record) {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := call{r.Callee, r.ID()}
	for _, known := range i.byCall[key] {
		if known.Outcome.ID() == r.Outcome.ID() && known.Outcome.Source() == r.Outcome.Source() {
			return
		}
	}
	i.byCall[key] = append(i.byCall[key], r)
	i.order = append(i.order, r)
	i.bytes += sizeOf(r)
	for len(i.order) > 0 && (i.bytes > i.maxBytes || i.expired(i.order[0])) {
		i.removeFirst()
	}
}

func sizeOf(r *calls.Record) int { return len(r.Outcome.Data()) + overhead }

func (i *Index) expired(r *calls.Record) bool {
	return i.clock.Since(r.Outcome.Time()) > calls.MaxAge
}

func (i *Index) removeFirst() {
	first := i.order[0]
	i.order[0] = nil // the array lives on
	i.order = i.order[1:]
	i.bytes -= sizeOf(first)
	key := call{first.Callee, first.ID()}
	if i.byCall[key] = i.byCall[key][1:]; len(i.byCall[key]) == 0 {
		delete(i.byCall, key)
	}
}

// Find the outcomes of a call.
func (i *Index) Find(c calls.Callee, id string) (found []*calls.Record) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range i.byCall[call{c, id}] {
		if !i.expired(r) {
			found = append(found, r)
		}
	}
	return found
}
