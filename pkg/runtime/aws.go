package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"
)

// awsAPI serves AWS Lambda's runtime API to one worker, on a loopback port of its
// own, so that it is known who asks:
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type awsAPI struct {
	server   *http.Server
	function string // as an ARN
	calls    chan *awsCall
	asked    chan struct{} // closed when the worker asks for its first invocation
	initial  chan string   // why the worker could not start
	once     sync.Once

	mu      sync.Mutex
	current *awsCall // that has no answer yet
}

// awsCall is an invocation that a worker is given.
type awsCall struct {
	*call
	id     string
	body   []byte
	answer chan awsAnswer
}

type awsAnswer struct {
	header *header
	body   []byte
	err    error
}

const awsPrefix = "/2018-06-01/runtime/"

// connectAWS tells the command where its API is.
func connectAWS(cmd *exec.Cmd, cfg *PoolConfig) (l link, started func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	a := &awsAPI{function: "arn:knative:lambda:" + cfg.Namespace + "::function:" + cfg.Function,
		calls: make(chan *awsCall), asked: make(chan struct{}), initial: make(chan string, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+awsPrefix+"invocation/next", a.next)
	mux.HandleFunc("POST "+awsPrefix+"invocation/{id}/response", a.response)
	mux.HandleFunc("POST "+awsPrefix+"invocation/{id}/error", a.failure)
	mux.HandleFunc("POST "+awsPrefix+"init/error", a.initFailure)
	a.server = &http.Server{Handler: limited(mux, cfg.MaxBody), ReadHeaderTimeout: time.Minute}
	go func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("the runtime API is no longer served", "error", err)
		}
	}()
	cmd.Env = append(cmd.Env, "AWS_LAMBDA_RUNTIME_API="+listener.Addr().String(), "_HANDLER="+cfg.Handler, "AWS_LAMBDA_FUNCTION_NAME="+cfg.Function,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "TZ=:UTC")
	return a, func() {}, nil
}

// limited reads a little more than the longest body, so that one that is too long
// is known.
func limited(h http.Handler, maxBody int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, int64(maxBody))
		h.ServeHTTP(w, r)
	})
}

// Close implements link.
func (a *awsAPI) Close() error { return a.server.Close() }

func (a *awsAPI) ready(w *worker, cfg *PoolConfig) error {
	select {
	case <-a.asked:
		return nil
	case message := <-a.initial:
		return &LoadError{Message: message}
	case <-w.gone:
		select {
		case message := <-a.initial:
			return &LoadError{Message: message}
		default:
		}
		return &LoadError{Message: fmt.Sprintf("the program ended before it asked for an invocation: %s", w.death())}
	case <-time.After(cfg.StartTimeout):
		return &LoadError{Message: fmt.Sprintf("the program did not ask for an invocation within %v, as programs for the runtime API of AWS Lambda do", cfg.StartTimeout)}
	}
}

func (a *awsAPI) invoke(w *worker, c *call) (*header, []byte, error) {
	body, err := payload(c.ContentType, c.Body)
	if err != nil {
		return &header{Kind: kindError, Type: "InvalidRequest", Message: err.Error(), BadInput: true}, nil, nil
	}
	job := &awsCall{call: c, id: uuid.NewString(), body: body, answer: make(chan awsAnswer, 1)}
	timer := time.NewTimer(time.Until(c.deadline))
	defer timer.Stop()
	select {
	case a.calls <- job:
	case <-w.gone:
		return nil, nil, io.ErrUnexpectedEOF
	case <-timer.C:
		return nil, nil, os.ErrDeadlineExceeded
	}
	select {
	case answer := <-job.answer:
		return job.log(answer)
	case <-w.gone:
		select { // it may have answered and gone
		case answer := <-job.answer:
			return job.log(answer)
		default:
			return nil, nil, io.ErrUnexpectedEOF
		}
	case <-timer.C:
		return nil, nil, os.ErrDeadlineExceeded
	}
}

// log tells of an error, as workers of the other protocol do themselves.
func (c *awsCall) log(answer awsAnswer) (*header, []byte, error) {
	if h := answer.header; h != nil && h.Kind == kindError {
		attributes := []any{"request_id", c.id}
		if id, ok := c.Event["id"]; ok {
			attributes = append(attributes, "event_id", id, "event_type", c.Event["type"])
		}
		if h.Stack != "" {
			attributes = append(attributes, "exception", h.Stack)
		}
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": c.Traceparent})
		slog.ErrorContext(ctx, h.Type+": "+h.Message, attributes...)
	}
	return answer.header, answer.body, answer.err
}

// next gives the worker its next invocation, however long that takes to come.
func (a *awsAPI) next(w http.ResponseWriter, r *http.Request) {
	a.once.Do(func() { close(a.asked) })
	if c := a.take(""); c != nil {
		c.answer <- awsAnswer{err: errors.New("the program asked for an invocation before it had answered the last")}
	}
	select {
	case c := <-a.calls:
		a.mu.Lock()
		a.current = c
		a.mu.Unlock()
		a.describe(w.Header(), c)
		_, _ = w.Write(c.body) // a worker that is gone is seen elsewhere
	case <-r.Context().Done():
	}
}

// describe says in headers what the program is called with. What it has to know of
// a CloudEvent is in the client context, where AWS has what a caller adds.
func (a *awsAPI) describe(h http.Header, c *awsCall) {
	h.Set("Content-Type", typeJSON)
	h.Set("Lambda-Runtime-Aws-Request-Id", c.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(c.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", a.function)
	if id := xrayTrace(c.Traceparent); id != "" {
		h.Set("Lambda-Runtime-Trace-Id", id)
	}
	custom := make(map[string]string, len(c.Event)+1)
	for name, value := range c.Event {
		custom[name] = fmt.Sprint(value)
	}
	if c.Traceparent != "" {
		custom["traceparent"] = c.Traceparent
	}
	if len(custom) == 0 {
		return
	}
	if text, err := json.Marshal(map[string]any{"custom": custom}); err == nil { // strings
		h.Set("Lambda-Runtime-Client-Context", asciiJSON(text))
	}
}

// asciiJSON escapes what a header cannot carry.
func asciiJSON(text []byte) string {
	var out strings.Builder
	for _, r := range string(text) {
		if r < 0x7f {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String()
}

// take returns the invocation of that id, or whichever there is for none, if it
// waits for its answer; it no longer does then.
func (a *awsAPI) take(id string) *awsCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.current
	if c == nil || id != "" && c.id != id {
		return nil
	}
	a.current = nil
	return c
}

// xrayTrace is a W3C trace context in the form of AWS X-Ray.
func xrayTrace(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 {
		return ""
	}
	sampled := "0"
	if strings.HasSuffix(parts[3], "1") {
		sampled = "1"
	}
	return fmt.Sprintf("Root=1-%s-%s;Parent=%s;Sampled=%s", parts[1][:8], parts[1][8:], parts[2], sampled)
}
