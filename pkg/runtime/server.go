package runtime

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.opentelemetry.io/otel/codes"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Server answers requests and CloudEvents with what the handler returns.
type Server struct {
	cfg     *Config
	invoker Invoker
	metrics *Metrics
}

// NewServer returns a server in front of the invoker.
func NewServer(cfg *Config, invoker Invoker, metrics *Metrics) *Server {
	return &Server{cfg: cfg, invoker: invoker, metrics: metrics}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		if !s.invoker.Ready() {
			http.Error(w, "the handler is being loaded", http.StatusServiceUnavailable)
		}
		return
	}
	start := time.Now()
	ctx, span := s.metrics.startSpan(r)
	defer span.End()
	outcome, err := s.answer(ctx, w, r)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	s.metrics.invoked(ctx, outcome, time.Since(start))
}

// answer handles a request and names its outcome for metrics.
func (s *Server) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) (string, error) {
	req, problem := s.read(w, r)
	if problem != nil {
		s.writeError(w, req, problem)
		return "rejected", problem
	}
	reply, body, err := s.invoker.Invoke(ctx, req.header, req.body)
	if err != nil {
		problem = invokeProblem(err)
		s.writeError(w, req, problem)
		return problem.outcome, problem
	}
	if reply.Kind == KindError {
		problem = s.handlerProblem(reply)
		s.writeError(w, req, problem)
		return problem.outcome, problem
	}
	if err := s.writeReply(w, req, reply, body); err != nil {
		problem = &problemError{status: http.StatusInternalServerError, outcome: "error", eventType: events.ResponseError,
			data: events.Error{Type: "InvalidReply", Message: "the handler returned a CloudEvent that is none: " + err.Error()}}
		s.writeError(w, req, problem)
		return problem.outcome, problem
	}
	return "success", nil
}

// request is what came in, in the worker's words.
type request struct {
	header     *Header
	body       []byte
	event      *event.Event // nil for a plain request
	structured bool
	hops       int32
}

const (
	typeJSON       = "application/json"
	typeStructured = "application/cloudevents+json"
	typeBatch      = "application/cloudevents-batch"
)

// read takes the request apart; the problem says what is wrong with it.
func (s *Server) read(w http.ResponseWriter, r *http.Request) (*request, *problemError) {
	req := &request{header: &Header{Method: r.Method, Path: r.URL.RequestURI(), Headers: headers(r)}}
	contentType := r.Header.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(contentType)
	if strings.HasPrefix(media, typeBatch) {
		return req, badRequest(http.StatusUnsupportedMediaType, "batches of CloudEvents are not supported: send each event in a request of its own")
	}
	r.Body = http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxBody))
	isEvent := media == typeStructured || r.Header.Get("Ce-Specversion") != ""
	if !isEvent {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return req, bodyProblem(err)
		}
		req.body, req.header.ContentType = body, contentType
		return req, nil
	}
	return s.readEvent(req, r, media == typeStructured)
}

func (s *Server) readEvent(req *request, r *http.Request, structured bool) (*request, *problemError) {
	e, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
	if err == nil {
		err = e.Validate()
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return req, bodyProblem(err)
	} else if err != nil {
		return req, badRequest(http.StatusBadRequest, "not a valid CloudEvent: "+strings.TrimSpace(err.Error()))
	}
	req.event, req.structured = e, structured
	req.body, req.header.ContentType = e.Data(), e.DataContentType()
	if req.header.ContentType == "" && structured {
		req.header.ContentType = typeJSON
	}
	req.header.Event = attributes(e)
	if hops, ok := req.header.Event[events.HopsExtension]; ok {
		n, problem := parseHops(hops)
		if problem != nil {
			return req, problem
		}
		req.hops = n
	}
	return req, nil
}

// attributes of an event, its extensions among them.
func attributes(e *event.Event) map[string]any {
	a := map[string]any{"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type()}
	for k, v := range map[string]string{"subject": e.Subject(), "dataschema": e.DataSchema(), "datacontenttype": e.DataContentType()} {
		if v != "" {
			a[k] = v
		}
	}
	if t := e.Time(); !t.IsZero() {
		a["time"] = t.Format(time.RFC3339Nano)
	}
	for k, v := range e.Extensions() {
		a[k] = v
	}
	return a
}

// headers are the first value of each header but those of CloudEvents, which
// the event's attributes already have.
func headers(r *http.Request) map[string]string {
	h := make(map[string]string, len(r.Header))
	for k, v := range r.Header {
		if !strings.HasPrefix(k, "Ce-") {
			h[strings.ToLower(k)] = v[0]
		}
	}
	return h
}
