package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// problem is why a request has no result: what the client is told, and the
// outcome that metrics count.
type problem struct {
	status    int
	outcome   outcome
	eventType string
	data      events.Error
	header    http.Header // of the reply, besides; may be nil
}

// json is the body that says it.
func (p *problem) json() []byte {
	data, err := json.Marshal(p.data)
	if err != nil { // strings and a bool
		panic(err)
	}
	return data
}

// badRequest is a fault of the request, which a retry would not mend.
func badRequest(status int, message string) *problem {
	return &problem{status: status, outcome: outcomeRejected, eventType: events.ResponseError,
		data: events.Error{Type: "InvalidRequest", Message: message, Permanent: true}}
}

// invalidReply is a result that cannot be sent.
func invalidReply(message string) *problem {
	return &problem{status: http.StatusInternalServerError, outcome: outcomeError, eventType: events.ResponseError,
		data: events.Error{Type: "InvalidReply", Message: message}}
}

// problemOf returns the answer to an error of Invoke. A broker retries on 5xx. On 4xx
// other than 404, 408, 409 and 429 it makes a dead letter of the event at once, so that
// no permanent failure may have one of these four.
func problemOf(err error, withStack bool) *problem {
	p := &problem{status: http.StatusInternalServerError, outcome: outcomeError, eventType: events.ResponseError,
		data: events.Error{Type: "Internal", Message: err.Error()}}
	var raised *HandlerError
	switch {
	case errors.As(err, &raised):
		p.raised(raised, withStack)
	case errors.Is(err, ErrTimeout):
		p.status, p.outcome, p.eventType, p.data.Type = http.StatusGatewayTimeout, outcomeTimeout, events.ResponseTimeout, "Timeout"
	case errors.Is(err, ErrBusy):
		p.status, p.outcome, p.data.Type = http.StatusServiceUnavailable, outcomeBusy, "Busy"
	case errors.Is(err, ErrRequestTooLong):
		return badRequest(http.StatusRequestHeaderFieldsTooLarge, err.Error())
	case errors.Is(err, ErrReplyTooLong):
		return invalidReply(err.Error())
	case errors.Is(err, ErrWorkerBlocked):
		p.outcome, p.data.Type = outcomeDied, "WorkerBlocked"
	case errors.Is(err, ErrWorkerDied):
		p.outcome, p.data.Type = outcomeDied, "WorkerDied"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		p.status, p.outcome, p.data.Type = http.StatusServiceUnavailable, outcomeCancelled, "Cancelled"
	}
	return p
}

func (p *problem) raised(e *HandlerError, withStack bool) {
	if invalid := checkHeader(&Result{Header: e.Header}); invalid != nil {
		*p = *invalid
		return
	}
	p.data = events.Error{Type: e.Type, Message: e.Message, Permanent: e.Permanent || e.BadInput}
	if withStack {
		p.data.Stack = e.Stack
	}
	switch {
	case e.BadInput:
		p.status, p.outcome = http.StatusBadRequest, outcomeRejected
	case e.Permanent:
		p.status, p.outcome = http.StatusUnprocessableEntity, outcomePermanent
	}
	if e.Status >= 400 && e.Status <= 599 {
		p.status = e.Status
	}
	p.header = e.Header
}
