package event

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
)

// structured is the media type of a message whose body is a whole event.
const structured = "application/cloudevents+json"

// prefixes of attributes in messages that others wrote. CloudEvents' AMQP binding has
// the first two.
var prefixes = []string{"cloudevents:", "cloudevents_", "ce-"}

// Decode a message that Encode, eventing-rabbitmq or the receiver has written. The event
// is valid, or the error says what it lacks. The event's data is the message's body: it
// must not be changed.
func Decode(m *queue.Message) (*cloudevents.Event, error) {
	attributes := attributesOf(m.Headers)
	r := reader{attributes: attributes, kinds: kindsOf(m.Headers)}
	version := r.text(specVersion)
	if version == "" {
		return decodeStructured(m, r.text(contentType))
	}
	e := &cloudevents.Event{}
	switch version {
	case cloudevents.CloudEventsVersionV1:
		e.Context = r.v1()
	case cloudevents.CloudEventsVersionV03:
		e.Context = r.v03()
	default:
		return nil, fmt.Errorf("specversion %q is not supported", clip(version))
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.Body) > 0 {
		e.DataEncoded = m.Body
	}
	e.DataBase64, _ = m.Headers[base64Header].(bool)
	return e, validate(e)
}

func decodeStructured(m *queue.Message, mediaType string) (*cloudevents.Event, error) {
	if !strings.HasPrefix(mediaType, structured) {
		return nil, errors.New("the message has no header specversion")
	}
	e, err := ceio.Unmarshal(m.Body)
	if err != nil {
		return nil, fmt.Errorf("the message is no CloudEvent in JSON: %w", oneLine(err))
	}
	return e, nil
}

func validate(e *cloudevents.Event) error {
	if err := e.Validate(); err != nil {
		return oneLine(err)
	}
	return nil
}

// oneLine of an error of the SDK, which has one for each attribute.
func oneLine(err error) error {
	return errors.New(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}

// attributesOf headers, by the names that CloudEvents gives them. A header with the
// plain name wins over one with a prefix.
func attributesOf(headers map[string]any) map[string]any {
	attributes := make(map[string]any, len(headers))
	for name, value := range headers {
		plain := strings.ToLower(name)
		for _, p := range prefixes {
			plain = strings.TrimPrefix(plain, p)
		}
		if plain == dataContentType {
			plain = contentType
		}
		if plain != contentType && !validName(plain) {
			continue
		}
		if _, taken := attributes[plain]; taken && plain != name {
			continue
		}
		if value = plainValue(value); value != nil {
			attributes[plain] = value
		}
	}
	return attributes
}

// plainValue is a string, a boolean, an int32 or a []byte; nil where the header is no
// attribute, as the lists and tables that RabbitMQ adds.
func plainValue(value any) any {
	switch v := value.(type) {
	case string, bool, int32, []byte:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float32, float64:
		return fmt.Sprint(v)
	case int, int8, int16, int64, uint8, uint16, uint32, uint64:
		if n, err := cetypes.ToInteger(v); err == nil {
			return n
		}
		return fmt.Sprint(v)
	}
	return nil
}

// kindsOf the extensions that are listed in typesHeader.
func kindsOf(headers map[string]any) map[string]string {
	list, _ := headers[typesHeader].(string)
	if list == "" {
		return nil
	}
	kinds := map[string]string{}
	for entry := range strings.SplitSeq(list, ",") {
		name, kind, _ := strings.Cut(entry, ":")
		kinds[name] = kind
	}
	return kinds
}

// reader takes attributes one by one; those that are left are extensions.
type reader struct {
	attributes map[string]any
	kinds      map[string]string
	err        error
}

func (r *reader) text(name string) string {
	value := r.attributes[name]
	delete(r.attributes, name)
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	}
	return fmt.Sprint(value)
}

func (r *reader) optional(name string) *string {
	if v := r.text(name); v != "" {
		return &v
	}
	return nil
}

func (r *reader) url(name string) *url.URL {
	text := r.text(name)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("%s is no URI reference: %w", name, err))
		return nil
	}
	return u
}

// time is nil where the attribute is absent or no time: others write what they like, and
// an event without its time is better than none.
func (r *reader) time() *cetypes.Timestamp {
	t, err := time.Parse(time.RFC3339Nano, r.text(eventTime))
	if err != nil || t.IsZero() {
		return nil
	}
	return &cetypes.Timestamp{Time: t}
}

// The fields are set without the setters of the SDK, which trim spaces.
func (r *reader) v1() *cloudevents.EventContextV1 {
	c := &cloudevents.EventContextV1{
		ID: r.text(id), Type: r.text(eventType), Subject: r.optional(subject), Time: r.time(), DataContentType: r.optional(contentType),
	}
	if u := r.url(source); u != nil {
		c.Source = cetypes.URIRef{URL: *u}
	}
	if u := r.url(dataSchema); u != nil {
		c.DataSchema = &cetypes.URI{URL: *u}
	}
	c.Extensions = r.extensions()
	return c
}

func (r *reader) v03() *cloudevents.EventContextV03 {
	c := &cloudevents.EventContextV03{
		ID: r.text(id), Type: r.text(eventType), Subject: r.optional(subject), Time: r.time(), DataContentType: r.optional(contentType),
		DataContentEncoding: r.optional(dataContentEncoding),
	}
	if u := r.url(source); u != nil {
		c.Source = cetypes.URIRef{URL: *u}
	}
	if u := r.url(schemaURL); u != nil {
		c.SchemaURL = &cetypes.URIRef{URL: *u}
	}
	c.Extensions = r.extensions()
	return c
}

func (r *reader) extensions() map[string]any {
	if len(r.attributes) == 0 {
		return nil
	}
	extensions := make(map[string]any, len(r.attributes))
	for name, value := range r.attributes {
		extensions[name] = typed(value, r.kinds[name])
	}
	return extensions
}

// typed value of an extension. What is no value of its kind stays text.
func typed(value any, kind string) any {
	if b, ok := value.([]byte); ok {
		if kind == kindBinary {
			return b
		}
		return string(b)
	}
	text, ok := value.(string)
	if !ok {
		return value
	}
	switch kind {
	case kindTime:
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return cetypes.Timestamp{Time: t}
		}
	case kindURI:
		if u, err := url.Parse(text); err == nil {
			return cetypes.URI{URL: *u}
		}
	case kindURIRef:
		if u, err := url.Parse(text); err == nil {
			return cetypes.URIRef{URL: *u}
		}
	}
	return text
}

// clampInt32 of a number in a header.
func clampInt32(n int64) int32 {
	return int32(min(max(n, math.MinInt32), math.MaxInt32)) //nolint:gosec // it is within the bounds
}
