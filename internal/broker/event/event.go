// Package event writes CloudEvents as messages and reads them again. Attributes are
// headers by their own names and the data is the body, as eventing-rabbitmq and the
// receiver write them, so a dead letter queue holds one form.
//
// Headers whose names begin with Reserved belong to the event plane. They are no
// attributes: names of attributes have letters and digits only.
package event

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// Reserved begins the names of headers that the event plane adds to a message. Names
	// that begin with x- are RabbitMQ's.
	Reserved = "lambda-"

	// typesHeader lists the extensions whose type a header's value does not show.
	typesHeader = Reserved + "types"
	// base64Header says that a structured delivery encodes the data in base64.
	base64Header = Reserved + "base64"
)

// Headers of attributes.
const (
	specVersion         = "specversion"
	id                  = "id"
	source              = "source"
	eventType           = "type"
	subject             = "subject"
	eventTime           = "time"
	dataSchema          = "dataschema"
	schemaURL           = "schemaurl" // dataschema in version 0.3
	dataContentEncoding = cloudevents.DataContentEncodingKey
	dataContentType     = "datacontenttype"
	// contentType is the header of the attribute datacontenttype, as in HTTP.
	contentType = "content-type"
)

// Kinds of extensions in typesHeader.
const (
	kindURI    = "uri"
	kindURIRef = "uriref"
	kindTime   = "time"
	kindBinary = "binary"
)

// Encode an event. It fails with an *AttributeError if an attribute cannot be stored
// without loss, or if the headers are longer than MaxHeaders.
func Encode(e *cloudevents.Event) (*queue.Message, error) {
	w := writer{headers: map[string]any{}}
	switch c := e.Context.(type) {
	case *cloudevents.EventContextV1:
		w.common(cloudevents.CloudEventsVersionV1, c.ID, c.Type, &c.Source, c.Subject, c.Time, c.DataContentType)
		if c.DataSchema != nil {
			w.uri(dataSchema, &c.DataSchema.URL)
		}
	case *cloudevents.EventContextV03:
		w.common(cloudevents.CloudEventsVersionV03, c.ID, c.Type, &c.Source, c.Subject, c.Time, c.DataContentType)
		if c.SchemaURL != nil {
			w.uri(schemaURL, &c.SchemaURL.URL)
		}
		w.optional(dataContentEncoding, c.DataContentEncoding)
	default:
		return nil, errors.New("the event has no attributes")
	}
	for name, value := range e.Extensions() {
		w.extension(name, value)
	}
	if w.err != nil {
		return nil, w.err
	}
	if e.DataBase64 {
		w.headers[base64Header] = true
	}
	if len(w.types) > 0 {
		slices.Sort(w.types)
		w.headers[typesHeader] = strings.Join(w.types, ",")
	}
	if err := checkSize(w.headers, MaxHeaders); err != nil {
		return nil, err
	}
	return &queue.Message{Headers: w.headers, Body: e.Data()}, nil
}

// writer of headers, up to the first error.
type writer struct {
	headers map[string]any
	types   []string
	err     error
}

func (w *writer) fail(name, format string, args ...any) {
	w.keep(&AttributeError{name, fmt.Sprintf(format, args...)})
}

func (w *writer) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) common(version, eventID, typ string, src *cetypes.URIRef, subj *string, t *cetypes.Timestamp, mediaType *string) {
	w.headers[specVersion], w.headers[id], w.headers[eventType] = version, eventID, typ
	w.uri(source, &src.URL)
	w.optional(subject, subj)
	w.optional(contentType, mediaType)
	if t != nil && !t.IsZero() {
		w.time(eventTime, t.Time)
	}
}

func (w *writer) optional(name string, value *string) {
	if value != nil && *value != "" {
		w.headers[name] = *value
	}
}

// uri is stored if reading it gives the same text: filters and keys compare it.
func (w *writer) uri(name string, u *url.URL) {
	text := u.String()
	if again, err := url.Parse(text); err != nil || again.String() != text {
		w.fail(name, "%q is no URI reference", text)
		return
	}
	w.headers[name] = text
}

// time with its offset, which filters see, and its nanoseconds, which AMQP's own type
// of times does not have.
func (w *writer) time(name string, t time.Time) {
	text := t.Format(time.RFC3339Nano)
	if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
		w.fail(name, "%s is not a time of RFC 3339", text)
		return
	}
	w.headers[name] = text
}

func (w *writer) extension(name string, value any) {
	if err := CheckName(name); err != nil {
		w.keep(err)
		return
	}
	if isAttribute(name, w.headers[specVersion] == cloudevents.CloudEventsVersionV03) {
		w.fail(name, "an extension has the name of an attribute")
		return
	}
	switch v := value.(type) {
	case string, bool, int32:
		w.headers[name] = v
	case []byte:
		w.headers[name] = v
		w.typed(name, kindBinary)
	case cetypes.Timestamp:
		w.time(name, v.Time)
		w.typed(name, kindTime)
	case cetypes.URI:
		w.uri(name, &v.URL)
		w.typed(name, kindURI)
	case cetypes.URIRef:
		w.uri(name, &v.URL)
		w.typed(name, kindURIRef)
	default:
		w.fail(name, "%T is no type of an attribute", value)
	}
}

func (w *writer) typed(name, kind string) { w.types = append(w.types, name+":"+kind) }

// isAttribute of version 1.0, or of 0.3.
func isAttribute(name string, v03 bool) bool {
	switch name {
	case specVersion, id, source, eventType, subject, eventTime, dataContentType:
		return true
	case dataSchema:
		return !v03
	case schemaURL, dataContentEncoding:
		return v03
	}
	return false
}
