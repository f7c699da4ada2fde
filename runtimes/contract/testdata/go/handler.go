// Package function is the handler of the contract's tests, in Go.
package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
)

// Own is an error that is permanent by its own type.
type Own struct{ message string }

func (e *Own) Error() string { return e.message }

// Permanent says so.
func (*Own) Permanent() bool { return true }

func returns(what string) any {
	e := lambda.NewEvent("io.example.reply")
	switch what {
	case "text":
		return "a text"
	case "list":
		return []any{1, "é"}
	case "number":
		return 1.5
	case "false":
		return false
	case "empty":
		return struct{}{}
	case "bytes":
		return []byte{0, 1}
	case "event":
		_ = e.SetData("application/json", map[string]int{"a": 1})
		return e
	case "full":
		e.SetID("own-id")
		e.SetSource("/own")
		e.SetSubject("own-subject")
		e.SetTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
		e.SetExtension("myext", "x")
		e.SetExtension("count", 3)
		e.SetExtension("lambdahops", 0)
		_ = e.SetData("text/plain", "text")
		return &e
	case "bare":
		return e
	case "nested":
		_ = e.SetData("application/json", map[string]string{"specversion": "1.0", "type": "inner"})
		return e
	case "invalid":
		return event.New()
	case "bad extension":
		e.SetExtension("not_valid", "x")
		return e
	case "unwritable":
		return map[string]any{"o": func() {}}
	case "nan":
		return math.NaN()
	case "long":
		return strings.Repeat("x", 2<<20)
	}
	return nil
}

func fails(what string) error {
	switch what {
	case "error":
		return errors.New("it: failed")
	case "permanent":
		return lambda.Permanent(errors.New("for good"))
	case "own":
		return fmt.Errorf("%w", &Own{"for good too"})
	case "exit":
		panic(3)
	}
	return nil
}

// Handler is called with whatever the content type says.
func Handler(ctx context.Context, data any) (any, error) {
	command, _ := data.(map[string]any)
	what, _ := command["what"].(string)
	switch command["do"] {
	case "return":
		return returns(what), nil
	case "fail":
		return nil, fails(what)
	case "log":
		fmt.Println("printed")
		fmt.Fprintln(os.Stderr, "two\nlines")
		logger := lambda.FromContext(ctx).Logger()
		logger.Info("told")
		logger.Warn("warned")
		logger.Debug("whispered")
		return nil, nil
	case "wait":
		started, _ := command["started"].(string)
		until, _ := command["until"].(string)
		return wait(ctx, started, until)
	case "context":
		return told(lambda.FromContext(ctx)), nil
	}
	kind, value := "value", data
	if bytes, ok := data.([]byte); ok {
		kind, value = "bytes", string(bytes)
	} else if data == nil {
		kind = "nothing"
	}
	return map[string]any{"kind": kind, "value": value}, nil
}

func wait(ctx context.Context, started, until string) (any, error) {
	if err := os.WriteFile(started, nil, 0o600); err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(until); err == nil {
			return "done", nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func told(c *lambda.Context) json.Marshaler {
	when := ""
	if !c.Time.IsZero() {
		when = c.Time.Format(time.RFC3339Nano)
	}
	remaining := c.RemainingTime()
	return object{"id": c.ID, "type": c.Type, "source": c.Source, "subject": c.Subject, "time": when, "extensions": c.Extensions(),
		"remaining": 15*time.Second < remaining && remaining <= 20*time.Second, "method": c.Method, "path": c.Path, "header": c.Headers()["x-own"],
		"traceparent": c.Traceparent, "trace": c.TraceID(), "name": c.FunctionName, "namespace": c.FunctionNamespace}
}

// object writes itself, as types of users may.
type object map[string]any

func (o object) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]any(o)) }
