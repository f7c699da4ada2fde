package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
)

// Handle returns a handler that answers the error of serve, if there is one, with its
// status and a receiverv1.Problem. After serve has begun to write it must return nil.
func Handle(serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := serve(w, r)
		if err == nil {
			return
		}
		status := StatusOf(err, http.StatusInternalServerError)
		if status == http.StatusInternalServerError {
			slog.ErrorContext(r.Context(), "A request failed", "path", r.URL.Path, "error", err)
		}
		retryLater(w, status)
		WriteJSON(w, status, receiverv1.Problem{Error: err.Error()})
	}
}

// WriteJSON writes a response.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has disconnected
}

// RefuseEvent answers the sender of an event with an error in plain text, and returns its
// status. What may pass by itself is 503.
func RefuseEvent(w http.ResponseWriter, err error) (status int) {
	status = StatusOf(err, http.StatusServiceUnavailable)
	retryLater(w, status)
	http.Error(w, err.Error(), status)
	return status
}

// retryLater asks clients to wait for a second.
func retryLater(w http.ResponseWriter, status int) {
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
}
