// Package config holds what the controller and the runtime of a function have to read
// alike: the names of variables, and the types of those that are JSON.
package config

import (
	"fmt"
	"slices"
	"time"
)

// Variables of a function's container. docs/runtime-variables.md says what they mean.
const (
	EnvConcurrency  = "LAMBDA_CONCURRENCY"
	EnvWorkers      = "LAMBDA_WORKERS"
	EnvIsolation    = "LAMBDA_ISOLATION"
	EnvInterface    = "LAMBDA_INTERFACE"
	EnvHTTPEvent    = "LAMBDA_HTTP_EVENT"
	EnvTimeout      = "LAMBDA_TIMEOUT"
	EnvDrainTimeout = "LAMBDA_DRAIN_TIMEOUT"
	EnvMaxBody      = "LAMBDA_MAX_BODY"
	// EnvCORS is a CORS as JSON.
	EnvCORS = "LAMBDA_HTTP_CORS"
)

// ReadyPath of the runtime answers 200 while the function takes calls.
const ReadyPath = "/.well-known/knative-lambda/ready"

// Values of EnvIsolation.
const (
	IsolationShared    = "shared"    // many calls at once in each worker process
	IsolationExclusive = "exclusive" // one call at a time in each
)

// Protocols that workers may speak.
const (
	ProtocolFrames  = "frames"     // docs/worker-protocol.md
	ProtocolFrames2 = "frames-2"   // docs/runtime-protocol.md
	ProtocolAWS     = "aws-lambda" // the runtime API of AWS Lambda
)

// Values of EnvHTTPEvent: what a handler gets for a request that is no CloudEvent.
const (
	HTTPEventDecoded = "decoded" // the body, decoded by its content type
	HTTPEventAWS     = "aws-v2"  // the request as payload 2.0 of AWS Lambda's function URLs
)

// InterfaceAuto lets the worker recognize the handler's kind.
const InterfaceAuto = "auto"

// Interfaces are the values of EnvInterface; the first is the default.
func Interfaces() []string {
	return []string{InterfaceAuto, "handler", "asgi", "wsgi", "listener", "fetch"}
}

// Bounds of numbers.
const (
	MaxConcurrency = 1000
	MaxWorkers     = 64
	MinMaxBody     = 1 << 10
	MaxMaxBody     = 1 << 30
	DefaultMaxBody = 16 << 20
)

// Defaults of a function's calls.
const (
	DefaultConcurrency = 100
	DefaultTimeout     = 295 * time.Second
)

// FieldError is a field whose value is wrong.
type FieldError struct {
	Field    string // such as allowOrigins[1]
	Value    any
	Expected string // what would be right
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: expected %s, got %q", e.Field, e.Expected, fmt.Sprint(e.Value))
}

// IsToken reports whether the text is a token of RFC 9110, as methods and names of
// headers are.
func IsToken(text string) bool {
	return text != "" && !slices.ContainsFunc([]byte(text), func(c byte) bool {
		return c <= ' ' || c >= 0x7f || slices.Contains([]byte(`"(),/:;<=>?@[\]{}`), c)
	})
}
