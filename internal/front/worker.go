package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// worker is a process that has connections.
type worker struct {
	*process
	pool    *Pool
	ready   protocol.Control
	control net.Conn
	outbox  chan protocol.Control // never full: see newWorker
	slots   []*slot
	http    *http.Transport // of one that serves HTTP itself; else nil
	api     *programAPI     // of a program for AWS Lambda, which has no connections; else nil
	retired chan struct{}   // closed when it is to be replaced
	retire1 sync.Once
	quiet   chan struct{} // closed when it refuses calls, and none is open within its timeout
	quiet1  sync.Once

	// The pool's lock guards these.
	idle    []*slot
	busy    int // slots that are not idle
	overdue int // calls past their timeout among them
	refuses bool
	blocked bool
	pinged  time.Time // when the ping without a pong was sent; zero: there is none
	ping    uint64
}

// slot is a connection that carries one call at a time.
type slot struct {
	worker *worker
	number int
	conn   net.Conn
	opened bool
	id     uint64           // of the last call
	frames *protocol.Reader // of what is left of it; may be nil

	mu      sync.Mutex
	current *exchange // whose client is awaited
}

// startWorker starts the command and waits until it has loaded the handler.
func (p *Pool) startWorker() (*worker, error) {
	if p.cfg.Protocol == runtime.ProtocolAWS {
		return p.startProgram()
	}
	ours, theirs, err := connections(1 + p.cfg.Slots())
	if err != nil {
		return nil, err
	}
	process, err := p.launch(p, theirs)
	for _, f := range theirs {
		f.Close() // so that the end of the process is the end of its connections
	}
	if err != nil {
		closeAll(ours)
		return nil, err
	}
	w := newWorker(p, process, ours, len(ours)-1)
	if err := w.await(w.load); err != nil {
		return nil, err
	}
	p.running.Go(w.write)
	p.running.Go(w.read)
	p.running.Go(w.bury)
	return w, nil
}

// await a handler that is being loaded. The worker ends if that fails, and at the pool's
// end.
func (w *worker) await(load func() error) error {
	settled := context.AfterFunc(w.pool.ctx, w.kill)
	err := load()
	settled()
	if err != nil {
		w.kill()
		<-w.ended
		w.close()
	}
	return err
}

// newWorker has as many slots; conns are the control connection and theirs, or none.
func newWorker(p *Pool, process *process, conns []net.Conn, slots int) *worker {
	w := &worker{process: process, pool: p, retired: make(chan struct{}), quiet: make(chan struct{})}
	for i := range slots {
		w.slots = append(w.slots, &slot{worker: w, number: i + 1})
	}
	if len(conns) > 0 {
		w.control = conns[0]
		// One open and, for its one call, two cancels a slot, a ping and a drain.
		w.outbox = make(chan protocol.Control, 4*len(conns))
		for i, s := range w.slots {
			s.conn = conns[i+1]
		}
	}
	for i := len(w.slots) - 1; i >= 0; i-- {
		w.idle = append(w.idle, w.slots[i]) // the last is taken first
	}
	return w
}

// load waits for ready.
func (w *worker) load() error {
	cfg := w.pool.cfg
	if err := w.control.SetReadDeadline(time.Now().Add(cfg.StartTimeout)); err != nil {
		return err
	}
	header, _, err := protocol.NewReader(w.control).Next()
	if err == nil {
		err = json.Unmarshal(header, &w.ready)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &runtime.LoadError{Message: fmt.Sprintf("handler %q was not loaded within %v: do less when the module is imported", cfg.Handler, cfg.StartTimeout)}
	case err != nil:
		return &runtime.LoadError{Message: fmt.Sprintf("the worker ended while it loaded handler %q: %s", cfg.Handler, w.death())}
	case w.ready.Kind == protocol.Failed:
		return &runtime.LoadError{Message: w.ready.Message}
	case w.ready.Kind != protocol.Ready:
		return fmt.Errorf("the worker's first frame is %q, expected %q or %q", w.ready.Kind, protocol.Ready, protocol.Failed)
	case w.ready.Protocol != protocol.Version:
		return fmt.Errorf("the worker speaks version %d of the protocol, expected %d: name protocol frames in config-runtimes", max(1, w.ready.Protocol), protocol.Version)
	}
	if err := w.listenTo(); err != nil {
		return err
	}
	return w.control.SetReadDeadline(time.Time{})
}

