package runtime

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// healthPath answers 200 as soon as the handler is loaded, as config.ReadyPath does,
// unless the handler is an application: those have a path of that name themselves.
const healthPath = "/healthz"

// Server answers requests and CloudEvents with what the handler returns.
type Server struct {
	cfg       *Config
	invoker   Invoker
	telemetry *Telemetry
	replies   *sink      // nil: replies go to who asked
	failures  *outbox    // nil: failures are told only to who asked
	calls     *sink      // stores asynchronous calls; nil: there are none
	deadlines *deadlines // of invocations that run in their requests' goroutines; nil: the invoker has its own
	started   time.Time
	warm      atomic.Bool // an invocation has come
}

// NewServer returns a server in front of the invoker.
func NewServer(cfg *Config, invoker Invoker, telemetry *Telemetry) *Server {
	s := &Server{cfg: cfg, invoker: invoker, telemetry: telemetry, started: time.Now(),
		replies: newSink(cfg.ReplySink), failures: newOutbox(newSink(cfg.ResponseSink), telemetry), calls: newSink(cfg.CallsURL)}
	if i, ok := invoker.(interface{ Limits() Limits }); ok {
		s.deadlines = newDeadlines(i.Limits())
	}
	return s
}

// Exhausted is closed when so many calls go on after their timeout that the container has
// to end. It is nil for handlers that run in processes of their own.
func (s *Server) Exhausted() <-chan struct{} {
	if s.deadlines == nil {
		return nil
	}
	return s.deadlines.exhausted
}

// closeTimeout is how long the events of failed invocations may take to be sent
// at the end.
const closeTimeout = 5 * time.Second

// Close sends what has not been sent yet. No request may come any more.
func (s *Server) Close() { s.failures.close(closeTimeout) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == config.ReadyPath || r.URL.Path == healthPath && !s.isApplication(r.Context()) {
		if !s.invoker.Ready() {
			http.Error(w, "the handler is not loaded", http.StatusServiceUnavailable)
		}
		return
	}
	if s.cfg.CORS != nil && s.crossOrigin(w, r) {
		return
	}
	if s.calls != nil && r.Method == http.MethodPost && events.PrefersAsync(r.Header) {
		s.callLater(w, r)
		return
	}
	s.handle(w, r)
}

// handle a request that is for the handler.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	x := exchange{server: s, w: w, start: time.Now()}
	if !s.warm.Swap(true) && s.awaited() {
		s.telemetry.coldStarted(r.Context())
	}
	traits, loadErr := s.traits(r.Context(), x.start)
	if !traits.Raw && loadErr == nil && validateWebhook(w, r) {
		return
	}
	if app, ok := s.invoker.(Application); ok && traits.Raw {
		x.req = newRequest(r)
		x.req.Arrived = x.start
		x.begin(r)
		defer x.span.End()
		x.serve(app, s.deadlines)
		return
	}
	problem := x.read(r, traits)
	defer x.req.release()
	x.begin(r)
	defer x.span.End()
	switch {
	case problem != nil:
		x.end(problem.outcome, problem)
	case loadErr != nil:
		x.answer(nil, loadErr)
	case s.deadlines != nil:
		x.invokeHere(s.deadlines)
	default:
		x.answer(s.invoker.Invoke(x.ctx, &x.req.Invocation))
	}
}

// read the request, as the handler takes it.
func (x *exchange) read(r *http.Request, traits Traits) *problem {
	var p *problem
	cfg := x.server.cfg
	x.req, p = readRequest(x.w, r, cfg.MaxBody, traits)
	x.req.Arrived = x.start
	if p == nil && cfg.HTTPEvent == config.HTTPEventAWS && !traits.Raw && !traits.Streams && x.req.event == nil {
		x.req.toPayload(r, cfg.Function)
	}
	return p
}

// begin the span of a request that has been read.
func (x *exchange) begin(r *http.Request) {
	x.ctx, x.span, x.req.Traceparent = x.server.telemetry.startSpan(r.Context(), x.start, x.req.Traceparent, x.req.Tracestate)
}

// traits of the handler, for which it waits until it is loaded.
func (s *Server) traits(ctx context.Context, arrived time.Time) (Traits, error) {
	if i, ok := s.invoker.(interface {
		Traits(context.Context, time.Time) (Traits, error)
	}); ok {
		return i.Traits(ctx, arrived)
	}
	return Traits{}, nil
}

// isApplication reports whether the handler has been loaded and reads requests itself.
func (s *Server) isApplication(ctx context.Context) bool {
	if !s.invoker.Ready() {
		return false
	}
	traits, err := s.traits(ctx, time.Now())
	return err == nil && traits.Raw
}

// promptly is how soon after the handler is loaded the first invocation comes if it was
// waiting: whoever holds it back asks for readiness again and again.
const promptly = time.Second

// awaited reports whether the first invocation waited for the start.
func (s *Server) awaited() bool {
	loaded := s.telemetry.loaded.Load()
	if loaded == 0 { // a handler that is part of the program
		loaded = s.started.UnixNano()
	}
	return !s.invoker.Ready() || time.Since(time.Unix(0, loaded)) < promptly
}

// exchange is a request on its way to its answer.
type exchange struct {
	server *Server
	w      http.ResponseWriter
	req    *request
	ctx    context.Context
	span   trace.Span
	start  time.Time

	// Of deadlines.
	due            time.Time
	previous, next *exchange
	late           chan struct{} // not nil: it took too long
	returned       chan struct{} // not nil: it did, and the handler has not returned
	reply          *appWriter    // of an application; nil: the handler returns its result
}

// invokeHere lets the handler run in the goroutine of the request, which costs less
// than to wait for another.
func (x *exchange) invokeHere(d *deadlines) {
	d.add(x)
	result, err := x.server.invoker.Invoke(x.ctx, &x.req.Invocation)
	if late := d.remove(x); late != nil {
		<-late
		if err == nil && result.Stream != nil {
			x.server.closeStream(result.Stream)
		}
	} else {
		x.answer(result, err)
	}
}

// answer tells the client what came of the invocation.
func (x *exchange) answer(result *Result, err error) {
	s := x.server
	if err == nil && result.Stream != nil {
		defer s.closeStream(result.Stream)
	}
	if err == nil && len(result.Body) > s.cfg.MaxBody {
		err = ReplyTooLong(len(result.Body), s.cfg.MaxBody)
	}
	var p *problem
	if err != nil {
		p = problemOf(err, s.cfg.ErrorStack)
	} else {
		p = x.writeResult(result)
	}
	switch {
	case p != nil:
		x.end(p.outcome, p)
	case result.Status >= http.StatusInternalServerError:
		x.end(outcomeError, nil)
	default:
		x.end(outcomeSuccess, nil)
	}
}

// closeStream ends a streamed result. Where a goroutine of the handler produces it, that may
// go on.
func (s *Server) closeStream(stream io.Closer) {
	_ = stream.Close() // it has been read, or is no longer awaited
	if p, ok := stream.(interface{ Done() <-chan struct{} }); ok && s.deadlines != nil {
		s.deadlines.watch(p.Done())
	}
}

// end answers with the problem, if there is one, and counts the exchange.
func (x *exchange) end(o outcome, p *problem) {
	if p != nil {
		x.server.writeProblem(x.ctx, x.w, x.req, p)
	}
	x.count(o, p)
}

func (x *exchange) count(o outcome, p *problem) {
	describe(x.span, x.req, p)
	x.server.telemetry.invoked(x.ctx, o, time.Since(x.start))
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
