package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

var (
	readers = sync.Pool{New: func() any { return protocol.NewReader(nil) }}
	heads   = sync.Pool{New: func() any { return new([]byte) }}
	past    = time.Unix(1, 0)
	// errUnsent says that the worker ended before it was sent the whole call.
	errUnsent = errors.New("the worker ended before the call")
)

// exchange is one call on a slot. It has two sides: the call with its body, and the
// answer. The slot is free when both have ended, whether or not a client still waits.
type exchange struct {
	pool     *Pool
	slot     *slot
	id       uint64
	deadline time.Time
	ctx      context.Context
	frames   *protocol.Reader
	unwatch  func() bool
	sides    atomic.Int32 // that have not ended
	unsent   []byte       // what the deadline kept from being written
	begun    bool         // a result that is streamed has been read
	done     bool         // Read and Close have nothing more to do
	trailers []protocol.Pair

	// The pool's lock guards these.
	overdue bool
	over    bool
}

// Invoke implements runtime.Invoker.
func (p *Pool) Invoke(ctx context.Context, in *runtime.Invocation) (*runtime.Result, error) {
	if in.Arrived.IsZero() {
		in.Arrived = time.Now()
	}
	deadline := in.Arrived.Add(p.cfg.Timeout)
	for {
		s, err := p.acquire(ctx, deadline)
		if err != nil {
			return nil, err
		}
		x := &exchange{pool: p, slot: s, deadline: deadline, ctx: ctx}
		result, err := x.call(in)
		if !errors.Is(err, errUnsent) {
			return result, err
		}
	}
}

// call sends the invocation and reads the answer, or its beginning.
func (x *exchange) call(in *runtime.Invocation) (*runtime.Result, error) {
	s := x.slot
	switch {
	case s.worker.http != nil:
		return x.proxy(in)
	case s.worker.api != nil:
		return x.program(in)
	}
	s.id++
	x.id = s.id
	head := heads.Get().(*[]byte)
	defer heads.Put(head)
	h, err := x.pool.describe(in, x.id, time.Until(x.deadline))
	if err != nil {
		x.give()
		return nil, err
	}
	if *head, err = protocol.AppendHead((*head)[:0], h, len(in.Body)); err != nil {
		x.give()
		if errors.Is(err, protocol.ErrHeaderTooLong) {
			err = fmt.Errorf("%w: %w", runtime.ErrRequestTooLong, err)
		}
		return nil, err
	}
	x.watch()
	if err := x.send(in, *head); err != nil {
		return nil, x.broken(err)
	}
	return x.reply()
}

// give returns a slot on which nothing was sent.
func (x *exchange) give() {
	x.pool.answered()
	x.pool.ended(x)
}

// watch lets the deadline, and the end of the client's connection, interrupt the call.
func (x *exchange) watch() {
	s := x.slot
	if s.frames != nil {
		x.frames, s.frames = s.frames, nil
	} else {
		x.frames = readers.Get().(*protocol.Reader)
		x.frames.Reset(s.conn)
	}
	_ = s.conn.SetDeadline(x.deadline) // fails only where the connection is closed
	s.mu.Lock()
	s.current = x
	s.mu.Unlock()
	x.unwatch = context.AfterFunc(x.ctx, x.interrupt)
	if !s.opened {
		s.opened = true
		s.worker.send(protocol.Control{Kind: protocol.Open, Slot: s.number})
	}
}

// interrupt ends what waits for the connection.
func (x *exchange) interrupt() {
	x.slot.mu.Lock()
	defer x.slot.mu.Unlock()
	if x.slot.current == x {
		_ = x.slot.conn.SetDeadline(past) // as in watch
	}
}

// send writes the call, and lets a streamed body follow.
func (x *exchange) send(in *runtime.Invocation, head []byte) error {
	x.sides.Store(1)
	frame := net.Buffers{head, in.Body} // one system call, no copy
	_, err := frame.WriteTo(x.slot.conn)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.unsent = slices.Concat(frame...)
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	if in.Stream != nil {
		x.sides.Add(1)
		x.pool.running.Go(func() { x.sendBody(in.Stream) })
	}
	return nil
}

