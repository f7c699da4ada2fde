package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Invoker calls a handler. A Pool does so in worker processes; a function of a
// compiled language may be one itself. One that runs the handler in the goroutine
// of Invoke, and so cannot give it up, has a method Limit that says how long an
// invocation may take: the server answers then.
type Invoker interface {
	// Invoke calls the handler. Its error is a *HandlerError for what the handler
	// raised, one of the errors below, or that of ctx.
	Invoke(ctx context.Context, in *Invocation) (*Result, error)
	// Ready tells whether the handler is loaded. Invoke waits until it is.
	Ready() bool
}

// Invocation is what a handler is called with.
type Invocation struct {
	// Event holds the CloudEvent's attributes and extensions; nil for a plain
	// request.
	Event map[string]any
	// CloudEvent is the same, with its data, for handlers that are linked in.
	CloudEvent *event.Event
	// Method and Path (with the query) of the HTTP request.
	Method string
	Path   string
	// Traceparent is the W3C Trace Context of the invocation, if there is one.
	Traceparent string
	// ContentType of Body.
	ContentType string
	Body        []byte

	request *http.Request
}

// Headers of the HTTP request but those that the event's attributes repeat; the
// names are in lower case.
func (in *Invocation) Headers() map[string]string {
	if in.request == nil {
		return nil
	}
	h := make(map[string]string, len(in.request.Header)+1)
	h["host"] = in.request.Host
	for k, v := range in.request.Header {
		if !strings.HasPrefix(k, "Ce-") {
			h[strings.ToLower(k)] = strings.Join(v, ", ")
		}
	}
	return h
}

// Result is what a handler returned. The zero value says: nothing.
type Result struct {
	// Event holds the attributes and extensions of the CloudEvent that the
	// handler returned; nil if it returned anything else.
	Event map[string]any
	// ContentType of Body.
	ContentType string
	Body        []byte
}

// HandlerError is what a handler raised.
type HandlerError struct {
	Type    string // in the words of the function's language
	Message string
	Stack   string
	// Permanent says that it comes again with each retry.
	Permanent bool
	// BadInput says that the body is not what its content type says.
	BadInput bool
}

func (e *HandlerError) Error() string { return e.Type + ": " + e.Message }

// TimedOut says that an invocation took longer than it may. It is an ErrTimeout.
func TimedOut(limit time.Duration) error {
	return fmt.Errorf("%w: more than %v (spec.runtime.timeout)", ErrTimeout, limit)
}

// Errors of Invoke. They are wrapped with what a person needs to know.
var (
	ErrTimeout        = errors.New("the handler took too long")
	ErrBusy           = errors.New("too many requests wait for a worker")
	ErrWorkerDied     = errors.New("the worker process died while it handled the request")
	ErrRequestTooLong = errors.New("the request is too long")
	ErrReplyTooLong   = errors.New("the reply is too long")
)
