package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/uuid"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// writeResult answers with what the handler returned. With a problem nothing
// has been written.
func (x *exchange) writeResult(result *Result) *problem {
	s, req := x.server, x.req
	if p := checkHeader(result); p != nil {
		return p
	}
	if result.Event == nil && req.event == nil {
		x.writePlain(result)
		return nil
	}
	if p := s.collect(result); p != nil {
		return p
	}
	switch {
	case result.Event != nil:
		e, err := s.returned(req, result)
		if err != nil {
			return invalidReply("the handler returned a CloudEvent that is not valid: " + strings.TrimSpace(err.Error()))
		}
		return s.reply(x.ctx, x.w, req, e, http.StatusOK)
	case result.Status >= http.StatusBadRequest:
		e := s.answer(req, events.ResponseError, result.ContentType, result.Body)
		if after := result.Header["Retry-After"]; after != nil {
			x.w.Header()["Retry-After"] = after
		}
		writeEvent(x.ctx, x.w, req, e, result.Status)
		s.failures.add(e) // a broker drops what comes with an error's status
		return nil
	case result.ContentType == "", !hasBody(result.Status):
		x.w.WriteHeader(cmp.Or(result.Status, http.StatusNoContent))
		return nil
	}
	return s.reply(x.ctx, x.w, req, s.answer(req, events.ResponseSuccess, result.ContentType, result.Body), cmp.Or(result.Status, http.StatusOK))
}

// reply answers with an event. Where replies to events have a sink, the sender is
// answered once the sink has taken it, so that nothing is lost: a broker sends
// the event again until then.
func (s *Server) reply(ctx context.Context, w http.ResponseWriter, req *request, e *event.Event, status int) *problem {
	if s.replies == nil || req.event == nil {
		writeEvent(ctx, w, req, e, status)
		return nil
	}
	if err := s.replies.post(ctx, e, replyAttempts); err != nil {
		return &problem{status: http.StatusBadGateway, outcome: outcomeUndelivered, eventType: events.ResponseError,
			data: events.Error{Type: "ReplyUndelivered", Message: "the sink did not take the reply: " + err.Error()}}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// writeProblem answers an event with an event, and a plain request with JSON.
func (s *Server) writeProblem(ctx context.Context, w http.ResponseWriter, req *request, p *problem) {
	data := p.json()
	if p.outcome == outcomeBusy {
		w.Header().Set("Retry-After", "1")
	}
	if req.event == nil {
		s.copyHeader(w.Header(), p.header)
		writeBody(w, p.status, typeJSON, data)
		return
	}
	e := s.answer(req, p.eventType, typeJSON, data)
	writeEvent(ctx, w, req, e, p.status)
	if p.outcome != outcomeBusy && p.outcome != outcomeCancelled { // nothing was invoked then
		s.failures.add(e) // a broker drops what comes with an error's status
	}
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header() // by keys in their canonical form, which Set would look for
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away: nobody is left to tell
}

// writeEvent sends an event in the mode of the request.
func writeEvent(ctx context.Context, w http.ResponseWriter, req *request, e *event.Event, status int) {
	mode := binding.WithForceBinary(context.Background())
	if req.structured {
		mode = binding.WithForceStructured(context.Background())
	} else {
		w = escapedWriter{w}
	}
	if err := cehttp.WriteResponseWriter(mode, binding.ToMessage(e), status, w); err != nil {
		slog.WarnContext(ctx, "a reply could not be written", "error", err, "event_id", e.ID())
	}
}

// escapedWriter encodes the attributes that the SDK writes.
type escapedWriter struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w escapedWriter) WriteHeader(status int) {
	ceio.Escape(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

// answer is an event that answers the request with the data.
func (s *Server) answer(req *request, eventType, contentType string, data []byte) *event.Event {
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetSource(s.cfg.EventSource)
	e.SetType(eventType)
	e.SetTime(time.Now().UTC())
	if req.event != nil {
		e.SetSubject(req.event.Subject())
	}
	for k, v := range req.lineage() {
		e.SetExtension(k, v)
	}
	e.SetDataContentType(contentType)
	e.DataEncoded = data
	return &e
}

// lineage are the extensions by which an event tells which event it follows.
func (r *request) lineage() map[string]any {
	l := map[string]any{events.HopsExtension: r.hops + 1}
	if r.event != nil {
		l[events.CausationExtension] = r.event.ID()
	}
	if r.Traceparent != "" {
		l["traceparent"] = r.Traceparent
		if r.Tracestate != "" {
			l["tracestate"] = r.Tracestate
		}
	}
	return l
}

// returned is the CloudEvent that the handler returned, with what it left out
// filled in. Only the hops are not the handler's to say.
func (s *Server) returned(req *request, result *Result) (*event.Event, error) {
	all := map[string]any{"specversion": "1.0", "id": uuid.NewString(), "source": s.cfg.EventSource, "time": time.Now().UTC().Format(time.RFC3339Nano)}
	lineage := req.lineage()
	maps.Copy(all, lineage)
	maps.Copy(all, result.Event)
	all[events.HopsExtension] = lineage[events.HopsExtension]
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	e, err := ceio.Unmarshal(text)
	if err != nil {
		return nil, err
	}
	if len(result.Body) > 0 {
		if e.DataContentType() == "" {
			e.SetDataContentType(result.ContentType)
		}
		e.DataEncoded = result.Body
	}
	return e, e.Validate()
}
