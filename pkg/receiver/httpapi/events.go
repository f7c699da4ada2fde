package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
)

// EventReader reads the events of one handler, within limits that its requests share.
type EventReader struct {
	gate *httpserver.Gate
	max  int64
}

// NewEventReader returns an EventReader of events with at most so many bytes.
func NewEventReader(limits httpserver.Limits, maxBytes int64) *EventReader {
	return &EventReader{gate: httpserver.NewGate(limits), max: maxBytes}
}

// Read returns the event of a request, on the account of a key. prepare, if it is not nil,
// changes the event before its attributes are checked. Call release when nothing refers to
// the event. The error is a *StatusError.
func (e *EventReader) Read(w http.ResponseWriter, r *http.Request, key string, prepare func(*event.Event)) (
	read *event.Event, release func(), err error,
) {
	read, release, err = e.gate.ReadEvent(w, r, e.max, key)
	if err != nil {
		return nil, nil, refused(err)
	}
	if prepare != nil {
		prepare(read)
	}
	if err := httpserver.CheckAttributes(read); err != nil {
		release()
		return nil, nil, refused(err)
	}
	return read, release, nil
}

// Used returns how many bytes are reserved.
func (e *EventReader) Used() int64 { return e.gate.Used() }

// Enter waits for a place among those of a namespace, and returns what gives it back. The
// error is a *StatusError.
func (e *EventReader) Enter(ctx context.Context, namespace string) (leave func(), err error) {
	leave, err = e.gate.Enter(ctx, namespace)
	if err != nil {
		return nil, Errorf(http.StatusServiceUnavailable, "Busy",
			"too many requests of namespace %s or of all are in progress; try again later", namespace)
	}
	return leave, nil
}

func refused(err error) error {
	var event *httpserver.EventError
	if errors.As(err, &event) {
		return Errorf(event.Status, "InvalidRequest", "%w", err)
	}
	return Errorf(http.StatusServiceUnavailable, "Unavailable", "%w", err)
}

// EventKey identifies an event: two are the same if their source and id are.
func EventKey(e *event.Event) string {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	return hex.EncodeToString(sum[:8])
}
