// Package outcome answers what became of asynchronous calls. It reads the stream of
// outcomes into memory, with bounds: each replica has all of them.
package outcome

import (
	"context"
	"log/slog"
	"sync"
	"time"

	cetypes "github.com/cloudevents/sdk-go/v2/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// defaultBytes bounds the outcomes in memory.
	defaultBytes = 64 << 20
	// overhead of an outcome besides its text and data, in bytes: structs, maps and pointers.
	overhead = 1 << 10
	// extensionOverhead of each extension besides its text, in bytes.
	extensionOverhead = 1 << 7
	prefetch          = 200
)

// Index of the outcomes of the last calls.
type Index struct {
	clock    clock.PassiveClock
	maxBytes int

	mu          sync.Mutex
	byCall      map[call][]*entry
	byNamespace map[string]*fifo
	bytes       int
}

// entry is an outcome in the index.
type entry struct {
	*calls.Record
	// at is when it arrived. The time of the event does not count: the function chooses it.
	at    time.Time
	bytes int
}

// fifo holds the outcomes of a namespace in the order in which they came.
type fifo struct {
	entries []*entry
	bytes   int
}

// call is identified by its callee and its id. Calls of several sources may have one id.
type call struct {
	calls.Callee
	id string
}

// NewIndex returns an empty Index.
func NewIndex(c clock.PassiveClock) *Index {
	return &Index{clock: c, maxBytes: defaultBytes, byCall: map[call][]*entry{}, byNamespace: map[string]*fifo{}}
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
				i.Add(r, d.Sent())
			}
			_ = d.Ack() // else it comes again
		},
	})
}

// Add an outcome, unless it is there. A time of arrival that is missing or in the future
// is now.
func (i *Index) Add(r *calls.Record, arrived time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := i.clock.Now(); arrived.IsZero() || arrived.After(now) {
		arrived = now
	}
	e := &entry{Record: r, at: arrived, bytes: sizeOf(r)}
	key := call{r.Callee, r.ID()}
	if i.expired(e) || i.has(key, r) {
		return
	}
	i.byCall[key] = append(i.byCall[key], e)
	of := i.byNamespace[r.Callee.Namespace]
	if of == nil {
		of = &fifo{}
		i.byNamespace[r.Callee.Namespace] = of
	}
	of.entries = append(of.entries, e)
	of.bytes += e.bytes
	i.bytes += e.bytes
	i.trim()
}

func (i *Index) has(key call, r *calls.Record) bool {
	for _, known := range i.byCall[key] {
		if known.Outcome.ID() == r.Outcome.ID() && known.Outcome.Source() == r.Outcome.Source() {
			return true
		}
	}
	return false
}

// trim removes what is too old, and then the oldest of the namespace that holds the most
// until the others fit.
func (i *Index) trim() {
	for namespace, of := range i.byNamespace {
		for len(of.entries) > 0 && i.expired(of.entries[0]) {
			i.removeFirst(namespace)
		}
	}
	for i.bytes > i.maxBytes {
		largest, most := "", 0
		for namespace, of := range i.byNamespace {
			if of.bytes > most {
				largest, most = namespace, of.bytes
			}
		}
		i.removeFirst(largest)
	}
}

// sizeOf what a record holds in memory, in bytes, with a quarter of its text and data for
// what the allocator rounds up.
func sizeOf(r *calls.Record) int {
	const parsed = 2 // a URL may hold its text twice
	o := r.Outcome
	size := len(r.Callee.String()) + len(r.Source) + cap(o.DataEncoded) +
		len(o.ID()) + len(o.Type()) + len(o.Subject()) + len(o.DataContentType()) + parsed*(len(o.Source())+len(o.DataSchema()))
	extensions := o.Extensions()
	for name, value := range extensions {
		size += len(name)
		if text, ok := value.(string); ok {
			size += len(text)
		} else if text, err := cetypes.Format(value); err == nil {
			size += parsed*len(text) + extensionOverhead // as large as a URL
		}
	}
	return size + size/4 + overhead + len(extensions)*extensionOverhead
}

func (i *Index) expired(e *entry) bool { return i.clock.Since(e.at) > calls.MaxAge }

// removeFirst outcome of a namespace, which is also the first of its call.
func (i *Index) removeFirst(namespace string) {
	of := i.byNamespace[namespace]
	first := of.entries[0]
	of.entries[0] = nil // the array lives on
	of.entries = of.entries[1:]
	of.bytes -= first.bytes
	i.bytes -= first.bytes
	if len(of.entries) == 0 {
		delete(i.byNamespace, namespace)
	}
	key := call{first.Callee, first.ID()}
	i.byCall[key][0] = nil
	if i.byCall[key] = i.byCall[key][1:]; len(i.byCall[key]) == 0 {
		delete(i.byCall, key)
	}
}

// Find the outcomes of a call.
func (i *Index) Find(c calls.Callee, id string) (found []*calls.Record) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, e := range i.byCall[call{c, id}] {
		if !i.expired(e) {
			found = append(found, e.Record)
		}
	}
	return found
}
