package dispatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/uuid"
	"knative.dev/eventing/pkg/kncloudevents/attributes"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/internal/failure"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// maxResult bounds the data of an outcome, in bytes.
	maxResult = 1 << 20
	// recordTimeout bounds how long the record of an outcome holds up its call.
	recordTimeout = 2 * time.Second
)

// succeeded reports what a call returned. A reply that reports it already is the outcome.
func (l *lane) succeeded(it *item, s *subscription, delivered *delivery.Result) {
	reply := delivered.Reply
	if reply != nil && reply.Type() == events.ResponseSuccess && reply.Source() == s.outcomeSource &&
		reply.Extensions()[events.CausationExtension] == it.event.ID() {
		l.record(it, s, reply)
		return
	}
	outcome := outcomeOf(it.event, s, events.ResponseSuccess)
	contentType, body := delivered.ContentType, delivered.Body
	if reply != nil {
		contentType, body = reply.DataContentType(), reply.Data()
	}
	switch {
	case delivered.Omitted || len(body) > maxResult:
		outcome.SetExtension(events.DataOmittedExtension, "true")
	case len(body) > 0:
		ceio.SetBody(outcome, contentType, body)
	}
	l.report(it, s, outcome)
}

// conclude reports the failure of a call, and then does what is next with its dead letter.
func (l *lane) conclude(it *item, s *subscription, next func(*item, *subscription) bool) (done bool) {
	if s.reports() {
		l.report(it, s, failedOutcome(it.event, s))
	}
	return it.lost() || next(it, s)
}

// report an outcome to the Broker, and record it. One that no attempt could store, as its
// attributes are too long, is left out: the call itself is neither repeated nor held up.
func (l *lane) report(it *item, s *subscription, outcome *cloudevents.Event) {
	switch failure := l.publish(it, s, outcome); {
	case it.lost():
	case failure != nil:
		l.w.d.options.Metrics.outcome(s, resultDropped)
		slog.ErrorContext(it.ctx, "Cannot report the outcome of a call", "trigger", s.key(), "event", it.event.ID(), "error", failure.Err)
	default:
		l.record(it, s, outcome)
	}
}

// record an outcome, so that it can be asked for. The Broker or a delay queue has it
// already: that this fails holds up nothing.
func (l *lane) record(it *item, s *subscription, outcome *cloudevents.Event) {
	ctx, cancel := l.withoutChannel(it)
	defer cancel()
	ctx, done := context.WithTimeout(ctx, recordTimeout)
	defer done()
	m, err := calls.Encode(&calls.Record{Callee: s.callee, Source: it.event.Source(), Outcome: outcome})
	if err == nil {
		err = l.w.d.options.Publisher.Put(ctx, calls.Outcomes, m)
	}
	if err != nil {
		l.w.d.options.Metrics.outcome(s, resultUnrecorded)
	}
	switch {
	case errors.Is(err, queue.ErrNoQueue):
		slog.DebugContext(it.ctx, "There is no stream of outcomes", "queue", calls.Outcomes)
	case err != nil:
		slog.WarnContext(it.ctx, "Cannot record the outcome of a call", "trigger", s.key(), "event", it.event.ID(), "error", err)
	}
}

// outcomeOf a call. Its id is the same if it is reported again.
func outcomeOf(call *cloudevents.Event, s *subscription, eventType string) *cloudevents.Event {
	e := cloudevents.New()
	e.SetID(uuid.NewSHA1(uuid.Nil, []byte(call.Source()+"\n"+call.ID()+"\n"+eventType)).String())
	e.SetType(eventType)
	e.SetSource(s.outcomeSource)
	e.SetSubject(s.callee.Subject())
	e.SetTime(time.Now().UTC())
	e.SetExtension(events.CausationExtension, call.ID())
	hops, err := cetypes.ToInteger(call.Extensions()[events.HopsExtension])
	if err != nil {
		hops = 0
	}
	e.SetExtension(events.HopsExtension, hops+1)
	return &e
}

// failedOutcome of a call is made of its dead letter, with the attributes that say why.
func failedOutcome(dead *cloudevents.Event, s *subscription) *cloudevents.Event {
	extensions := dead.Extensions()
	code, data := textOf(extensions, events.ErrorCodeExtension), reasonOf(extensions)
	status, err := strconv.Atoi(code)
	if err != nil {
		status = delivery.NoAnswer
	}
	eventType := events.ResponseError
	if status == http.StatusGatewayTimeout || status == delivery.NoAnswer && strings.Contains(data, context.DeadlineExceeded.Error()) {
		eventType = events.ResponseTimeout
	}
	reason := failure.Reason(status, data)
	e := outcomeOf(dead, s, eventType)
	e.SetExtension(events.ErrorCodeExtension, code)
	e.SetExtension(events.ErrorReasonExtension, reason)
	e.SetExtension(events.AttemptsExtension, textOf(extensions, events.AttemptsExtension))
	why, ok := failure.Answered(data)
	if !ok {
		why = events.Error{Type: "DeliveryFailed", Message: reason}
		if eventType == events.ResponseTimeout {
			why.Type = "Timeout"
		}
	}
	body, err := json.Marshal(why)
	if err != nil { // strings and a bool
		panic(err)
	}
	ceio.SetBody(e, cloudevents.ApplicationJSON, body)
	return e
}

// reasonOf a dead letter: the start of the last answer, or why there was none.
func reasonOf(extensions map[string]any) string {
	data := textOf(extensions, attributes.KnativeErrorDataExtensionKey)
	if raw, err := base64.StdEncoding.DecodeString(data); err == nil {
		return string(raw)
	}
	return data
}

func textOf(extensions map[string]any, name string) string {
	text, _ := extensions[name].(string)
	return text
}
