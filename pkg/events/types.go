// Package events holds the CloudEvents types of the platform:
// io.knative.lambda.<category>.<entity>.<action>.
package events

const prefix = "io.knative.lambda."

// Types of the events with which functions answer.
const (
	// ResponseSuccess carries what a handler returned.
	ResponseSuccess = prefix + "response.success"
	// ResponseError carries an Error: the handler failed.
	ResponseError = prefix + "response.error"
	// ResponseTimeout carries an Error: the handler took too long.
	ResponseTimeout = prefix + "response.timeout"
)

// Extension attributes of the platform.
const (
	// HopsExtension counts how many functions and agents an event has come
	// through.
	HopsExtension = "lambdahops"
	// CausationExtension is the id of the event that an event answers.
	CausationExtension = "causationid"
)

// MaxHops that an event may have; one more and it is refused, so that functions
// that answer each other do not do so for ever.
const MaxHops = 10

// Error is the data of ResponseError and ResponseTimeout.
type Error struct {
	// Type of the error, in the words of the function's language.
	Type string `json:"type"`
	// Message of the error.
	Message string `json:"message"`
	// Permanent errors come again with each retry.
	Permanent bool `json:"permanent"`
	// Stack trace, where the function's owner turned it on.
	Stack string `json:"stack,omitempty"`
}

// Source of the events that a function emits.
func Source(component, namespace, name string) string {
	return "io.knative.lambda/" + component + "/" + namespace + "/" + name
}