// next reads the header of the next frame of this call; it is nil for a chunk, of size
// bytes. Frames of calls before it, which came to an end by an error of their own, are
// dropped.
func (x *exchange) next() (a *protocol.Answer, size int, err error) {
	for {
		header, size, err := x.frames.Next()
		if err != nil || len(header) == 0 {
			return nil, size, err
		}
		a = &protocol.Answer{}
		if err := json.Unmarshal(header, a); err != nil {
			return nil, 0, x.violation("a header is not the expected JSON: " + err.Error())
		}
		if a.ID == x.id {
			return a, size, nil
		}
		if a.ID > x.id {
			return nil, 0, x.violation(fmt.Sprintf("it answered call %d when it had been sent %d", a.ID, x.id))
		}
	}
}

// violation ends a worker that breaks the protocol.
func (x *exchange) violation(what string) error {
	x.slot.worker.fail("it broke the protocol: "+protocol.Cut(what, protocol.MaxMessage), nil)
	return errors.New(what)
}

// reply reads the answer, or the beginning of one that is streamed.
func (x *exchange) reply() (*runtime.Result, error) {
	for {
		a, size, err := x.next()
		switch {
		case errors.Is(err, protocol.ErrHeaderTooLong):
			return nil, x.tooLong(err)
		case err != nil:
			return nil, x.broken(err)
		case a == nil:
			continue // what is left of the call before
		case a.Kind == protocol.Error:
			x.finish()
			return nil, raised(a)
		case a.Kind != protocol.Result:
			return nil, x.broken(x.violation(fmt.Sprintf("it answered with %q, expected %q or %q", a.Kind, protocol.Result, protocol.Error)))
		}
		result := resultOf(a)
		if a.More {
			x.begun, result.Stream, result.Deadline = true, x, x.deadline
			return result, nil
		}
		result.Body, err = x.frames.Body(x.pool.cfg.MaxBody)
		switch {
		case errors.Is(err, protocol.ErrBodyTooLong):
			x.finish()
			return nil, runtime.ReplyTooLong(size, x.pool.cfg.MaxBody)
		case err != nil:
			return nil, x.broken(err)
		}
		x.finish()
		return result, nil
	}
}

// tooLong ends a call whose answer exceeds a limit.
func (x *exchange) tooLong(err error) error {
	x.finish()
	return fmt.Errorf("%w: %w", runtime.ErrReplyTooLong, err)
}

// broken ends a call whose connection failed: by its deadline or its client, for which
// the slot awaits the answer, or by the end of the worker.
func (x *exchange) broken(err error) error {
	x.done = true
	x.unwatch()
	x.leave()
	w := x.slot.worker
	switch {
	case errors.Is(err, errUnsent):
		x.pool.lost(w)
		x.pool.running.Go(func() { w.death() })
		return err
	case !errors.Is(err, os.ErrDeadlineExceeded):
		x.pool.lost(w)
		if x.pool.ctx.Err() != nil {
			return fmt.Errorf("%w: the runtime is shutting down", runtime.ErrWorkerDied)
		}
		return w.died()
	}
	return x.abandon()
}

// leave ends that the client's connection interrupts the call.
func (x *exchange) leave() {
	x.slot.mu.Lock()
	x.slot.current = nil
	x.slot.mu.Unlock()
}

// finish ends the answer's side.
func (x *exchange) finish() {
	x.done = true
	x.unwatch()
	x.leave()
	x.pool.answered()
	x.keepReader()
	x.sideEnded()
}

// keepReader leaves the reader to the slot while there may be more to read.
func (x *exchange) keepReader() {
	if x.frames.Idle() {
		x.frames.Reset(nil)
		readers.Put(x.frames)
	} else {
		x.slot.frames = x.frames
	}
	x.frames = nil
}

func (x *exchange) sideEnded() {
	if x.sides.Add(-1) == 0 {
		x.pool.ended(x)
	}
}
