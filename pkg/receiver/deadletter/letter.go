// Package deadletter keeps events that could not be delivered, and sends them
// again.
package deadletter

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Extensions with which Knative tells of a failed delivery.
const (
	knativeErrorCode = "knativeerrorcode"
	knativeErrorData = "knativeerrordata"
	knativeErrorDest = "knativeerrordest"
)

// maxReason bounds the reason that a letter carries.
const maxReason = 1024

// noAnswer is the code of a delivery that nobody answered.
const noAnswer = -1

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

// Describe tells of the letter without its data.
func (l *Letter) Describe() events.DeadLetter {
	d := events.DeadLetter{
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

// Annotate says on an event why it is a dead letter, from what Knative says on it,
// unless it says so already. retries is how often its broker tries again; below 0
// it is not known, as is a now that is zero.
func Annotate(e *event.Event, retries int, now time.Time) {
	set := func(name, value string) {
		if value != "" && extension(e, name) == "" {
			e.SetExtension(name, value)
		}
	}
	code, known := noAnswer, false
	if text := extension(e, knativeErrorCode); text != "" {
		if n, err := strconv.Atoi(text); err == nil {
			code, known = n, true
		}
	}
	if known {
		set(events.ErrorCodeExtension, strconv.Itoa(code))
		set(events.ErrorReasonExtension, reason(code, extension(e, knativeErrorData)))
		switch {
		case code != noAnswer && !retried(code):
			set(events.AttemptsExtension, "1")
		case retries >= 0:
			set(events.AttemptsExtension, strconv.Itoa(retries+1))
		}
	}
	set(events.OriginExtension, extension(e, knativeErrorDest))
	if !now.IsZero() {
		set(events.DeadTimeExtension, now.UTC().Format(time.RFC3339))
	}
}

// Gone says on an event that it was for an agent that was deleted, by its namespace/name, and
// where its broker was.
func Gone(e *event.Event, agent string) {
	var key types.NamespacedName
	key.Namespace, key.Name, _ = strings.Cut(agent, "/")
	e.SetExtension(events.ErrorCodeExtension, strconv.Itoa(noAnswer))
	e.SetExtension(events.ErrorReasonExtension, "agent "+printable(agent)+" was deleted")
	e.SetExtension(events.OriginExtension, v1alpha1.AgentBrokerURL(key).String())
}

// reason in the words of the function where it gave any, else of the status.
func reason(code int, data string) string {
	if raw, err := base64.StdEncoding.DecodeString(data); err == nil && data != "" {
		data = string(raw)
	}
	var e events.Error
	if err := json.Unmarshal([]byte(data), &e); err == nil && e.Message != "" {
		data = strings.TrimPrefix(e.Type+": "+e.Message, ": ")
	}
	data = strings.TrimSpace(printable(data))
	if runes := []rune(data); len(runes) > maxReason {
		data = string(runes[:maxReason-1]) + "…"
	}
	switch {
	case data != "":
		return data
	case code == noAnswer:
		return "there was no answer"
	case http.StatusText(code) != "":
		return fmt.Sprintf("the answer was %d %s", code, http.StatusText(code))
	}
	return fmt.Sprintf("the answer was %d", code)
}

// printable is text that an attribute may hold.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
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

// retried reports whether Knative's dispatchers try again after an answer of that status.
func retried(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}
