// Package rabbit keeps dead letters in RabbitMQ.
package rabbit

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

const (
	typeStructured = "application/cloudevents+json"
	contentType    = "content-type"
)

// message is the event as Knative's dispatcher writes it: attributes as headers by
// their own names, data as the body. So a queue holds one form, whatever filled it.
// Properties of AMQP have no part of the event: they hold 255 bytes each.
func message(e *event.Event) *queue.Message {
	headers := map[string]any{"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type(), contentType: e.DataContentType()}
	for name, value := range map[string]string{"subject": e.Subject(), "dataschema": e.DataSchema()} {
		if value != "" {
			headers[name] = value
		}
	}
	if t := e.Time(); !t.IsZero() {
		headers["time"] = t.UTC().Format(time.RFC3339Nano)
	}
	for name, value := range e.Extensions() {
		headers[name] = fmt.Sprint(value)
	}
	return &queue.Message{Headers: headers, Body: e.Data()}
}

// prefixes of attributes in headers: CloudEvents' AMQP binding has the first two.
var prefixes = []string{"cloudEvents:", "cloudEvents_", "ce-"}

// letter reads a message, whoever wrote it.
func letter(d *amqp.Delivery) *deadletter.Letter {
	l := &deadletter.Letter{Tag: d.DeliveryTag}
	e, err := read(d)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		l.Malformed = errors.New(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
		l.Event = event.New()
		id := d.MessageId
		if id == "" {
			id = fmt.Sprintf("message-%d", d.DeliveryTag)
		}
		l.Event.SetID(id)
		l.Event.DataEncoded = d.Body
		return l
	}
	l.Event = *e
	when := d.Timestamp
	if died := diedAt(d.Headers); !died.IsZero() {
		when = died
	}
	if when.IsZero() { // as Knative's dispatcher publishes: it died after it was made, soon as a rule
		when = e.Time()
	}
	deadletter.Annotate(&l.Event, -1, when)
	if agent, gone := strings.CutPrefix(d.RoutingKey, lambda.GoneRoutingKey); gone {
		deadletter.Gone(&l.Event, agent)
	}
	return l
}

func read(d *amqp.Delivery) (*event.Event, error) {
	if strings.HasPrefix(d.ContentType, typeStructured) {
		return ceio.Unmarshal(d.Body)
	}
	e := event.New()
	attributes := map[string]string{}
	for name, value := range d.Headers {
		for _, p := range prefixes {
			name = strings.TrimPrefix(name, p)
		}
		if v, ok := text(value); ok && !strings.HasPrefix(name, "x-") {
			attributes[strings.ToLower(name)] = v
		}
	}
	if _, ok := attributes["specversion"]; !ok {
		return nil, errors.New("the message has no header specversion")
	}
	for name, value := range attributes {
		setAttribute(&e, name, value)
	}
	if e.DataContentType() == "" && d.ContentType != "" {
		e.SetDataContentType(d.ContentType)
	}
	e.DataEncoded = d.Body
	return &e, nil
}

func setAttribute(e *event.Event, name, value string) {
	switch name {
	case "specversion":
		e.SetSpecVersion(value)
	case "id":
		e.SetID(value)
	case "source":
		e.SetSource(value)
	case "type":
		e.SetType(value)
	case "subject":
		e.SetSubject(value)
	case "dataschema":
		e.SetDataSchema(value)
	case contentType, "datacontenttype":
		if value != "" {
			e.SetDataContentType(value)
		}
	case "time":
		if t, err := time.Parse(time.RFC3339Nano, value); err == nil && !t.IsZero() {
			e.SetTime(t)
		}
	default:
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
			e.SetExtension(name, value)
		}
	}
}

// text of a header; false where it is a table or a list, as RabbitMQ's own are.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case nil, amqp.Table, []any:
		return "", false
	case []byte:
		return string(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	}
	return fmt.Sprint(v), true
}

// diedAt is when RabbitMQ itself dead-lettered a message.
func diedAt(headers amqp.Table) time.Time {
	deaths, _ := headers["x-death"].([]any)
	for _, d := range deaths {
		if table, ok := d.(amqp.Table); ok {
			if t, ok := table["time"].(time.Time); ok {
				return t
			}
		}
	}
	return time.Time{}
}
