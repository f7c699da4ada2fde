// Package httpapi is what the handlers of the receiver share: errors with a status,
// responses, and the reader of events.
package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
)

// StatusError is an error with the status of its response.
type StatusError struct {
	// Status of HTTP. Brokers retry 5xx, 404, 408, 409 and 429.
	Status int
	// Reason in CamelCase, for programs; it may be empty.
	Reason string

	err error
}

func (e *StatusError) Error() string { return e.err.Error() }

// Unwrap returns what Errorf wrapped.
func (e *StatusError) Unwrap() error { return e.err }

// Errorf returns a *StatusError. The format is that of fmt.Errorf.
func Errorf(status int, reason, format string, args ...any) error {
	return &StatusError{Status: status, Reason: reason, err: fmt.Errorf(format, args...)}
}

// StatusOf an error: that of a StatusError, or the one that the API server would send. The
// status of all others is given.
func StatusOf(err error, others int) int {
	var status *StatusError
	switch {
	case errors.As(err, &status):
		return status.Status
	case apierrs.IsNotFound(err):
		return http.StatusNotFound
	case apierrs.IsConflict(err):
		return http.StatusConflict
	}
	return others
}

// Outcome is the label of metrics for a status: its text, as in bad_request.
func Outcome(status int) string {
	return strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "_"))
}
