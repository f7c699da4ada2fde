package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/uuid"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// problemError is why there is no reply: an HTTP status and the data of an
// error event.
type problemError struct {
	status    int
	outcome   string // for metrics: rejected, error, timeout
	eventType string
	data      events.Error
}

func (p *problemError) Error() string { return p.data.Type + ": " + p.data.Message }

func badRequest(status int, message string) *problemError {
	return &problemError{status: status, outcome: "rejected", eventType: events.ResponseError,
		data: events.Error{Type: "InvalidRequest", Message: message, Permanent: true}}
}

func bodyProblem(err error) *problemError {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return badRequest(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLarge.Limit))
	}
	return badRequest(http.StatusBadRequest, "the body broke off: "+err.Error())
}

func parseHops(v any) (int32, *problemError) {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 32)
	if err != nil || n < 0 {
		return 0, badRequest(http.StatusBadRequest, fmt.Sprintf("%s: expected a whole number, got %q", events.HopsExtension, v))
	}
	if n > events.MaxHops {
		return 0, badRequest(http.StatusUnprocessableEntity, fmt.Sprintf("the event has come through %d functions, more than %d: they answer each other in a circle", n, events.MaxHops))
	}
	return int32(n), nil
}

func invokeProblem(err error) *problemError {
	p := &problemError{status: http.StatusInternalServerError, outcome: "error", eventType: events.ResponseError,
		data: events.Error{Type: "WorkerDied", Message: err.Error()}}
	switch {
	case errors.Is(err, ErrTimeout):
		p.status, p.outcome, p.eventType, p.data.Type = http.StatusGatewayTimeout, "timeout", events.ResponseTimeout, "Timeout"
	case errors.Is(err, ErrBusy):
		p.status, p.data.Type = http.StatusServiceUnavailable, "Busy"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		p.status, p.outcome, p.data.Type = http.StatusServiceUnavailable, "rejected", "Cancelled"
	}
	return p
}

// handlerProblem is what the handler raised: permanent errors are 4xx, so that
// a broker does not try again.
func (s *Server) handlerProblem(h *Header) *problemError {
	p := &problemError{status: http.StatusInternalServerError, outcome: "error", eventType: events.ResponseError,
		data: events.Error{Type: h.Type, Message: h.Message, Permanent: h.Permanent || h.BadInput}}
	switch {
	case h.BadInput:
		p.status, p.outcome = http.StatusBadRequest, "rejected"
	case h.Permanent:
		p.status = http.StatusUnprocessableEntity
	}
	if s.cfg.ErrorStack {
		p.data.Stack = h.Stack
	}
	return p
}

// writeError answers with the problem: an event to an event, JSON to a plain
// request.
func (s *Server) writeError(w http.ResponseWriter, req *request, p *problemError) {
	data, err := json.Marshal(p.data)
	if err != nil {
		data = []byte(`{"type":"Unknown"}`)
	}
	if req.event == nil {
		w.Header().Set("Content-Type", typeJSON)
		w.WriteHeader(p.status)
		_, _ = w.Write(append(data, '\n'))
		return
	}
	e := s.newReply(req, p.eventType)
	e.SetDataContentType(typeJSON)
	e.DataEncoded = data
	if err := s.send(w, req, &e, p.status); err != nil {
		slog.Error("an error could not be sent", "error", err)
	}
}

// writeReply answers with what the handler returned. An error says that it
// returned a CloudEvent that is none; nothing is written then.
func (s *Server) writeReply(w http.ResponseWriter, req *request, h *Header, body []byte) error {
	switch {
	case h.Event != nil:
		e, err := s.returned(req, h, body)
		if err != nil {
			return err
		}
		return s.send(w, req, e, http.StatusOK)
	case h.ContentType == "":
		w.WriteHeader(http.StatusNoContent)
		return nil
	case req.event == nil:
		w.Header().Set("Content-Type", h.ContentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
		return nil
	}
	e := s.newReply(req, events.ResponseSuccess)
	e.SetDataContentType(h.ContentType)
	e.DataEncoded = body
	return s.send(w, req, &e, http.StatusOK)
}

// newReply is an event that answers the request's.
func (s *Server) newReply(req *request, eventType string) event.Event {
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetSource(s.cfg.EventSource)
	e.SetType(eventType)
	e.SetTime(time.Now())
	if req.event != nil {
		if subject := req.event.Subject(); subject != "" {
			e.SetSubject(subject)
		}
		e.SetExtension(events.CausationExtension, req.event.ID())
		e.SetExtension(events.HopsExtension, req.hops+1)
		for _, k := range []string{"traceparent", "tracestate"} {
			if v, ok := req.event.Extensions()[k]; ok {
				e.SetExtension(k, v)
			}
		}
	}
	return e
}

// returned is the CloudEvent that the handler returned, with what it left out
// filled in.
func (s *Server) returned(req *request, h *Header, body []byte) (*event.Event, error) {
	text, err := json.Marshal(h.Event)
	if err != nil {
		return nil, err
	}
	e := s.newReply(req, "")
	filled := map[string]any{"specversion": "1.0", "id": e.ID(), "source": e.Source(), "time": e.Time().Format(time.RFC3339Nano)}
	for k, v := range e.Extensions() {
		filled[k] = v
	}
	var given map[string]any
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	for k, v := range given {
		filled[k] = v
	}
	filled[events.HopsExtension] = req.hops + 1
	delete(filled, "data")
	delete(filled, "data_base64")
	if text, err = json.Marshal(filled); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if e.DataContentType() == "" {
			e.SetDataContentType(h.ContentType)
		}
		e.DataEncoded = body
	}
	return &e, e.Validate()
}

// send writes an event in the mode of the request.
func (s *Server) send(w http.ResponseWriter, req *request, e *event.Event, status int) error {
	ctx := context.Background()
	if req.structured {
		ctx = binding.WithForceStructured(ctx)
	} else {
		ctx = binding.WithForceBinary(ctx)
	}
	return cehttp.WriteResponseWriter(ctx, binding.ToMessage(e), status, w)
}