// write sends what is in the outbox.
func (w *worker) write() {
	for {
		select {
		case c := <-w.outbox:
			if err := protocol.Write(w.control, c, nil); err != nil {
				return // read sees its end, too
			}
		case <-w.ended:
			return
		}
	}
}

// read serves the control connection until the worker ends.
func (w *worker) read() {
	frames := protocol.NewReader(w.control)
	for {
		var c protocol.Control
		header, _, err := frames.Next()
		if err == nil {
			if err = json.Unmarshal(header, &c); err != nil {
				w.fail("it broke the protocol: a header is not the expected JSON", nil)
			}
		}
		if err != nil {
			w.death()
			return
		}
		switch c.Kind {
		case protocol.Pong:
			w.pong(c.ID)
		case protocol.Retire:
			w.pool.refuse(w)
			w.retire(c.Message)
		}
	}
}

// bury closes the connections of a worker that has ended: later, as what it answered
// may still be read, but whether or not a process that it has started holds them open.
func (w *worker) bury() {
	<-w.ended
	select {
	case <-time.After(w.grace):
	case <-w.pool.ctx.Done():
	}
	w.close()
}

// close ends all connections, which stops the worker.
func (w *worker) close() {
	if w.api != nil {
		w.api.close()
		return
	}
	if w.http != nil {
		w.http.CloseIdleConnections()
	}
	_ = w.control.Close() // it may be closed
	for _, s := range w.slots {
		_ = s.conn.Close()
	}
}

// stop lets the worker end, and ends it where it does not.
func (w *worker) stop() {
	w.close()
	select {
	case <-w.ended:
	case <-time.After(w.pool.timing.stop):
		w.kill()
		<-w.ended
	}
}

// retire has the worker replaced.
func (w *worker) retire(why string) {
	w.retire1.Do(func() {
		slog.Warn("a worker is replaced", "cause", protocol.Cut(why, protocol.MaxMessage))
		close(w.retired)
	})
}

// settle says when a worker that refuses calls has none that may still end in time.
// The caller holds the pool's lock, as for what follows.
func (w *worker) settle() {
	if w.refuses && w.busy <= w.overdue {
		w.quiet1.Do(func() { close(w.quiet) })
	}
}

// failBlocked ends a worker that is blocked by a call past its timeout.
func (w *worker) failBlocked() {
	w.fail("it did not respond for "+w.pool.timing.blocked.String()+", and a call in it was past its timeout", runtime.ErrWorkerBlocked)
}

func (w *worker) send(c protocol.Control) {
	if w.api != nil {
		return // which has no place for it
	}
	select {
	case w.outbox <- c:
	default:
		w.fail("it does not read its control connection", nil)
	}
}

func (w *worker) drain() {
	w.send(protocol.Control{Kind: protocol.Drain, Timeout: w.pool.cfg.Timeout.Milliseconds()})
}

// watch asks workers with open calls whether they respond.
func (p *Pool) watch() {
	ticker := time.NewTicker(p.timing.ping)
	defer ticker.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case now := <-ticker.C:
			p.mu.Lock()
			for _, w := range p.workers {
				w.check(now)
			}
			p.mu.Unlock()
		}
	}
}

func (w *worker) check(now time.Time) {
	switch {
	case len(w.slots) == 1 || w.api != nil: // its one call is ended at its timeout
	case w.pinged.IsZero() && w.busy > 0:
		w.ping++
		w.pinged = now
		w.send(protocol.Control{Kind: protocol.Ping, ID: w.ping})
	case !w.pinged.IsZero() && !w.blocked && now.Sub(w.pinged) >= w.pool.timing.blocked:
		w.blocked = true
		w.pool.telemetry.WorkerBlocked()
		slog.Warn("a worker does not respond: new calls go to others", "since", w.pinged.UTC().Format(time.RFC3339), "open", w.busy)
		if w.overdue > 0 {
			w.failBlocked()
		}
	}
}

func (w *worker) pong(id uint64) {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if id != w.ping {
		return
	}
	w.pinged = time.Time{}
	if w.blocked {
		w.blocked = false
		slog.Info("a worker responds again")
		p.dispatch()
	}
}
