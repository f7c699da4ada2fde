package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Invoker calls a handler. A Pool does so in worker processes; a function of a
// compiled language may be one itself. One that runs the handler in the goroutine
// of Invoke, and so cannot give it up, has a method Limits that says how long an
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
	// Traceparent and Tracestate are the W3C Trace Context of the invocation, if there
	// is one.
	Traceparent string
	Tracestate  string
	// ContentType of Body.
	ContentType string
	Body        []byte
	// Stream is the body of a plain request as it arrives, for handlers with Traits that
	// say so; then there is no Body. It is valid until Invoke's result has been closed.
	Stream io.Reader
	// Payload says that Body is the plain request itself, as config.HTTPEventAWS has it, and
	// that RequestID is in it.
	Payload   bool
	RequestID string
	// Arrived is when the request did. Its timeout counts from then on.
	Arrived time.Time

	request *http.Request
}

// NewInvocation is that of a request whose body is not read.
func NewInvocation(r *http.Request) *Invocation {
	in := &newRequest(r).Invocation
	in.Stream = r.Body
	return in
}

// Request is the HTTP request, whose body has been read or is Stream; it may be nil.
func (in *Invocation) Request() *http.Request { return in.request }

// Traits say what a handler takes. An Invoker whose handler may take requests in
// another way than read and decoded has a method
//
//	Traits(ctx context.Context, arrived time.Time) (Traits, error)
//
// that waits until the handler is loaded, with the errors of Invoke.
type Traits struct {
	Raw     bool // requests as they were sent: CloudEvents are for the handler to read
	Streams bool // bodies as they arrive
}

// Trailers is a Result's Stream that ends with HTTP trailers, once it has been read.
type Trailers interface{ Trailers() http.Header }

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
	// Status of the HTTP reply; 0 leaves it to what else there is.
	Status int
	// Header of the HTTP reply, without Content-Type.
	Header http.Header
	// Stream is the body instead of Body, unless it is nil. A read returns what there is
	// and waits only where there is nothing. It has to be closed, and to be read until
	// Deadline. If the handler itself produces it, in a goroutine, it has a method
	// Done() <-chan struct{} that says when that has returned.
	Stream   io.ReadCloser
	Deadline time.Time
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
	// Status and Header of the HTTP reply, where the handler chose them.
	Status int
	Header http.Header
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
	// ErrWorkerBlocked says that another call had blocked the worker process.
	ErrWorkerBlocked = errors.New("another call blocked the worker process")
)
