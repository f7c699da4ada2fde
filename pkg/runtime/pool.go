package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Invoker calls a handler. A function of a compiled language may be one itself.
type Invoker interface {
	// Invoke calls the handler and returns its frame: KindResult or KindError.
	// The error is ErrTimeout, ErrBusy or ErrWorkerDied, or ctx's.
	Invoke(ctx context.Context, h *Header, body []byte) (*Header, []byte, error)
	// Ready tells whether the handler is loaded.
	Ready() bool
}

// Errors of Invoke.
var (
	ErrTimeout    = errors.New("the handler took too long")
	ErrBusy       = errors.New("too many requests wait for a worker")
	ErrWorkerDied = errors.New("the worker process died while it handled the request")
)

// restartDelays between attempts to replace a worker that does not start.
var restartDelays = []time.Duration{0, 100 * time.Millisecond, time.Second, 5 * time.Second}

// Pool is an Invoker over worker processes.
type Pool struct {
	cfg     *Config
	metrics *Metrics
	idle    chan *worker
	stdout  io.Writer
	stderr  io.Writer

	waiting atomic.Int64
	ready   atomic.Bool
	id      atomic.Uint64
	closed  chan struct{}
	failed  chan error
}

// NewPool starts the workers in the background. Failed tells when the handler
// cannot be loaded.
func NewPool(cfg *Config, metrics *Metrics, stdout, stderr io.Writer) *Pool {
	p := &Pool{cfg: cfg, metrics: metrics, idle: make(chan *worker, cfg.Workers), stdout: stdout, stderr: stderr,
		closed: make(chan struct{}), failed: make(chan error, cfg.Workers)}
	for range cfg.Workers {
		go p.start(true)
	}
	return p
}

// Ready implements Invoker.
func (p *Pool) Ready() bool { return p.ready.Load() }

// Failed yields the reason why the handler cannot be loaded.
func (p *Pool) Failed() <-chan error { return p.failed }

// start brings up a worker, at first once and as a replacement until it works.
func (p *Pool) start(first bool) {
	for attempt := 0; ; attempt++ {
		select {
		case <-p.closed:
			return
		case <-time.After(restartDelays[min(attempt, len(restartDelays)-1)]):
		}
		w, err := startWorker(p.cfg, p.stdout, p.stderr)
		if err == nil {
			p.ready.Store(true)
			select {
			case <-p.closed:
				w.stop()
			case p.idle <- w:
			}
			return
		}
		if first {
			p.failed <- err
			return
		}
		slog.Error("a worker could not be replaced", "error", err)
	}
}

// Invoke implements Invoker.
func (p *Pool) Invoke(ctx context.Context, h *Header, body []byte) (*Header, []byte, error) {
	w, err := p.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	deadline := time.Now().Add(p.cfg.Timeout)
	h.Kind, h.ID, h.Deadline = KindInvoke, p.id.Add(1), deadline.UnixMilli()
	reply, data, err := w.invoke(h, body, deadline, p.cfg.MaxBody)
	if err == nil {
		p.idle <- w
		return reply, data, nil
	}
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	w.stop()
	p.metrics.restarted()
	go p.start(false)
	if timeout {
		return nil, nil, fmt.Errorf("%w: longer than %v", ErrTimeout, p.cfg.Timeout)
	}
	slog.Error("a worker died", "error", err, "exit", fmt.Sprint(w.exit))
	return nil, nil, fmt.Errorf("%w: %v", ErrWorkerDied, exitText(w.exit))
}

func exitText(err error) string {
	if err == nil {
		return "it exited by itself"
	}
	return err.Error()
}

// take waits for a worker that is free.
func (p *Pool) take(ctx context.Context) (*worker, error) {
	for {
		w, err := p.next(ctx)
		if err != nil {
			return nil, err
		}
		select {
		case <-w.gone: // it died in idleness
			w.stop()
			p.metrics.restarted()
			go p.start(false)
		default:
			return w, nil
		}
	}
}

func (p *Pool) next(ctx context.Context) (*worker, error) {
	select {
	case w := <-p.idle:
		return w, nil
	default:
	}
	if p.waiting.Add(1) > int64(p.cfg.Queue) {
		p.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer p.waiting.Add(-1)
	select {
	case w := <-p.idle:
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, ErrBusy
	}
}

// Close ends the workers; nothing may be in flight.
func (p *Pool) Close() {
	close(p.closed)
	for {
		select {
		case w := <-p.idle:
			w.stop()
		default:
			return
		}
	}
}
