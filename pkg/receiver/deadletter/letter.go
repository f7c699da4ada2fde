// Package deadletter keeps events that could not be delivered, and sends them
// again.
package deadletter

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/failure"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Extensions with which Knative tells of a failed delivery.
const (
	knativeErrorCode = "knativeerrorcode"
	knativeErrorData = "knativeerrordata"
	knativeErrorDest = "knativeerrordest"
)

// Letter is an event that could not be delivered, in a queue.
type Letter struct {
	// Event as it came; its zero value where the message is none.
	Event event.Event
	// Malformed says why the message is no CloudEvent. Such a letter can be seen
	// and removed, and not sent again.
	Malformed error
	// Tag by which the queue knows it.
	Tag uint64
}

// ID of the event, or what stands for it in a message that is none.
func (l *Letter) ID() string { return l.Event.ID() }

// Describe returns the dead letter without its data.
func (l *Letter) Describe() receiverv1.DeadLetter {
	d := receiverv1.DeadLetter{
		ID: l.Event.ID(), Source: l.Event.Source(), Type: l.Event.Type(), Subject: l.Event.Subject(),
		ErrorReason: l.text(events.ErrorReasonExtension), Origin: l.text(events.OriginExtension), DeadTime: l.text(events.DeadTimeExtension),
		Size: len(l.Event.Data()),
	}
	d.ErrorCode, _ = strconv.Atoi(l.text(events.ErrorCodeExtension))
	d.Attempts, _ = strconv.Atoi(l.text(events.AttemptsExtension))
	if l.Malformed != nil {
		d.ErrorReason = "not a CloudEvent: " + l.Malformed.Error()
	}
	return d
}

func (l *Letter) text(name string) string { return extension(&l.Event, name) }

func extension(e *event.Event, name string) string {
	if v, ok := e.Extensions()[name]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// Annotate sets the attributes of a dead letter that an event lacks, from those with
// which Knative describes a failed delivery. The dispatcher of the event plane sets the
// code, the attempts and the time itself. A zero now sets no time.
func Annotate(e *event.Event, now time.Time) {
	set := func(name, value string) {
		if value != "" && extension(e, name) == "" {
			e.SetExtension(name, value)
		}
	}
	if _, err := strconv.Atoi(extension(e, knativeErrorCode)); err == nil {
		set(events.ErrorCodeExtension, extension(e, knativeErrorCode))
	}
	if code, err := strconv.Atoi(extension(e, events.ErrorCodeExtension)); err == nil {
		set(events.ErrorReasonExtension, reason(code, extension(e, knativeErrorData)))
	}
	set(events.OriginExtension, extension(e, knativeErrorDest))
	if !now.IsZero() {
		set(events.DeadTimeExtension, now.UTC().Format(time.RFC3339))
	}
}

// reason of a failure, whose data is text or its base64 form.
func reason(code int, data string) string {
	if raw, err := base64.StdEncoding.DecodeString(data); err == nil && data != "" {
		data = string(raw)
	}
	return failure.Reason(code, data)
}

// Again is the event to send for the letter: as it was before it died, with its
// own id and type, and with how often it has been sent again.
func (l *Letter) Again() event.Event {
	e := l.Event.Clone()
	for _, name := range []string{
		events.ErrorCodeExtension, events.ErrorReasonExtension, events.AttemptsExtension, events.OriginExtension, events.DeadTimeExtension,
		knativeErrorCode, knativeErrorData, knativeErrorDest,
	} {
		e.SetExtension(name, nil)
	}
	times, _ := strconv.Atoi(extension(&l.Event, events.RetryExtension))
	e.SetExtension(events.RetryExtension, strconv.Itoa(times+1))
	return e
}
