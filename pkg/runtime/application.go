package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Application is an Invoker with Limits whose handler, if its Traits are raw, answers
// requests in their own goroutine. Serve panics with what the handler does.
type Application interface {
	Serve(ctx context.Context, w http.ResponseWriter, in *Invocation)
}

// serve lets an application answer.
func (x *exchange) serve(app Application, d *deadlines) {
	x.reply = &appWriter{x: x, w: x.w, header: http.Header{}}
	d.add(x)
	err := x.run(app)
	if late := d.remove(x); late != nil {
		<-late
	} else {
		x.reply.end(err)
	}
}

// run returns what the application panics with.
func (x *exchange) run(app Application) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case error:
			err = v
		default:
			err = &HandlerError{Type: "panic", Message: fmt.Sprint(v)}
		}
	}()
	app.Serve(x.ctx, x.reply, &x.req.Invocation)
	return nil
}

// errRefused is what an application gets that writes behind headers that are not valid.
var errRefused = errors.New("the reply has been answered as InvalidReply")

// appWriter is the ResponseWriter of an application. Its headers are its own until they
// are written, because the reply may be ended at any moment: at the timeout. Writes hold
// the lock; what keeps one waiting is a client, which the deadline of the connection ends.
type appWriter struct {
	x      *exchange
	w      http.ResponseWriter
	header http.Header

	mu     sync.Mutex
	status int      // 0: not written
	conn   net.Conn // of a request that was upgraded
	ended  error    // why nothing can be written any more
}

// Header implements http.ResponseWriter.
func (a *appWriter) Header() http.Header { return a.header }

// Unwrap lets http.ResponseController set deadlines.
func (a *appWriter) Unwrap() http.ResponseWriter { return a.w }

// WriteHeader implements http.ResponseWriter.
func (a *appWriter) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.writeHead(status) // Write says why
}

// writeHead writes status and headers, if that has not been done. Interim responses are
// left out, see finalListener.
func (a *appWriter) writeHead(status int) error {
	if a.ended != nil || a.status != 0 || status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		return a.ended
	}
	h := a.w.Header()
	if p := checkHeader(&Result{Status: status, Header: a.header}); p != nil {
		a.status, a.ended = p.status, errRefused
		a.x.server.writeProblem(a.x.ctx, a.w, a.x.req, p)
		return a.ended
	}
	cors := a.x.server.cfg.CORS != nil
	for name, values := range a.header {
		if cors && isCORS(name) {
			continue
		}
		if own := h[name]; own != nil { // of CORS
			values = slices.Concat(own, values)
		}
		h[name] = values // nil keeps the server from a guess
	}
	a.w.WriteHeader(status)
	a.status = status
	return nil
}

// Write implements http.ResponseWriter.
func (a *appWriter) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.writeHead(http.StatusOK); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}

// FlushError sends what has been written.
func (a *appWriter) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.writeHead(http.StatusOK); err != nil {
		return err
	}
	return http.NewResponseController(a.w).Flush()
}

// Flush implements http.Flusher.
func (a *appWriter) Flush() { _ = a.FlushError() } // as http.Flusher has it

// Hijack implements http.Hijacker.
func (a *appWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != nil {
		return nil, nil, a.ended
	}
	conn, buffered, err := http.NewResponseController(a.w).Hijack()
	if err == nil {
		a.conn, a.ended = conn, http.ErrHijacked
	}
	return conn, buffered, err
}

// CloseNotify implements the interface that preceded contexts: gin streams by it.
func (a *appWriter) CloseNotify() <-chan bool {
	closed := make(chan bool, 1)
	context.AfterFunc(a.x.ctx, func() { closed <- true })
	return closed
}

// end completes the reply when the application has returned, or has panicked.
func (a *appWriter) end(err error) {
	x := a.x
	if a.conn == nil && !time.Now().Before(x.due) { // what it wrote may have been cut short by its context
		err = TimedOut(x.server.deadlines.Timeout)
	}
	switch {
	case a.conn != nil && err != nil:
		_ = a.conn.Close() // the application may hold it
		fallthrough
	case err != nil && a.status == 0 && !errors.Is(err, http.ErrAbortHandler):
		p := problemOf(err, x.server.cfg.ErrorStack)
		if a.conn == nil {
			x.server.writeProblem(x.ctx, a.w, x.req, p)
		}
		x.count(p.outcome, p)
		return
	case err != nil && x.ctx.Err() != nil:
		x.abort(x.ctx.Err())
	case errors.Is(err, http.ErrAbortHandler):
		x.abort(&HandlerError{Type: "ErrAbortHandler", Message: err.Error()})
	case err != nil:
		x.abort(err)
	case a.conn == nil:
		a.WriteHeader(http.StatusOK)
		a.addTrailers()
	}
	if a.status >= http.StatusInternalServerError {
		x.count(outcomeError, nil)
	} else {
		x.count(outcomeSuccess, nil)
	}
}

// addTrailers passes on what the application has set after its head.
func (a *appWriter) addTrailers() {
	declared := a.header["Trailer"]
	for name, values := range a.header {
		if strings.HasPrefix(name, http.TrailerPrefix) || containsToken(declared, name) {
			a.w.Header()[name] = values
		}
	}
}

// containsToken reports whether a list of header names has one.
func containsToken(lists []string, name string) bool {
	for _, list := range lists {
		for token := range strings.SplitSeq(list, ",") {
			if http.CanonicalHeaderKey(strings.TrimSpace(token)) == name {
				return true
			}
		}
	}
	return false
}

// expire ends the reply at the timeout, while the application still runs.
func (a *appWriter) expire(limit time.Duration) {
	control := http.NewResponseController(a.w)
	_ = control.SetWriteDeadline(time.Unix(1, 0)) // a write may hold the lock
	a.mu.Lock()
	defer a.mu.Unlock()
	x, err := a.x, TimedOut(limit)
	upgraded := a.conn
	if a.ended = http.ErrHandlerTimeout; upgraded != nil {
		_ = upgraded.Close() // the application may hold it
		x.count(outcomeTimeout, problemOf(err, false))
		return
	}
	if a.status == 0 {
		_ = control.SetWriteDeadline(time.Now().Add(hangUpGrace))
		a.w.Header().Set("Connection", "close")
		x.answer(nil, err)
		hangUp(a.w, hangUpGrace)
		return
	}
	x.aborted(err)
	hangUp(a.w, 0)
}
