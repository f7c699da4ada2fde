package calls

import (
	"errors"
	"fmt"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Outcomes is the stream that keeps the outcomes of the last calls.
const Outcomes = "lambda.outcomes"

const (
	// MaxAge of outcomes in the stream.
	MaxAge = time.Hour
	// maxStream bounds the stream, in bytes.
	maxStream = 256 << 20
	// maxData bounds the data of an outcome in the stream, in bytes.
	maxData = 64 << 10
)

// Declaration of the stream.
func Declaration() queue.Declaration {
	return queue.Declaration{Name: Outcomes, Kind: queue.Stream, MaxAge: MaxAge, MaxBytes: maxStream}
}

const (
	calleeHeader = event.Reserved + "callee"
	sourceHeader = event.Reserved + "call-source"
)

// Record of an outcome.
type Record struct {
	Callee Callee
	// Source of the call's event, whose id is the outcome's causationid.
	Source  string
	Outcome *cloudevents.Event
}

// ID of the call's event.
func (r *Record) ID() string {
	id, _ := r.Outcome.Extensions()[events.CausationExtension].(string)
	return id
}

// Encode a record as a message of the stream. Data that is too long is left out.
func Encode(r *Record) (*queue.Message, error) {
	outcome := r.Outcome
	if len(outcome.Data()) > maxData {
		short := outcome.Clone()
		short.DataEncoded, short.DataBase64 = nil, false
		short.SetExtension(events.DataOmittedExtension, "true")
		outcome = &short
	}
	m, err := event.Encode(outcome)
	if err != nil {
		return nil, err
	}
	m.Headers[calleeHeader], m.Headers[sourceHeader] = r.Callee.String(), r.Source
	return m, nil
}

// Decode a message of the stream.
func Decode(m *queue.Message) (*Record, error) {
	callee, _ := m.Headers[calleeHeader].(string)
	r := &Record{}
	var ok bool
	if r.Callee, ok = Parse(callee); !ok {
		return nil, fmt.Errorf("header %s is no callee: %.40q", calleeHeader, callee)
	}
	r.Source, _ = m.Headers[sourceHeader].(string)
	var err error
	if r.Outcome, err = event.Decode(m); err != nil {
		return nil, err
	}
	if r.ID() == "" {
		return nil, errors.New("the outcome does not name its call")
	}
	return r, nil
}
