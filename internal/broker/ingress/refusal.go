package ingress

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// When a sender may try again. A blocked or full message broker needs longer than a
// namespace whose events are being stored.
const (
	retryShare       = time.Second
	retryUnavailable = 5 * time.Second
	retryBlocked     = 15 * time.Second
)

// Refusal is why an event was not accepted.
type Refusal struct {
	// Status of HTTP. 429 and 503 are worth another attempt.
	Status int
	// Reason is the label of the metric.
	Reason string
	// Message for the sender.
	Message string
	// RetryAfter is when another attempt is worth it; 0 is not said.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return r.Message }

func refusef(status int, reason, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (r *Refusal) write(w http.ResponseWriter) {
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(r.RetryAfter.Seconds())))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.Status)
	fmt.Fprintln(w, strings.ToValidUTF8(r.Message, "�"))
}

// maxEcho bounds how much of a sender's text an answer or a log line repeats.
const maxEcho = 128

func clip(text string) string {
	if len(text) <= maxEcho {
		return text
	}
	return text[:maxEcho] + "…"
}
