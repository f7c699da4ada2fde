// Package protocol is version 2 of the protocol between the runtime, which speaks
// HTTP, and its workers, which call the handler. docs/runtime-protocol.md is its
// specification. The package is for authors of workers in Go and imports the standard
// library only.
package protocol

import "unicode/utf8"

// Version of the protocol, as a worker's ready frame names it.
const Version = 2

// Limits. Lengths are in bytes.
const (
	MaxHeader  = 1 << 20  // of a frame
	MaxChunk   = 64 << 10 // of one piece of a streamed body
	MaxMessage = 16 << 10 // of an error's message
	MaxStack   = 64 << 10 // of an error's stack trace
	MaxSlots   = 1000     // of one worker
	// MaxReplyHeaders and MaxReplyLines bound the header of an HTTP reply: proxies
	// answer 502 in its stead above 60 KiB or 100 lines, and add some of their own.
	MaxReplyHeaders = 56 << 10
	MaxReplyLines   = 90
)

// Environment variables that tell a worker its descriptors.
const (
	EnvControl = "LAMBDA_WORKER_FD"    // the control connection
	EnvSlots   = "LAMBDA_WORKER_SLOTS" // how many slots follow it: slot n is LAMBDA_WORKER_FD + n
)

// Kind of a frame.
type Kind string

// Kinds of frames. A frame without a header is a chunk.
const (
	Ready  Kind = "ready"  // control, by the worker: the handler is loaded
	Failed Kind = "failed" // control, by the worker: it cannot be loaded
	Retire Kind = "retire" // control, by the worker: no more calls, please
	Pong   Kind = "pong"   // control, by the worker
	Open   Kind = "open"   // control, by the runtime: a slot is about to be used
	Cancel Kind = "cancel" // control, by the runtime: the answer is no longer awaited
	Ping   Kind = "ping"   // control, by the runtime
	Drain  Kind = "drain"  // control, by the runtime: the pod stops
	Invoke Kind = "invoke" // slot, by the runtime: call the handler
	Result Kind = "result" // slot, by the worker: what the handler returned
	End    Kind = "end"    // slot, by the worker: end of a streamed result, with trailers
	Error  Kind = "error"  // slot, by either: what the handler raised, or why the request body ends early
)

// Reasons of a cancel.
const (
	ReasonTimeout    = "timeout"    // the call has reached its timeout
	ReasonDisconnect = "disconnect" // the client closed its connection
)

// Interfaces of handlers, as ready names them. For all but InterfaceHandler the
// runtime passes requests and replies on as they are.
const (
	InterfaceHandler = "handler" // (event, context)
	InterfaceASGI    = "asgi"
	InterfaceWSGI    = "wsgi"
	InterfaceFetch   = "fetch"
	// InterfaceListener serves HTTP/1.1 itself; its slots count calls and are not opened.
	InterfaceListener = "listener"
)

// Pair is a name and a value. Lists of pairs hold names more than once.
type Pair [2]string

// Control is the header of a frame on the control connection. Its kind says which
// fields it has.
type Control struct {
	Kind Kind `json:"kind"`

	Protocol      int    `json:"protocol,omitempty"`      // of ready
	Interface     string `json:"interface,omitempty"`     // of ready
	Address       string `json:"address,omitempty"`       // of ready: where InterfaceListener listens
	RequestStream bool   `json:"requestStream,omitempty"` // of ready: takes bodies as they arrive
	Parallel      bool   `json:"parallel,omitempty"`      // of ready: one process uses all CPUs

	Message string `json:"message,omitempty"` // of failed and retire
	ID      uint64 `json:"id,omitempty"`      // of cancel, ping and pong
	Slot    int    `json:"slot,omitempty"`    // of open and cancel, from 1
	Reason  string `json:"reason,omitempty"`  // of cancel
	Timeout int64  `json:"timeout,omitempty"` // of drain, in milliseconds
}

// Call is the header of an invoke frame.
type Call struct {
	Kind    Kind   `json:"kind"`
	ID      uint64 `json:"id"`
	Timeout int64  `json:"timeout"` // milliseconds from now on

	Method string `json:"method"`
	Path   string `json:"path"` // as sent, without the query
	Query  []Pair `json:"query,omitempty"`
	// RawQuery is the query as sent, for interfaces other than InterfaceHandler.
	RawQuery string `json:"rawQuery,omitempty"`
	Headers  []Pair `json:"headers,omitempty"` // names in lower case
	Form     []Pair `json:"form,omitempty"`
	Parts    []Part `json:"parts,omitempty"`

	ContentType string         `json:"contentType,omitempty"`
	Event       map[string]any `json:"event,omitempty"`
	Traceparent string         `json:"traceparent,omitempty"`
	Tracestate  string         `json:"tracestate,omitempty"`

	More bool `json:"more,omitempty"` // chunks follow
}

// Part of a multipart form, whose content is within the body.
type Part struct {
	Name        string `json:"name"`
	Filename    string `json:"filename,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	Offset      int    `json:"offset"`
	Length      int    `json:"length"`
}

// Answer is the header of a result, end or error frame. Its kind says which fields
// it has.
type Answer struct {
	Kind Kind   `json:"kind"`
	ID   uint64 `json:"id"`

	Status      int            `json:"status,omitempty"`  // of result and error
	Headers     []Pair         `json:"headers,omitempty"` // of result and error
	Cookies     []string       `json:"cookies,omitempty"` // of result: values of Set-Cookie
	ContentType string         `json:"contentType,omitempty"`
	Event       map[string]any `json:"event,omitempty"`
	More        bool           `json:"more,omitempty"`     // of result: chunks follow
	Trailers    []Pair         `json:"trailers,omitempty"` // of end

	Type      string `json:"type,omitempty"` // of error, as all that follow
	Message   string `json:"message,omitempty"`
	Stack     string `json:"stack,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	BadInput  bool   `json:"badInput,omitempty"`
}

// Cut returns text shortened to at most length bytes, without half a character.
func Cut(text string, length int) string {
	if len(text) <= length {
		return text
	}
	for length > 0 && !utf8.RuneStart(text[length]) {
		length--
	}
	return text[:length]
}
