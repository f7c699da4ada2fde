package runtime

import (
	"net/http"
	"sync"
	"time"
)

// deadlines answer exchanges whose handlers take too long. All may take as long, so
// that what came first is due first: one timer serves them all, and one that ends
// in time costs a lock.
type deadlines struct {
	limit time.Duration
	mu    sync.Mutex
	first *exchange // in the order in which they are due
	last  *exchange
	timer *time.Timer // nil: none runs
}

// add begins an exchange's time.
func (d *deadlines) add(x *exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x.due = time.Now().Add(d.limit)
	if x.previous = d.last; d.last == nil {
		d.first = x
	} else {
		d.last.next = x
	}
	d.last = x
	if d.timer == nil {
		d.timer = time.AfterFunc(d.limit, d.expire)
	}
}

// remove ends it. Where it was over already, it returns what is closed as soon as
// the exchange has been answered.
func (d *deadlines) remove(x *exchange) (late <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.late == nil {
		d.unlink(x)
	}
	return x.late
}

func (d *deadlines) unlink(x *exchange) {
	if x.previous == nil {
		d.first = x.next
	} else {
		x.previous.next = x.next
	}
	if x.next == nil {
		d.last = x.previous
	} else {
		x.next.previous = x.previous
	}
	x.previous, x.next = nil, nil
}

// expire answers what is due, and sleeps until the next is.
func (d *deadlines) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for x := d.first; x != nil && !x.due.After(now); x = d.first {
		d.unlink(x)
		x.late = make(chan struct{})
		go x.answerLate(d.limit)
	}
	if d.timer = nil; d.first != nil {
		d.timer = time.AfterFunc(d.first.due.Sub(now), d.expire)
	}
}

// answerLate answers in the stead of the handler: what that returns is dropped.
func (x *exchange) answerLate(limit time.Duration) {
	defer close(x.late)
	x.w.Header().Set("Connection", "close") // it is busy until the handler returns
	x.answer(nil, TimedOut(limit))
	_ = http.NewResponseController(x.w).Flush() // who hung up is not answered
}
