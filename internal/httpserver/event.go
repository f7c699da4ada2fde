package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
)

// EventError is why a request's event was refused.
type EventError struct {
	// Status for the sender. 503 is the only one that another attempt may change.
	Status  int
	Message string
}

func (e *EventError) Error() string { return e.Message }

// ReadEvent reads the one CloudEvent of a request, whose body may have limit bytes, on
// the account of a key of the budget. Call release once nothing keeps the event any
// more; it is nil where err is not. err is an *EventError.
func ReadEvent(w http.ResponseWriter, r *http.Request, limit int64, budget *Budget, key string) (e *event.Event, release func(), err error) {
	encoding := cehttp.NewMessageFromHttpRequest(r).ReadEncoding()
	if r.ContentLength <= limit && (encoding == binding.EncodingUnknown || encoding == binding.EncodingBatch) {
		return nil, nil, &EventError{http.StatusUnsupportedMediaType, "expected one CloudEvent, in the binary or the structured mode"}
	}
	whole, release, err := readPieces(w, r, limit, budget, key)
	if err != nil {
		return nil, nil, err
	}
	r.Body = io.NopCloser(whole.reader())
	if e, err = ceio.Read(r.Context(), cehttp.NewMessageFromHttpRequest(r)); err != nil {
		release()
		return nil, nil, readError(r, limit, err)
	}
	return e, release, nil
}

func tooLong(limit int64) error {
	return &EventError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the event is longer than %d bytes", limit)}
}

// readError of an event or a body.
func readError(r *http.Request, limit int64, err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLong(limit)
	case errors.Is(err, ErrBusy):
		return &EventError{http.StatusServiceUnavailable, ErrBusy.Error()}
	case errors.Is(err, context.Canceled) || r.Context().Err() != nil:
		return &EventError{http.StatusRequestTimeout, "the request ended before its event had been read"}
	}
	return &EventError{http.StatusBadRequest, "not a valid CloudEvent: " + strings.TrimSpace(err.Error())}
}

// CheckAttributes refuses control characters, which the specification of CloudEvents
// does not allow in attributes: such an event could not be sent as HTTP headers, and
// would write to the terminal of those who list it. The error is an *EventError.
func CheckAttributes(e *event.Event) error {
	attributes := map[string]string{"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "datacontenttype": e.DataContentType(), "dataschema": e.DataSchema()}
	for name, value := range e.Extensions() {
		if text, ok := value.(string); ok {
			attributes[name] = text
		}
	}
	first := ""
	for name, value := range attributes {
		if strings.ContainsFunc(value, unicode.IsControl) && (first == "" || name < first) {
			first = name
		}
	}
	if first == "" {
		return nil
	}
	return &EventError{http.StatusBadRequest, fmt.Sprintf("attribute %s has control characters, which attributes of a CloudEvent must not have; remove them", first)}
}

// ReadBody reads the body of a request as ReadEvent does. err is an *EventError.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, budget *Budget, key string) (data []byte, release func(), err error) {
	whole, release, err := readPieces(w, r, limit, budget, key)
	return whole.join(), release, err
}

// readPieces reads a whole body on the account of a key. err is an *EventError.
func readPieces(w http.ResponseWriter, r *http.Request, limit int64, budget *Budget, key string) (whole pieces, release func(), err error) {
	if r.ContentLength > limit {
		return nil, nil, tooLong(limit)
	}
	body := budget.Body(key, http.MaxBytesReader(w, r.Body, limit))
	defer func() {
		if whole == nil { // after a panic, too
			body.Release()
		}
	}()
	if whole, err = body.readAll(r.ContentLength); err != nil {
		return nil, nil, readError(r, limit, err)
	}
	return whole, body.Release, nil
}
