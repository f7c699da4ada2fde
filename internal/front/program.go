package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
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
		case <-w.gone:
		}
	})
	interrupt := context.AfterFunc(p.ctx, w.kill)
	err = a.load(w)
	interrupt()
	if err != nil {
		w.kill()
		<-w.gone
		w.close()
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
	case <-w.gone:
		select {
		case message := <-a.initial:
			return &runtime.LoadError{Message: message}
		default:
		}
		return &runtime.LoadError{Message: fmt.Sprintf("the program ended before it asked for an invocation: %s", w.death())}
	case <-time.After(timeout):
		return &runtime.LoadError{Message: fmt.Sprintf("the program did not ask for an invocation within %v, as programs for the runtime API of AWS Lambda do", timeout)}
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
	fail   func(error) // ends stream
	tail   func() error
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
	case <-w.gone:
		x.pool.lost(w)
		return nil, errUnsent
	case <-x.ctx.Done():
		x.give()
		return nil, x.ctx.Err()
	case <-timer.C: // it does not ask for invocations
		return nil, x.abandonProgram(c)
	}
	var answer programAnswer
	select {
	case answer = <-c.answer:
	case <-w.gone:
		select { // it may have answered and ended
		case answer = <-c.answer:
		default:
			x.pool.lost(w)
			return nil, w.died()
		}
	case <-x.ctx.Done():
		return nil, x.abandonProgram(c)
	case <-timer.C:
		return nil, x.abandonProgram(c)
	}
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
		case <-w.gone:
			return
		case <-timer.C:
			x.pool.expired(x)
		}
	}
}

// programEnvironment is what a program for AWS Lambda expects, beside the environment
// of the container, which has the last word where the function's author may choose.
func programEnvironment(cfg *runtime.PoolConfig, environ []string, address string) []string {
	given := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		given[name] = value
	}
	or := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	memory := int64(1024)
	if limit := runtime.MemoryLimit("/sys/fs/cgroup"); limit > 0 {
		memory = max(1, limit>>20)
	}
	format := map[string]string{"text": "Text"}[given["LAMBDA_LOG_FORMAT"]]
	level := map[string]string{"debug": "DEBUG", "warning": "WARN", "error": "ERROR"}[given["LAMBDA_LOG_LEVEL"]]
	set := map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          address,
		"AWS_LAMBDA_FUNCTION_NAME":        cfg.Function,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(memory),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + cfg.Function,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + or(given["HOSTNAME"], "local"),
		"AWS_LAMBDA_LOG_FORMAT":           or(format, "JSON"),
		"AWS_LAMBDA_LOG_LEVEL":            or(level, "INFO"),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_REGION":                      or(given["AWS_REGION"], given["AWS_DEFAULT_REGION"], "us-east-1"),
		"AWS_DEFAULT_REGION":              or(given["AWS_DEFAULT_REGION"], given["AWS_REGION"], "us-east-1"),
		"LAMBDA_RUNTIME_DIR":              "/lambda",
		"_HANDLER":                        cfg.Handler,
		"TZ":                              or(given["TZ"], ":UTC"),
		"LANG":                            or(given["LANG"], "C.UTF-8"),
		"NO_PROXY":                        direct(or(given["NO_PROXY"], given["no_proxy"])),
		"no_proxy":                        direct(or(given["no_proxy"], given["NO_PROXY"])),
	}
	if slots := cfg.Slots(); slots > 1 { // clients behave in another way where it is set at all
		set["AWS_LAMBDA_MAX_CONCURRENCY"] = fmt.Sprint(slots)
	}
	environment := make([]string, 0, len(set))
	for name, value := range set {
		environment = append(environment, name+"="+value)
	}
	return environment
}

// direct adds the address of the API to those that are reached without a proxy.
func direct(hosts string) string {
	if hosts == "" {
		return apiHost
	}
	return hosts + "," + apiHost
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
	case <-w.gone:
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
	case <-w.gone:
		s.x.pool.lost(w)
	default:
		_ = s.x.abandonProgram(s.call)
	}
	return nil
}
