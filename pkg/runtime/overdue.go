package runtime

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// abandonedAfter is how long a call may run on after its timeout, as one that watches
	// its context does for a moment.
	abandonedAfter = 10 * time.Second
	// hangUpGrace is how long a client may take to read a reply whose connection is closed.
	hangUpGrace = 500 * time.Millisecond
)

// errExhausted ends a container whose calls do not end. Its memory is theirs.
var errExhausted = errors.New("as many calls as spec.scaling.concurrency allows went on after their timeout: the handler has to return when its context ends")

// Limits of a handler that runs in the goroutines of its requests.
type Limits struct {
	Timeout time.Duration // of one call, from its arrival on
	// Concurrency is how many calls there may be at once. As many that go on after their
	// timeout end the container: a goroutine cannot be ended.
	Concurrency int
}

// deadlines answer exchanges whose handlers take too long. All may take as long, so
// that what came first is due first: one timer serves them all, and one that ends
// in time costs a lock.
type deadlines struct {
	Limits
	patience time.Duration // abandonedAfter

	mu        sync.Mutex
	first     *exchange // in the order in which they are due
	last      *exchange
	timer     *time.Timer // nil: none runs
	abandoned int         // calls that run on
	exhausted chan struct{}
}

func newDeadlines(l Limits) *deadlines {
	return &deadlines{Limits: l, patience: abandonedAfter, exhausted: make(chan struct{})}
}

// add begins an exchange's time.
func (d *deadlines) add(x *exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x.due = x.start.Add(d.Timeout)
	before := d.last
	for before != nil && before.due.After(x.due) { // whose bodies took less time to read
		before = before.previous
	}
	d.link(x, before)
	if d.first == x || d.timer == nil {
		d.schedule()
	}
}

// link puts an exchange behind another, or to the beginning.
func (d *deadlines) link(x, before *exchange) {
	x.previous = before
	if before == nil {
		x.next, d.first = d.first, x
	} else {
		x.next, before.next = before.next, x
	}
	if x.next == nil {
		d.last = x
	} else {
		x.next.previous = x
	}
}

// schedule expire for the first that is due.
func (d *deadlines) schedule() {
	wait := time.Until(d.first.due)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.expire)
	} else {
		d.timer.Reset(wait)
	}
}

// remove ends it. Where it was over already, it returns what is closed as soon as
// the exchange has been answered.
func (d *deadlines) remove(x *exchange) (late <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.late == nil {
		d.unlink(x)
	} else {
		close(x.returned)
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
		x.late, x.returned = make(chan struct{}), make(chan struct{})
		go x.answerLate(d.Timeout)
		d.watch(x.returned)
	}
	if d.timer = nil; d.first != nil {
		d.schedule()
	}
}

// watch counts a call, whose answer is no longer awaited, among those that go on.
func (d *deadlines) watch(returned <-chan struct{}) {
	select {
	case <-returned: // as most
		return
	default:
	}
	go func() {
		select {
		case <-returned:
			return
		case <-time.After(d.patience):
		}
		d.count(1)
		<-returned
		d.count(-1)
	}()
}

func (d *deadlines) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.abandoned += n
	if n > 0 {
		slog.Warn("a call goes on although its answer is no longer awaited: return from the handler when the context ends", "calls", d.abandoned)
	}
	if d.abandoned >= d.Concurrency {
		select {
		case <-d.exhausted:
		default:
			close(d.exhausted)
		}
	}
}

// answerLate answers in the stead of the handler: what that returns is dropped.
func (x *exchange) answerLate(limit time.Duration) {
	defer close(x.late)
	if x.reply != nil {
		x.reply.expire(limit)
		return
	}
	x.w.Header().Set("Connection", "close") // it is busy until the handler returns
	x.answer(nil, TimedOut(limit))
	hangUp(x.w, hangUpGrace)
}

// hangUp takes the connection from a handler that has not returned, so that the server
// need not wait for it, and closes it.
func hangUp(w http.ResponseWriter, grace time.Duration) {
	control := http.NewResponseController(w)
	_ = control.Flush() // who hung up is not answered
	if conn, _, err := control.Hijack(); err == nil {
		time.AfterFunc(grace, func() { _ = conn.Close() })
	}
}
