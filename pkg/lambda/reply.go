package lambda

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const typeText = "text/plain; charset=utf-8"

// Response is an HTTP reply for a handler to return. The reply to a CloudEvent has its
// status, and its body as data: of a response.error where the status is 400 or more.
type Response struct {
	// Status from 200 to 599. The default is 200, or 204 without a body.
	Status int
	// Header of the reply. Content-Type decides how the body is labelled, not how it is
	// encoded. The default is text/plain for a string, application/octet-stream for bytes
	// and application/json for values.
	Header  http.Header
	Cookies []*http.Cookie
	// Body is nil, a string, []byte, an io.Reader or an iter.Seq2 as a handler may return,
	// or a value that is sent as JSON.
	Body any
}

// HTTPError is an error that chooses the status and the headers of its reply. It may be
// wrapped.
type HTTPError struct {
	Status  int // from 400 to 599
	Message string
	Header  http.Header
}

func (e *HTTPError) Error() string {
	return cmp.Or(e.Message, fmt.Sprintf("HTTP status %d", e.Status))
}

// raise makes a HandlerError of an error of the handler, and logs it.
func (c *Context) raise(err error) *runtime.HandlerError {
	raised := &runtime.HandlerError{Type: typeName(err), Message: err.Error(), Permanent: isPermanent(err)}
	var status *HTTPError
	if errors.As(err, &status) {
		if status.Status < 400 || status.Status > 599 {
			return c.invalid(fmt.Errorf("the handler returned an HTTPError of status %d, expected one from 400 to 599", status.Status))
		}
		raised.Status, raised.Header = status.Status, canonical(status.Header)
	}
	c.Logger().Error(raised.Type + ": " + raised.Message)
	return raised
}

// invalid says, also on the log, that what the handler returned cannot be sent.
func (c *Context) invalid(err error) *runtime.HandlerError {
	c.Logger().Error("InvalidReply: " + err.Error())
	return &runtime.HandlerError{Type: "InvalidReply", Message: err.Error()}
}

// reply makes a result of what the handler returned.
func reply(own *invocationContext, value reflect.Value) (*runtime.Result, error) {
	if value.Kind() == reflect.Interface {
		value = value.Elem() // not valid: nil
	}
	switch value.Kind() {
	case reflect.Invalid:
		return &runtime.Result{}, nil
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func:
		if value.IsNil() {
			return &runtime.Result{}, nil
		}
	}
	switch v := value.Interface().(type) {
	case Response:
		return v.result(own)
	case *Response:
		return v.result(own)
	case event.Event:
		return encodeEvent(&v)
	case *event.Event:
		return encodeEvent(v)
	default:
		result, err := encode(own, v)
		if in := own.call.invocation; err == nil && in.Event == nil && result.ContentType == typeJSON {
			if proxied, err := runtime.ProxyReply(result.Body, in.Payload); proxied != nil || err != nil {
				return proxied, err
			}
		}
		return result, err
	}
}

// result is the response for the server, which checks status and headers.
func (r *Response) result(own *invocationContext) (*runtime.Result, error) {
	header := canonical(r.Header)
	for _, cookie := range r.Cookies {
		if err := cookie.Valid(); err != nil {
			if c, ok := r.Body.(io.Closer); ok {
				_ = c.Close() // it is not sent
			}
			return nil, fmt.Errorf("the handler returned the cookie %.100q: %w", cookie, err)
		}
		header.Add("Set-Cookie", cookie.String())
	}
	result := &runtime.Result{}
	var err error
	switch body := r.Body.(type) {
	case nil:
	case string:
		result.ContentType, result.Body = typeText, []byte(body)
	default:
		if result, err = encode(own, body); err != nil {
			return nil, err
		}
	}
	result.Status, result.Header = r.Status, header
	result.ContentType = cmp.Or(header.Get("Content-Type"), result.ContentType)
	header.Del("Content-Type")
	return result, nil
}

// canonical returns a copy with the names as net/http writes them.
func canonical(h http.Header) http.Header {
	c := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	return c
}

// encode makes a body of a value.
func encode(own *invocationContext, v any) (*runtime.Result, error) {
	switch v := v.(type) {
	case []byte:
		return &runtime.Result{ContentType: typeBytes, Body: v}, nil
	case io.Reader:
		return startStream(own, chunks(own, v), typeBytes)
	}
	if items, contentType := sequence(v); items != nil {
		return startStream(own, items, contentType)
	}
	return encodeJSON(v)
}
