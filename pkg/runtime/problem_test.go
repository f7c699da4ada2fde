package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"knative.dev/eventing/pkg/kncloudevents"
)

// TestProblemOf_Retries: the event plane retries what another attempt may help, and
// nothing else.
func TestProblemOf_Retries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		err     error
		status  int
		retried bool
	}{
		{"an error of the handler", &HandlerError{Type: "ValueError"}, http.StatusInternalServerError, true},
		{"a permanent error", &HandlerError{Type: "PermanentError", Permanent: true}, http.StatusUnprocessableEntity, false},
		{"bad input", &HandlerError{Type: "InvalidRequest", BadInput: true}, http.StatusBadRequest, false},
		{"a timeout", TimedOut(time.Second), http.StatusGatewayTimeout, true},
		{"too many requests", fmt.Errorf("%w: 1000", ErrBusy), http.StatusServiceUnavailable, true},
		{"a worker that died", fmt.Errorf("%w: signal", ErrWorkerDied), http.StatusInternalServerError, true},
		{"attributes too long", fmt.Errorf("%w: 2 MiB", ErrRequestTooLong), http.StatusRequestHeaderFieldsTooLarge, false},
		{"a reply too long", fmt.Errorf("%w: 2 MiB", ErrReplyTooLong), http.StatusInternalServerError, true},
		{"a client that hung up", context.Canceled, http.StatusServiceUnavailable, true},
		{"any other error", errors.New("other"), http.StatusInternalServerError, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := problemOf(tt.err, false)
			if p.status != tt.status || p.data.Permanent == tt.retried {
				t.Errorf("problemOf() = %d, permanent %t; want %d, %t", p.status, p.data.Permanent, tt.status, !tt.retried)
			}
			retried, err := kncloudevents.SelectiveRetry(t.Context(), &http.Response{StatusCode: p.status}, nil)
			if retried != tt.retried || err != nil {
				t.Errorf("the event plane retries %d: %t, %v; want %t", p.status, retried, err, tt.retried)
			}
		})
	}
}
