package runtime

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// maxCounted is how many failing deliveries are remembered: more than the dispatchers
// of a busy function have in their hands.
const maxCounted = 10_000

// tally counts the failed attempts of each delivery. It holds only what has failed and
// may be tried again.
type tally struct {
	held   atomic.Int64 // the length of order, for those that do not want to wait
	mu     sync.Mutex
	counts map[delivery]*list.Element
	order  list.List // of *count; the first has not failed for longest
}

// delivery of an event by a Trigger. Each is as long, whatever an event's id is.
type delivery [sha256.Size]byte

func deliveryOf(req *request, to events.Subscriber) delivery {
	return sha256.Sum256(fmt.Appendf(nil, "%q%q%q", to.Trigger, req.event.Source(), req.event.ID()))
}

type count struct {
	of    delivery
	n     int
	until time.Time // nobody tries again after that
}

// none tells whether nothing has failed.
func (t *tally) none() bool { return t.held.Load() == 0 }

// failed counts one more and returns how many that makes. It is forgotten when there
// was no other for the window, or sooner where too many are held.
func (t *tally) failed(of delivery, window time.Duration, now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.counts[of]; ok && e.Value.(*count).until.Before(now) {
		t.remove(e)
	}
	for e := t.order.Front(); e != nil && e.Value.(*count).until.Before(now); e = t.order.Front() {
		t.remove(e)
	}
	e, ok := t.counts[of]
	if !ok {
		if t.order.Len() >= maxCounted {
			t.remove(t.order.Front())
		}
		e = t.add(of)
	}
	t.order.MoveToBack(e)
	c := e.Value.(*count)
	c.n++
	c.until = now.Add(window)
	return c.n
}

// forget a delivery that is not tried again.
func (t *tally) forget(of delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.counts[of]; ok {
		t.remove(e)
	}
}

func (t *tally) add(of delivery) *list.Element {
	if t.counts == nil {
		t.counts = map[delivery]*list.Element{}
	}
	e := t.order.PushBack(&count{of: of})
	t.counts[of] = e
	t.held.Add(1)
	return e
}

func (t *tally) remove(e *list.Element) {
	delete(t.counts, e.Value.(*count).of)
	t.order.Remove(e)
	t.held.Add(-1)
}
