package lambda

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

func TestResponses(t *testing.T) {
	for name, tt := range map[string]struct {
		response Response
		want     runtime.Result
	}{
		"nothing":       {Response{}, runtime.Result{Header: http.Header{}}},
		"text":          {Response{Body: "a"}, runtime.Result{ContentType: "text/plain; charset=utf-8", Body: []byte("a"), Header: http.Header{}}},
		"bytes":         {Response{Body: []byte("a")}, runtime.Result{ContentType: "application/octet-stream", Body: []byte("a"), Header: http.Header{}}},
		"value":         {Response{Body: []int{1}}, runtime.Result{ContentType: "application/json", Body: []byte("[1]"), Header: http.Header{}}},
		"own type":      {Response{Header: http.Header{"content-type": {"text/html"}}, Body: "a"}, runtime.Result{ContentType: "text/html", Body: []byte("a"), Header: http.Header{}}},
		"type of value": {Response{Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: 1}, runtime.Result{ContentType: "application/problem+json", Body: []byte("1"), Header: http.Header{}}},
		"names of headers": {Response{Header: http.Header{"x-a": {"1"}, "X-A": {"1"}}, Status: 404},
			runtime.Result{Status: 404, Header: http.Header{"X-A": {"1", "1"}}}},
		"cookies": {Response{Header: http.Header{"Set-Cookie": {"x=1"}}, Cookies: []*http.Cookie{{Name: "a", Value: "1", Path: "/", Secure: true}}},
			runtime.Result{Header: http.Header{"Set-Cookie": {"x=1", "a=1; Path=/; Secure"}}}},
		"no shape of AWS Lambda": {Response{Body: map[string]int{"statusCode": 418}},
			runtime.Result{ContentType: "application/json", Body: []byte(`{"statusCode":418}`), Header: http.Header{}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, handler := range []any{func() Response { return tt.response }, func() any { return &tt.response }} {
				got, err := invoker(t, handler).Invoke(t.Context(), &runtime.Invocation{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, *got); diff != "" {
					t.Errorf("(-want, +got):\n%s", diff)
				}
			}
		})
	}
}

type closer struct {
	io.Reader
	closed chan struct{}
}

func (c closer) Close() error { close(c.closed); return nil }

func TestInvalidResponses(t *testing.T) {
	body := closer{strings.NewReader("x"), make(chan struct{})}
	for want, response := range map[string]Response{
		`the handler returned the cookie "": http: invalid Cookie.Name`: {Cookies: []*http.Cookie{{Name: "a b"}}, Body: body},
		`the handler returned a value of type chan int that cannot be`:  {Body: make(chan int)},
	} {
		_, err := invoker(t, func() Response { return response }).Invoke(t.Context(), &runtime.Invocation{})
		var raised *runtime.HandlerError
		if !errors.As(err, &raised) || raised.Type != "InvalidReply" || !strings.HasPrefix(raised.Message, want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	<-body.closed
}

func TestHTTPErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want runtime.HandlerError
	}{
		"own":       {&HTTPError{Status: 405, Message: "GET only", Header: http.Header{"allow": {"GET"}}}, runtime.HandlerError{Type: "HTTPError", Message: "GET only", Status: 405, Header: http.Header{"Allow": {"GET"}}}},
		"wrapped":   {fmt.Errorf("order 1: %w", &HTTPError{Status: 404}), runtime.HandlerError{Type: "HTTPError", Message: "order 1: HTTP status 404", Status: 404, Header: http.Header{}}},
		"permanent": {Permanent(&HTTPError{Status: 400, Message: "x"}), runtime.HandlerError{Type: "PermanentError", Message: "x", Status: 400, Permanent: true, Header: http.Header{}}},
		"no error":  {&HTTPError{Status: 200}, runtime.HandlerError{Type: "InvalidReply", Message: "the handler returned an HTTPError of status 200, expected one from 400 to 599"}},
	} {
		_, err := invoker(t, func() error { return tt.err }).Invoke(t.Context(), &runtime.Invocation{})
		var raised *runtime.HandlerError
		if !errors.As(err, &raised) {
			t.Fatalf("%s: error %v", name, err)
		}
		if diff := cmp.Diff(tt.want, *raised); diff != "" {
			t.Errorf("%s (-want, +got):\n%s", name, diff)
		}
	}
}
