// Package front lets worker processes of protocol 2 (docs/runtime-protocol.md) call a
// function's handler, many calls at once in each.
package front

import (
	"container/list"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const (
	// firstDelay is the pause before the second attempt to replace a worker; it doubles
	// up to lastDelay.
	firstDelay = 100 * time.Millisecond
	lastDelay  = 10 * time.Second
	// steady is how long a worker runs before its end counts as the first.
	steady = 10 * time.Second
)

// timing bounds what workers may take time for.
type timing struct {
	ping    time.Duration // between two pings
	blocked time.Duration // without a pong: the worker is blocked
	overdue time.Duration // after a call's timeout: the worker is replaced
	death   time.Duration // from the end of a connection to that of the process
	stop    time.Duration // for what a worker does at exit
}

var defaultTiming = timing{ping: time.Second, blocked: 2 * time.Second, overdue: 10 * time.Second, death: 200 * time.Millisecond, stop: 5 * time.Second}

// Pool is a runtime.Invoker over worker processes of protocol 2.
type Pool struct {
	cfg       *runtime.PoolConfig
	timing    timing
	telemetry *runtime.Telemetry
	stdout    io.Writer
	stderr    io.Writer
	reaper    reaper
	reaps     bool                                      // orphans become this process's children
	launch    func(*Pool, []*os.File) (*process, error) // starts a worker with these connections

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup
	failed   chan error
	loaded   chan struct{} // closed when the first worker has loaded the handler
	retiring chan struct{} // has room for one: workers are replaced one at a time

	mu       sync.Mutex
	workers  []*worker  // that have loaded the handler and run
	waiters  *list.List // of *waiter, the first came first
	loading  int        // calls that wait for the first worker
	open     int        // calls that have no answer yet
	handler  Traits
	draining bool
}

// Traits of a handler.
type Traits = runtime.Traits

// New starts workers in the background: one, and when it has loaded the handler the
// others, which so do not delay the first answer.
func New(cfg *runtime.PoolConfig, telemetry *runtime.Telemetry, stdout, stderr io.Writer) *Pool {
	return start(&Pool{cfg: cfg, timing: defaultTiming, telemetry: telemetry, stdout: stdout, stderr: stderr, launch: startProcess, reaps: os.Getpid() == 1})
}

func start(p *Pool) *Pool {
	p.failed, p.loaded, p.retiring, p.waiters = make(chan error, 1), make(chan struct{}), make(chan struct{}, 1), list.New()
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.first)
	p.running.Go(p.watch)
	if p.reaps {
		p.running.Go(func() { p.reaper.run(p.ctx) })
	}
	return p
}

// Ready implements runtime.Invoker.
func (p *Pool) Ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.workers) > 0
}

// Failed yields why the handler cannot be loaded; it is a *runtime.LoadError if the
// function's author can resolve it.
func (p *Pool) Failed() <-chan error { return p.failed }

// Traits waits until the handler is loaded, but no longer than ctx and the timeout of a
// request that arrived then. See runtime.Traits.
func (p *Pool) Traits(ctx context.Context, arrived time.Time) (Traits, error) {
	select {
	case <-p.loaded:
		return p.handler, nil
	default:
	}
	p.mu.Lock()
	if p.loading >= p.cfg.Queue {
		p.mu.Unlock()
		return Traits{}, p.busy()
	}
	p.loading++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.loading--
		p.mu.Unlock()
	}()
	timer := time.NewTimer(time.Until(arrived.Add(p.cfg.Timeout)))
	defer timer.Stop()
	select {
	case <-p.loaded:
		return p.handler, nil
	case <-ctx.Done():
		return Traits{}, ctx.Err()
	case <-timer.C:
		return Traits{}, runtime.TimedOut(p.cfg.Timeout)
	case <-p.ctx.Done():
		return Traits{}, errStopping()
	}
}

func (p *Pool) busy() error { return fmt.Errorf("%w: %d", runtime.ErrBusy, p.cfg.Queue) }

func errStopping() error { return fmt.Errorf("%w: the runtime is shutting down", runtime.ErrBusy) }

// Drain reports to workers that the pod stops. Calls go on.
func (p *Pool) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining = true
	for _, w := range p.workers {
		w.drain()
	}
}

// Close ends the workers. Calls that are open fail.
func (p *Pool) Close() {
	p.cancel()
	p.running.Wait()
}

func (p *Pool) first() {
	w, err := p.start()
	if err != nil {
		p.failed <- err
		return
	}
	p.handler = Traits{Raw: raw(w.ready.Interface), Streams: w.ready.RequestStream || w.http != nil}
	close(p.loaded)
	workers := p.cfg.Workers
	if w.ready.Parallel {
		workers = 1 // it uses all CPUs, and shares what the handler has loaded
	}
	for range workers - 1 {
		p.running.Go(func() { p.keep(nil) })
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
		w = p.attend(w)
		if p.ctx.Err() != nil {
			if w != nil {
				w.stop()
			}
			return
		}
		p.telemetry.WorkerRestarted()
		if w != nil || time.Since(since) > steady {
			attempt = -1
		}
	}
}

// attend lets the worker take calls until it or the pool ends, or it is retired. Then
// it returns the replacement.
func (p *Pool) attend(w *worker) *worker {
	p.join(w)
	select {
	case <-w.ended:
		slog.Error("a worker died", "cause", w.death())
		return nil
	case <-p.ctx.Done():
		w.stop()
		return nil
	case <-w.retired:
	}
	select { // others that are replaced go first
	case p.retiring <- struct{}{}:
	case <-w.ended:
		return nil
	case <-p.ctx.Done():
		w.stop()
		return nil
	}
	replacement := p.replacement(0)
	if replacement == nil {
		<-p.retiring
		w.stop()
		return nil
	}
	p.running.Go(func() {
		p.windDown(w)
		<-p.retiring
	})
	return replacement
}

// replacement starts a worker, again and again with growing delays; it is nil when the
// pool was closed.
func (p *Pool) replacement(attempt int) *worker {
	for ; ; attempt++ {
		if attempt > 0 {
			select {
			case <-p.ctx.Done():
				return nil
			case <-time.After(min(lastDelay, firstDelay<<min(attempt-1, 10))):
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
	w, err := p.startWorker()
	if err == nil {
		p.telemetry.HandlerLoaded(time.Since(began))
	}
	return w, err
}

// windDown ends a retired worker when its calls have ended, but for those that are
// past their timeout.
func (p *Pool) windDown(w *worker) {
	p.refuse(w)
	select {
	case <-w.quiet:
	case <-w.ended:
	case <-p.ctx.Done():
	}
	w.stop()
}
