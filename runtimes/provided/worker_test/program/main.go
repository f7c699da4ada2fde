// Command program is the handler of the contract's tests as a program for AWS
// Lambda's runtime API, with the public library unmodified.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// PermanentError is permanent by its name.
type PermanentError struct{ message string }

func (e PermanentError) Error() string { return e.message }

// ValueError has a type of its own.
type ValueError struct{ message string }

func (e ValueError) Error() string { return e.message }

type command struct {
	Do, What, Started, Until string
}

func returns(what string) any {
	event := map[string]any{"specversion": "1.0", "type": "io.example.reply"}
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
	case "event":
		event["data"] = map[string]int{"a": 1}
		return event
	case "full":
		event["id"], event["source"], event["subject"], event["time"] = "own-id", "/own", "own-subject", "2026-01-02T00:00:00Z"
		event["datacontenttype"], event["myext"], event["count"], event["lambdahops"], event["data"] = "text/plain", "x", 3, 0, "text"
		return event
	case "bare":
		return event
	case "nested":
		event["data"] = map[string]string{"specversion": "1.0", "type": "inner"}
		return event
	case "invalid":
		event["type"] = ""
		return event
	case "bad extension":
		event["not_valid"] = "x"
		return event
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
		return ValueError{"it: failed"}
	case "permanent":
		return PermanentError{"for good"}
	case "panic":
		panic(errors.New("broken"))
	case "crash":
		os.Exit(3)
	}
	return nil
}

func handle(ctx context.Context, event json.RawMessage) (any, error) {
	var c command
	_ = json.Unmarshal(event, &c) // it may be another event
	switch c.Do {
	case "return":
		return returns(c.What), nil
	case "fail":
		return nil, fails(c.What)
	case "wait":
		if err := os.WriteFile(c.Started, nil, 0o600); err != nil {
			return nil, err
		}
		for {
			if _, err := os.Stat(c.Until); err == nil {
				return "done", nil
			}
			time.Sleep(time.Millisecond)
		}
	case "context":
		return told(ctx), nil
	}
	if string(event) == "null" {
		return map[string]any{"kind": "nothing", "value": nil}, nil
	}
	return map[string]any{"kind": "value", "value": event}, nil
}

func told(ctx context.Context) map[string]any {
	deadline, _ := ctx.Deadline()
	c, _ := lambdacontext.FromContext(ctx)
	return map[string]any{"custom": c.ClientContext.Custom, "arn": c.InvokedFunctionArn, "remaining": time.Until(deadline) > 15*time.Second,
		"name": lambdacontext.FunctionName, "trace": os.Getenv("_X_AMZN_TRACE_ID"), "id": c.AwsRequestID != "", "handler": os.Getenv("_HANDLER")}
}

func main() {
	if os.Getenv("TEST_FAIL_AT_START") != "" {
		fmt.Fprintln(os.Stderr, "cannot go on")
		os.Exit(4)
	}
	if os.Getenv("TEST_HTTP") != "" {
		lambda.Start(handleHTTP)
	}
	lambda.Start(handle)
}
