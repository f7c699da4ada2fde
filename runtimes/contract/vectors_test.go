package contract

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/contract"
)

// ExampleError is that of the vectors.
type ExampleError struct{ permanent bool }

func (ExampleError) Error() string     { return "it failed" }
func (e ExampleError) Permanent() bool { return e.permanent }

// vector returns what the vectors say.
func vector(ctx context.Context, event any) (any, error) {
	c := lambda.FromContext(ctx)
	switch name := strings.TrimPrefix(c.Path, "/"); name {
	case "none":
		return nil, nil
	case "value":
		return map[string]int{"a": 1}, nil
	case "text", "head":
		return "a text", nil
	case "number":
		return 1.5, nil
	case "false":
		return false, nil
	case "bytes":
		return []byte{0, 1}, nil
	case "event":
		e := lambda.NewEvent("io.example.reply")
		e.SetExtension("count", 3)
		return e, e.SetData("application/json", map[string]int{"a": 1})
	case "aws":
		return map[string]any{"statusCode": 418, "headers": map[string]string{"x-a": "1", "content-type": "text/plain"}, "cookies": []string{"a=1"}, "body": "dGVh", "isBase64Encoded": true}, nil
	case "not-aws":
		return map[string]int{"statusCode": 418, "other": 1}, nil
	case "response":
		return lambda.Response{Status: 201, Header: http.Header{"x-a": {"1", "2"}}, Body: map[string]bool{"ok": true},
			Cookies: []*http.Cookie{{Name: "a", Value: "1"}, {Name: "b", Value: "2", HttpOnly: true}}}, nil
	case "redirect":
		return &lambda.Response{Status: 302, Header: http.Header{"Location": {"/there"}}}, nil
	case "conflict":
		return lambda.Response{Status: 409, Body: map[string]string{"why": "there is one"}}, nil
	case "busy":
		return lambda.Response{Status: 503, Header: http.Header{"Retry-After": {"7"}}, Body: []int{}}, nil
	case "stream-bytes":
		return items(nil, []byte("a"), []byte("b")), nil
	case "stream-text":
		return items(nil, "a", "b"), nil
	case "stream-values":
		return items(nil, map[string]int{"a": 1}, map[string]int{"a": 2}), nil
	case "stream-fails":
		return items(ExampleError{}, "a"), nil
	case "http-error":
		return nil, &lambda.HTTPError{Status: 405, Message: "GET only", Header: http.Header{"Allow": {"GET"}}}
	case "bad-status":
		return lambda.Response{Status: 99}, nil
	case "bad-header":
		return lambda.Response{Header: http.Header{"X-A": {"a\nb"}}}, nil
	case "no-content":
		return lambda.Response{Status: 204, Body: "x"}, nil
	case "not-modified":
		return lambda.Response{Status: 304, Header: http.Header{"ETag": {`"1"`}}, Body: "x"}, nil
	case "error", "permanent":
		return nil, ExampleError{name == "permanent"}
	case "unserialisable":
		return map[string]any{"c": make(chan int)}, nil
	case "echo":
		return event, nil
	case "context":
		return map[string]string{"method": c.Method, "path": c.Path}, nil
	}
	return nil, errors.New("there is no such vector")
}

// items yields values, and then an error if there is one.
func items[T any](err error, values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			yield(*new(T), err)
		}
	}
}

func TestVectorsOfGo(t *testing.T) {
	f := start(t, &language{name: "go", invoker: func(t *testing.T, s *settings, logs io.Writer) runtime.Invoker {
		t.Helper()
		i, err := lambda.NewInvoker(vector, runtime.Limits{Timeout: s.timeout, Concurrency: 100}, s.Function, s.Namespace, runtime.NewLogger(&s.Config, logs))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}})
	contract.Run(t, f.URL)
}
