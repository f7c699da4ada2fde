// Package lambda is what functions in Go are linked with, and what they may use.
//
// A handler is a function of one of these shapes, where T is what the data is
// decoded to and R what is returned:
//
//	func()
//	func(context.Context)
//	func(T)
//	func(context.Context, T)
//
// each with no results, or error, or R, or (R, error). A T of Event takes the
// CloudEvent as it is, []byte and json.RawMessage the body as it is, string a
// text, any what the content type says, and every other type what encoding/json
// makes of it. A T of *http.Request or io.Reader takes the body as it arrives, without
// a limit.
//
// An R of Event is sent as it is, []byte as bytes, a nil pointer, map, slice, func or
// interface as nothing, a Response with its status, headers and cookies, and every
// other value as JSON. An R of io.Reader, or of iter.Seq2[T, error] with a T of []byte,
// string, ServerSentEvent or of what is sent as a line of JSON, is sent as it is
// produced: the next piece when the client has room for it. It ends with the context,
// and a reader that is an io.Closer is closed, at the latest when the client disconnects
// or at the timeout.
//
// The handler may also be an http.Handler, or a func(http.ResponseWriter, *http.Request):
// then it reads requests and writes replies itself.
package lambda

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// Event is a CloudEvent.
type Event = event.Event

// NewEvent returns an event for a handler to return. What is left out (id, source,
// time) is filled in.
func NewEvent(eventType string) Event {
	e := event.New()
	e.SetType(eventType)
	return e
}

// PermanentError is an error that comes again with each retry, so that the event is
// not sent again. Any error with a method Permanent() bool that returns true is one
// too.
type PermanentError struct{ Err error }

// Permanent marks an error as one that comes again with each retry.
func Permanent(err error) error { return &PermanentError{Err: err} }

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns the error that is permanent.
func (e *PermanentError) Unwrap() error { return e.Err }

// Permanent tells that the error is.
func (*PermanentError) Permanent() bool { return true }

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// Context is what a handler is told besides the data. Attributes of the
// CloudEvent are zero when the request was none.
type Context struct {
	ID, Type, Source, Subject string
	Time                      time.Time
	// Attributes are all of the event's, extensions too.
	Attributes map[string]any
	// Method and Path of the HTTP request, as sent and without the query.
	Method, Path string
	// Traceparent is the W3C Trace Context of the invocation.
	Traceparent string
	// FunctionName and FunctionNamespace are those of the LambdaFunction.
	FunctionName, FunctionNamespace string

	untraced   bool // log lines do not name the trace
	deadline   time.Time
	timeout    time.Duration
	logger     *slog.Logger
	invocation *runtime.Invocation
}

type contextKey struct{}

// FromContext returns what the handler with that context is told. It is never
// nil.
func FromContext(ctx context.Context) *Context {
	if c, ok := ctx.Value(contextKey{}).(*Context); ok {
		return c
	}
	return &Context{logger: slog.Default(), invocation: &runtime.Invocation{}}
}

// NewContext returns the context of a handler that a test calls by itself. The Context and the
// request may be nil; the request's method and path are those of the Context.
func NewContext(ctx context.Context, c *Context, r *http.Request) context.Context {
	own := Context{}
	if c != nil {
		own = *c
	}
	own.logger, own.invocation = slog.Default(), &runtime.Invocation{}
	own.deadline, _ = ctx.Deadline()
	if r != nil {
		own.invocation = runtime.NewInvocation(r)
		own.Method, own.Path = r.Method, r.URL.EscapedPath()
	}
	return context.WithValue(ctx, contextKey{}, &own)
}

// Logger names the event on each line.
func (c *Context) Logger() *slog.Logger { return c.logger.With(c.logAttributes()...) }

// Headers of the HTTP request; the names are in lower case.
func (c *Context) Headers() map[string]string { return c.invocation.Headers() }

// Query of the HTTP request.
func (c *Context) Query() url.Values {
	_, query, _ := strings.Cut(c.invocation.Path, "?")
	values, _ := url.ParseQuery(query) // without the pairs that are malformed
	return values
}

// Extensions are the CloudEvent's extension attributes.
func (c *Context) Extensions() map[string]any {
	extensions := maps.Clone(c.Attributes)
	if extensions == nil {
		extensions = map[string]any{}
	}
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"} {
		delete(extensions, name)
	}
	return extensions
}

// TraceID is the trace's id as W3C Trace Context has it, or empty.
func (c *Context) TraceID() string {
	if parts := strings.Split(c.Traceparent, "-"); len(parts) >= 4 {
		return parts[1]
	}
	return ""
}

// SpanID is the id of the invocation's span as W3C Trace Context has it, or empty.
func (c *Context) SpanID() string {
	if parts := strings.Split(c.Traceparent, "-"); len(parts) >= 4 {
		return parts[2]
	}
	return ""
}

// RemainingTime until the invocation is cut off. The handler's context ends
// then, too.
func (c *Context) RemainingTime() time.Duration { return max(0, time.Until(c.deadline)) }
