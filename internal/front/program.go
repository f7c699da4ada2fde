package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// startProgram starts a program for AWS Lambda and waits until it asks for an invocation.
// It is a worker whose slots are counted, as its calls travel over the API.
func (p *Pool) startProgram() (*worker, error) {
	a, err := listenAPI(p.cfg)
	if err != nil {
		return nil, err
	}
	process, err := startCommand(p, nil, programEnvironment(p.cfg, os.Environ(), a.address)...)
	if err != nil {
		a.close()
		return nil, err
	}
	w := newWorker(p, process, nil, p.cfg.Slots())
	w.api = a
	p.running.Go(func() {
		select {
		case why := <-a.broken:
			w.fail(why, nil)
		case <-w.ended:
		}
	})
	if err := w.await(func() error { return a.load(w) }); err != nil {
		return nil, err
	}
	p.running.Go(w.bury)
	return w, nil
}

// load waits until the program asks for its first invocation.
func (a *programAPI) load(w *worker) error {
	timeout := w.pool.cfg.StartTimeout
	select {
	case <-a.asked:
		return nil
	case message := <-a.initial:
		return &runtime.LoadError{Message: message}
	case <-w.ended:
		select {
		case message := <-a.initial:
			return &runtime.LoadError{Message: message}
		default:
		}
		return &runtime.LoadError{Message: fmt.Sprintf("the program ended before it asked for an invocation: %s", w.death())}
	case <-time.After(timeout):
		return &runtime.LoadError{Message: fmt.Sprintf("the program did not ask for an invocation within %v, as programs for the runtime API of AWS Lambda do",
			timeout)}
	}
}

// programCall is an invocation that a program is given.
type programCall struct {
	*runtime.Invocation
	id       string
	payload  []byte
	deadline time.Time
	answer   chan programAnswer // has room for one
	ended    chan struct{}      // closed when the program has sent its whole answer
}

// programAnswer is a result, or the beginning of one that is streamed.
type programAnswer struct {
	result *runtime.Result
	err    error
	stream *io.PipeReader
	fail   func(error)  // ends stream
	tail   func() error // the error in the trailers, after the end of stream
}

// program calls a program for AWS Lambda.
func (x *exchange) program(in *runtime.Invocation) (*runtime.Result, error) {
	c := &programCall{Invocation: in, id: in.RequestID, deadline: x.deadline, answer: make(chan programAnswer, 1), ended: make(chan struct{})}
	if c.id == "" {
		c.id = uuid.NewString()
	}
	var err error
	if c.payload, err = programData(in.ContentType, in.Body); err != nil {
		x.give()
		return nil, &runtime.HandlerError{Type: "InvalidRequest", Message: err.Error(), BadInput: true}
	}
	w := x.slot.worker
	timer := time.NewTimer(time.Until(x.deadline))
	defer timer.Stop()
	select {
	case w.api.calls <- c:
	case <-w.ended:
		x.pool.lost(w)
		return nil, errUnsent
	case <-x.ctx.Done():
		x.give()
		return nil, x.ctx.Err()
	case <-timer.C: // it does not ask for invocations
		return nil, x.abandonProgram(c)
	}
	select {
	case answer := <-c.answer:
		return x.answered(c, answer)
	case <-w.ended:
	case <-x.ctx.Done():
		return nil, x.abandonProgram(c)
	case <-timer.C:
		return nil, x.abandonProgram(c)
	}
	select { // it may have answered and ended
	case answer := <-c.answer:
		return x.answered(c, answer)
	default:
		x.pool.lost(w)
		return nil, w.died()
	}
}

// answered returns the answer of a program, or its beginning.
func (x *exchange) answered(c *programCall, answer programAnswer) (*runtime.Result, error) {
	if answer.stream != nil {
		return x.programStream(c, answer)
	}
	x.give()
	logError(c, answer.err)
	return answer.result, answer.err
}

// abandonProgram answers the client of a call that has not ended. The slot awaits its end.
func (x *exchange) abandonProgram(c *programCall) error {
	x.pool.answered()
	x.pool.running.Go(func() { x.awaitProgram(c) })
	if time.Now().Before(x.deadline) {
		return context.Canceled
	}
	return runtime.TimedOut(x.pool.cfg.Timeout)
}

func (x *exchange) awaitProgram(c *programCall) {
	w := x.slot.worker
	timer := time.NewTimer(time.Until(x.deadline))
	defer timer.Stop()
	for {
		select {
		case <-c.ended:
			x.pool.ended(x)
			return
		case answer := <-c.answer:
			if answer.stream != nil {
				_ = answer.stream.Close() // what comes is dropped
			}
		case <-w.ended:
			return
		case <-timer.C:
			x.pool.expired(x)
		}
	}
}

// programResult is the body of a streamed answer, which counts as a call until it is
// closed.
type programResult struct {
	io.Reader
	x      *exchange
	call   *programCall
	answer programAnswer
	stop   func() bool
	timer  *time.Timer
	ended  bool
}

// programStream returns the beginning of an answer that is streamed.
func (x *exchange) programStream(c *programCall, answer programAnswer) (*runtime.Result, error) {
	s := &programResult{x: x, call: c, answer: answer}
	s.timer = time.AfterFunc(time.Until(x.deadline), func() { answer.fail(runtime.TimedOut(x.pool.cfg.Timeout)) })
	s.stop = context.AfterFunc(x.ctx, func() { answer.fail(x.ctx.Err()) })
	result, body, err := streamedHead(answer)
	if err == nil {
		s.Reader = body
		if _, err = body.Peek(1); errors.Is(err, io.EOF) { // an error before the first piece has a status
			err = answer.tail()
		}
	}
	if err != nil {
		err = s.failure(err)
		_ = s.Close()
		return nil, err
	}
	result.Stream, result.Deadline = s, x.deadline
	if result.Header == nil {
		result.Header = http.Header{}
	}
	return result, nil
}

// Read implements io.Reader.
func (s *programResult) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF { //nolint:errorlint // readers return it bare
		if failed := s.answer.tail(); failed != nil {
			return n, s.failure(failed)
		}
	}
	if err != nil && err != io.EOF { //nolint:errorlint // likewise
		err = s.failure(err)
	}
	return n, err
}

// failure is the error of a stream, or the end of its program.
func (s *programResult) failure(err error) error {
	w := s.x.slot.worker
	var raised *runtime.HandlerError
	switch {
	case errors.As(err, &raised):
		logError(s.call, err)
		return err
	case errors.Is(err, runtime.ErrTimeout), s.x.ctx.Err() != nil, errors.Is(err, runtime.ErrReplyTooLong):
		return err
	}
	select {
	case <-w.ended:
		return w.died()
	case <-time.After(s.x.pool.timing.death):
		return &runtime.HandlerError{Type: "InvalidReply", Message: "the streamed answer broke off: " + protocol.Cut(err.Error(), protocol.MaxMessage)}
	}
}

// Close implements io.Closer.
func (s *programResult) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	s.timer.Stop()
	s.stop()
	_ = s.answer.stream.Close() // what still comes is dropped
	w := s.x.slot.worker
	select {
	case <-s.call.ended:
		s.x.give()
	case <-w.ended:
		s.x.pool.lost(w)
	default:
		_ = s.x.abandonProgram(s.call)
	}
	return nil
}
