package contract

import (
	"context"
	"errors"
	"io"
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

// TestVectorsOfGo leaves out what handlers in Go have no way to return.
func TestVectorsOfGo(t *testing.T) {
	f := start(t, &language{name: "go", invoker: func(t *testing.T, s *settings, logs io.Writer) runtime.Invoker {
		t.Helper()
		i, err := lambda.NewInvoker(vector, s.timeout, s.Function, s.Namespace, runtime.NewLogger(&s.Config, logs))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}})
	contract.Run(t, f.URL, "response", "redirect", "conflict", "busy", "stream-bytes", "stream-text", "stream-values", "stream-fails", "http-error", "bad-status", "bad-header",
		"no-content", "not-modified")
}
