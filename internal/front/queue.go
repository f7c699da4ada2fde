package front

import (
	"container/list"
	"context"
	"slices"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// waiter is a call that no slot was free for.
type waiter struct {
	slot chan *slot // has room for one
}

// acquire returns a slot of the worker with the fewest open calls. It waits for one
// where none is free.
func (p *Pool) acquire(ctx context.Context, deadline time.Time) (*slot, error) {
	p.mu.Lock()
	if p.ctx.Err() != nil {
		p.mu.Unlock()
		return nil, errStopping()
	}
	if s := p.take(); s != nil {
		p.mu.Unlock()
		return s, nil
	}
	if p.waiters.Len() >= p.cfg.Queue {
		p.mu.Unlock()
		return nil, p.busy()
	}
	w := &waiter{slot: make(chan *slot, 1)}
	place := p.waiters.PushBack(w)
	p.mu.Unlock()

	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var err error
	select {
	case s := <-w.slot:
		return s, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = runtime.TimedOut(p.cfg.Timeout)
	case <-p.ctx.Done():
		err = errStopping()
	}
	p.leaveQueue(place)
	return nil, err
}

// leaveQueue gives back a slot that was handed over at the last moment.
func (p *Pool) leaveQueue(place *list.Element) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case s := <-place.Value.(*waiter).slot:
		p.open--
		p.free(s)
	default:
		p.waiters.Remove(place)
	}
}

// take returns a free slot, or nil. The caller holds the lock, as for all that follow.
func (p *Pool) take() *slot {
	if p.open >= p.cfg.Concurrency {
		return nil
	}
	var best *worker
	for _, w := range p.workers {
		if !w.refuses && !w.blocked && len(w.idle) > 0 && (best == nil || w.busy < best.busy) {
			best = w
		}
	}
	if best == nil {
		return nil
	}
	last := len(best.idle) - 1
	s := best.idle[last]
	best.idle = best.idle[:last]
	best.busy++
	p.open++
	return s
}

// free makes a slot available.
func (p *Pool) free(s *slot) {
	w := s.worker
	w.busy--
	w.idle = append(w.idle, s)
	w.settle()
	p.dispatch()
}

// dispatch hands free slots to calls that wait.
func (p *Pool) dispatch() {
	for p.waiters.Len() > 0 {
		s := p.take()
		if s == nil {
			return
		}
		p.waiters.Remove(p.waiters.Front()).(*waiter).slot <- s
	}
}

// join lets the worker take calls, until its process ends.
func (p *Pool) join(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = append(p.workers, w)
	if p.draining {
		w.drain()
	}
	p.dispatch()
	p.running.Go(func() {
		<-w.ended
		p.mu.Lock()
		defer p.mu.Unlock()
		p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
	})
}

// refuse ends that the worker takes calls.
func (p *Pool) refuse(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.refuses = true
	w.settle()
}

// answered ends a call as far as its client is concerned.
func (p *Pool) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	p.dispatch()
}

// lost ends a call by the end of its worker, which takes no others.
func (p *Pool) lost(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	w.refuses = true
	w.settle()
	p.dispatch()
}

// ended makes the slot of a call available, both of whose sides have ended.
func (p *Pool) ended(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.over = true
	if x.overdue {
		x.slot.worker.overdue--
	}
	p.free(x.slot)
}

// expired counts a call that is past its timeout and has not ended. It is what a
// worker is replaced for.
func (p *Pool) expired(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := x.slot.worker
	if x.over || x.overdue {
		return
	}
	x.overdue = true
	w.overdue++
	w.settle()
	switch {
	case len(w.slots) == 1:
		w.fail("a call took longer than its timeout", nil)
	case w.blocked:
		w.failBlocked()
	case 2*w.overdue >= len(w.slots):
		w.retire("half of its slots are taken by calls past their timeout")
	default:
		timer := time.AfterFunc(p.timing.overdue, func() { p.stuck(x) })
		context.AfterFunc(p.ctx, func() { timer.Stop() })
	}
}

// stuck replaces the worker of a call that has still not ended.
func (p *Pool) stuck(x *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !x.over {
		x.slot.worker.retire("a call has not ended after its timeout")
	}
}
