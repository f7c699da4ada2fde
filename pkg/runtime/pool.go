package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstDelay is the least time between attempts to replace a worker that
	// does not stay; it doubles up to lastDelay.
	firstDelay = 100 * time.Millisecond
	lastDelay  = 10 * time.Second
	// steady is how long a worker has to stay for its end to count as the first.
	steady = 10 * time.Second
)

// Pool is an Invoker over worker processes.
type Pool struct {
	cfg       *PoolConfig
	telemetry *Telemetry
	stdout    io.Writer
	stderr    io.Writer

	idle    chan *worker // unbuffered: who receives from it has the worker
	live    atomic.Int32
	waiting atomic.Int64
	ids     atomic.Uint64

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	places sync.WaitGroup
	failed chan error
}

// NewPool starts workers in the background: one, and when it has loaded the
// handler the others, which so do not delay the first answer.
func NewPool(cfg *PoolConfig, telemetry *Telemetry, stdout, stderr io.Writer) *Pool {
	p := &Pool{cfg: cfg, telemetry: telemetry, stdout: stdout, stderr: stderr, idle: make(chan *worker), failed: make(chan error, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.places.Add(1)
	go p.first()
	return p
}

// Ready implements Invoker.
func (p *Pool) Ready() bool { return p.live.Load() > 0 }

// Failed yields why the handler cannot be loaded; it is a *LoadError if the
// function's author can mend it.
func (p *Pool) Failed() <-chan error { return p.failed }

// Close ends the workers. Invocations that are in flight fail.
func (p *Pool) Close() {
	p.cancel()
	p.places.Wait()
}

func (p *Pool) first() {
	defer p.places.Done()
	w, err := p.start()
	if err != nil {
		p.failed <- err
		return
	}
	for range p.cfg.Workers - 1 {
		p.places.Go(func() { p.keep(nil) })
	}
	p.keep(w)
}

// keep holds one place of the pool filled, at first with w.
func (p *Pool) keep(w *worker) {
	for attempt := 0; ; attempt++ {
		if w == nil {
			w = p.replacement(attempt)
		}
		if w == nil {
			return // closed
		}
		since := time.Now()
		p.attend(w)
		w = nil
		if p.ctx.Err() != nil {
			return
		}
		p.telemetry.WorkerRestarted()
		if time.Since(since) > steady {
			attempt = -1
		}
	}
}

// replacement starts a worker, again and again with growing delays; it is nil
// when the pool was closed.
func (p *Pool) replacement(attempt int) *worker {
	for ; ; attempt++ {
		if attempt > 0 {
			delay := min(lastDelay, firstDelay<<min(attempt-1, 10))
			select {
			case <-p.ctx.Done():
				return nil
			case <-time.After(delay):
			}
		}
		w, err := p.start()
		if p.ctx.Err() != nil {
			if w != nil {
				w.stop()
			}
			return nil
		}
		if err == nil {
			return w
		}
		slog.Error("a worker could not be started", "error", err)
	}
}

func (p *Pool) start() (*worker, error) {
	began := time.Now()
	w, err := startWorker(p.ctx, p.cfg, p.stdout, p.stderr)
	if err == nil {
		p.telemetry.HandlerLoaded(time.Since(began))
	}
	return w, err
}

// attend hands the worker to one invocation after another until it or the pool
// ends.
func (p *Pool) attend(w *worker) {
	p.live.Add(1)
	defer p.live.Add(-1)
	for {
		select {
		case p.idle <- w:
		case <-w.gone:
			return
		case <-p.ctx.Done():
			w.stop()
			return
		}
		select {
		case <-w.free:
		case <-w.gone:
			return
		case <-p.ctx.Done():
			w.stop()
			return
		}
	}
}

// heads are buffers for what a frame has before its body.
var heads = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Invoke implements Invoker.
func (p *Pool) Invoke(ctx context.Context, in *Invocation) (*Result, error) {
	h := header{Kind: kindInvoke, ID: p.ids.Add(1), TimeoutMillis: p.cfg.Timeout.Milliseconds(), Event: in.Event, ContentType: in.ContentType,
		Method: in.Method, Path: in.Path, Headers: in.Headers(), Traceparent: in.Traceparent}
	head := heads.Get().(*bytes.Buffer)
	defer heads.Put(head)
	head.Reset()
	if err := appendHead(head, &h, len(in.Body)); err != nil {
		return nil, err
	}
	w, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	reply, body, err := w.link.invoke(w, &call{Invocation: in, id: h.ID, head: head.Bytes(), deadline: time.Now().Add(p.cfg.Timeout), maxBody: p.cfg.MaxBody})
	if reply != nil && reply.Last {
		go w.stop() // it ends by itself; this is for one that does not
	} else if err == nil || errors.Is(err, ErrReplyTooLong) {
		w.free <- struct{}{}
	}
	switch {
	case errors.Is(err, ErrReplyTooLong):
		return nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.kill()
		return nil, TimedOut(p.cfg.Timeout)
	case err != nil && p.ctx.Err() != nil:
		return nil, fmt.Errorf("%w: the runtime is shutting down", ErrWorkerDied)
	case err != nil:
		death := w.death()
		slog.Error("a worker died", "error", err, "cause", death)
		return nil, fmt.Errorf("%w: %s", ErrWorkerDied, death)
	case reply.Kind == kindError:
		return nil, &HandlerError{Type: reply.Type, Message: reply.Message, Stack: reply.Stack, Permanent: reply.Permanent, BadInput: reply.BadInput}
	}
	return &Result{Event: reply.Event, ContentType: reply.ContentType, Body: body}, nil
}

// take waits for a worker that is free.
func (p *Pool) take(ctx context.Context) (*worker, error) {
	select {
	case w := <-p.idle:
		return w, nil
	default:
	}
	if p.waiting.Add(1) > int64(p.cfg.Queue) {
		p.waiting.Add(-1)
		return nil, fmt.Errorf("%w: %d", ErrBusy, p.cfg.Queue)
	}
	defer p.waiting.Add(-1)
	select {
	case w := <-p.idle:
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.ctx.Done():
		return nil, fmt.Errorf("%w: the runtime is shutting down", ErrBusy)
	}
}
