package runtime

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Extensions with which Knative tells of a failed delivery.
const (
	knativeErrorDest = "knativeerrordest"
	knativeErrorCode = "knativeerrorcode"
	knativeErrorData = "knativeerrordata"
)

// maxReason bounds what a dead letter says of its failure, in bytes: it travels in a
// header.
const maxReason = 4096

// After the last attempt the dead letter sink may take this long to have the event:
// more than RabbitMQ needs to start again. Only then the broker gives the event up
// itself, which is safe by then: RabbitMQ gives back what it was to be told of by a
// connection that broke.
const (
	letterPatience = 20 * time.Second
	letterAttempts = 20 // more than fit into that
)

// keep sees to it that an event which another attempt would not help, or of which this
// was the last attempt, is not lost, where it came by a Trigger whose broker takes 4xx
// for a delivery and forgets an event before it dead-letters it: the event goes to the
// dead letter sink, before the broker hears of it. Where that is not possible the
// problem is one that the broker tries again, until it dead-letters the event itself.
func (s *Server) keep(ctx context.Context, req *request, p *problem) {
	to := req.trigger.Subscriber
	retried := events.Retried(p.status)
	switch {
	case to.Permanent == "":
		return
	case req.event == nil && p.status != http.StatusRequestEntityTooLarge:
		return // nobody could keep it: it is no event
	case req.event == nil, to.Permanent != events.PermanentDeadLetter, s.letters == nil:
		if !retried {
			p.status = http.StatusInternalServerError
		}
		return
	}
	n, last := s.failed(ctx, req, to)
	if last || !retried {
		p.kept = s.handOver(ctx, req, p, n, last)
	}
	switch {
	case p.kept && retried:
		p.status = http.StatusUnprocessableEntity
	case !p.kept && !retried:
		p.status = http.StatusInternalServerError
	}
	if p.kept {
		s.attempts.forget(deliveryOf(req, to))
	}
}

// handOver posts the event to the dead letter sink, with what Knative's own dispatchers
// say of a failure and, where that is known, how often it was sent. It tells whether the
// sink has it.
func (s *Server) handOver(ctx context.Context, req *request, p *problem, sent int, last bool) bool {
	letter := req.event.Clone()
	letter.SetExtension(knativeErrorDest, "http://"+req.request.Host+req.request.URL.RequestURI())
	letter.SetExtension(knativeErrorCode, p.status)
	letter.SetExtension(knativeErrorData, p.encode())
	if sent > 0 {
		letter.SetExtension(events.AttemptsExtension, sent)
	}
	tries := replyAttempts
	if last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, letterPatience)
		defer cancel()
		tries = letterAttempts
	}
	err := s.letters.post(ctx, &letter, tries)
	s.telemetry.deadLettered(err == nil)
	if err != nil {
		slog.ErrorContext(ctx, "the dead letter sink did not take an event, which is left to its broker", "error", err, "event_id", letter.ID(), "event_type", letter.Type())
		return false
	}
	slog.WarnContext(ctx, "an event is a dead letter", "event_id", letter.ID(), "event_type", letter.Type(), "code", p.status, "attempts", sent,
		"error", p.data.Type+": "+p.data.Message)
	return true
}

// failed counts an attempt that the dispatcher of the event's Trigger takes for a
// failure. It returns how many there were, 0 where nobody knows, and whether the
// dispatcher will make no more once it has the answer. One that did not wait for the
// last answer has given the event up itself: nothing of it is remembered.
func (s *Server) failed(ctx context.Context, req *request, to events.Subscriber) (n int, last bool) {
	if to.MaxAttempts == 0 {
		return 0, false
	}
	of := deliveryOf(req, to)
	n = s.attempts.failed(of, to.RetryWindow, time.Now())
	last = n >= to.MaxAttempts
	if last && ctx.Err() != nil {
		s.attempts.forget(of)
		last = false
	}
	return n, last
}

// handled forgets how often the event had failed. An answer for which the dispatcher
// did not wait is a failure to it all the same.
func (s *Server) handled(ctx context.Context, req *request) {
	gone := ctx.Err() != nil
	if s.letters == nil || req.event == nil || !gone && s.attempts.none() {
		return
	}
	switch to := req.trigger.Subscriber; {
	case to.MaxAttempts == 0:
	case gone:
		s.failed(ctx, req, to)
	default:
		s.attempts.forget(deliveryOf(req, to))
	}
}

// encode is what Knative's own dispatchers say of an answer: its body, in base64.
func (p *problem) encode() string {
	said := events.Error{Type: p.data.Type, Message: p.data.Message, Permanent: p.data.Permanent}
	if len(said.Message) > maxReason {
		said.Message = strings.ToValidUTF8(said.Message[:maxReason], "")
	}
	data, err := json.Marshal(said)
	if err != nil { // strings and a bool
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(data)
}
