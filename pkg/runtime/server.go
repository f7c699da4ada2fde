package runtime

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// healthPath answers 200 as soon as the handler is loaded. It never reaches the
// handler.
const healthPath = "/healthz"

// Server answers requests and CloudEvents with what the handler returns.
type Server struct {
	cfg       *Config
	invoker   Invoker
	telemetry *Telemetry
	replies   *sink   // nil: replies go to who asked
	failures  *outbox // nil: failures are told only to who asked
	triggers  triggers
	warm      atomic.Bool // an invocation has come
}

// NewServer returns a server in front of the invoker.
func NewServer(cfg *Config, invoker Invoker, telemetry *Telemetry) *Server {
	return &Server{cfg: cfg, invoker: invoker, telemetry: telemetry,
		replies: newSink(cfg.ReplySink), failures: newOutbox(newSink(cfg.ResponseSink), telemetry)}
}

// closeTimeout is how long the events of failed invocations may take to be sent
// at the end.
const closeTimeout = 5 * time.Second

// Close sends what has not been sent yet. No request may come any more.
func (s *Server) Close() { s.failures.close(closeTimeout) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == healthPath {
		if !s.invoker.Ready() {
			http.Error(w, "the handler is not loaded", http.StatusServiceUnavailable)
		}
		return
	}
	start := time.Now()
	if !s.warm.Swap(true) && !s.invoker.Ready() {
		s.telemetry.coldStarted(r.Context())
	}
	req, problem := readRequest(w, r, s.cfg.MaxBody)
	defer req.release()
	ctx, span, traceparent := s.telemetry.startSpan(r.Context(), req.Traceparent, req.tracestate)
	defer span.End()
	req.Traceparent = traceparent
	var filters Filters
	if problem == nil && req.event != nil {
		filters, problem = s.triggers.filters(r)
	}
	outcome := outcomeSuccess
	switch {
	case problem != nil:
	case req.event != nil && !(s.cfg.Filters.pass(req.event, req.Event) && filters.pass(req.event, req.Event)):
		outcome = outcomeFiltered
		w.WriteHeader(http.StatusNoContent) // a broker is not to send it again
	default:
		problem = s.invoke(ctx, w, req)
	}
	if problem != nil {
		outcome = problem.outcome
		s.writeProblem(w, req, problem)
	}
	describe(span, req, problem)
	s.telemetry.invoked(ctx, outcome, time.Since(start))
}

func (s *Server) invoke(ctx context.Context, w http.ResponseWriter, req *request) *problem {
	result, err := s.invoker.Invoke(ctx, &req.Invocation)
	if err != nil {
		return problemOf(err, s.cfg.ErrorStack)
	}
	return s.writeResult(ctx, w, req, result)
}

// describe says on the span what was invoked and how it went, in the words of
// OpenTelemetry's semantic conventions for CloudEvents.
func describe(span trace.Span, req *request, p *problem) {
	if !span.IsRecording() {
		return
	}
	if req.event != nil {
		span.SetAttributes(attribute.String("cloudevents.event_id", req.event.ID()), attribute.String("cloudevents.event_type", req.event.Type()),
			attribute.String("cloudevents.event_source", req.event.Source()))
	}
	if p != nil {
		span.SetAttributes(attribute.String("error.type", p.data.Type))
		span.SetStatus(codes.Error, strings.ToValidUTF8(p.data.Message, "\uFFFD"))
	}
}
