package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	typeJSON       = "application/json"
	typeStructured = "application/cloudevents+json"
	typeBatch      = "application/cloudevents-batch" // and +json, as other formats
	typeOther      = "application/cloudevents"       // a format that is not JSON
)

// request is what came in.
type request struct {
	Invocation
	event      *event.Event // nil for a plain request
	structured bool
	hops       int32
	buffer     *bytes.Buffer // holds Body until release; may be nil
	stream     *bodyStream   // is Stream; may be nil
}

// maxPooled is the largest buffer that is kept for other requests.
const maxPooled = 1 << 20

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// release gives the body's memory back, and ends that the handler reads a stream.
func (r *request) release() {
	if r.stream != nil {
		r.stream.close()
	}
	if r.buffer != nil && r.buffer.Cap() <= maxPooled {
		bodies.Put(r.buffer)
	}
	r.buffer, r.Body = nil, nil
}

func newRequest(r *http.Request) *request {
	return &request{Invocation: Invocation{Method: r.Method, Path: r.URL.RequestURI(), request: r,
		Traceparent: r.Header.Get("Traceparent"), Tracestate: r.Header.Get("Tracestate")}}
}

// readRequest takes a request apart, as far as the handler does not. It returns a
// request with a problem too: the answer's form depends on it.
func readRequest(w http.ResponseWriter, r *http.Request, maxBody int, traits Traits) (*request, *problem) {
	req := newRequest(r)
	contentType := r.Header.Get("Content-Type")
	if traits.Raw { // as it was sent
		return req, req.readBody(w, r, maxBody, traits)
	}
	media := contentType
	if media != typeJSON { // the usual case
		media, _, _ = mime.ParseMediaType(contentType)
	}
	switch {
	case strings.HasPrefix(media, typeBatch):
		return req, badRequest(http.StatusUnsupportedMediaType, "batches of CloudEvents are not supported: send each event in a request of its own")
	case media != typeStructured && strings.HasPrefix(media, typeOther):
		return req, badRequest(http.StatusUnsupportedMediaType, fmt.Sprintf("CloudEvents as %s are not supported: send %s or the binary mode", media, typeStructured))
	}
	if media == typeStructured || r.Header.Get("Ce-Specversion") != "" {
		req.structured = media == typeStructured
		if p := decodeBounded(w, r, maxBody); p != nil {
			return req, p
		}
		return req, req.readEvent(r)
	}
	return req, req.readBody(w, r, maxBody, traits)
}

// bound refuses a body that is too long: before it is read where it says so, else by an
// error of its reader.
func bound(w http.ResponseWriter, r *http.Request, maxBody int) *problem {
	switch {
	case r.ContentLength > int64(maxBody):
		return tooLong(int64(maxBody))
	case r.ContentLength < 0: // else it is no longer than it says
		r.Body = http.MaxBytesReader(w, r.Body, int64(maxBody))
	}
	return nil
}

// decodeBounded takes the encodings off a body that is bounded with them and without.
func decodeBounded(w http.ResponseWriter, r *http.Request, maxBody int) *problem {
	if p := bound(w, r, maxBody); p != nil {
		return p
	}
	if p := decodeBody(r); p != nil {
		return p
	}
	return bound(w, r, maxBody)
}

func tooLong(most int64) *problem {
	return badRequest(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", most))
}

// readBody reads the body of a plain request, or leaves it to the handler.
func (r *request) readBody(w http.ResponseWriter, in *http.Request, maxBody int, traits Traits) *problem {
	r.ContentType = in.Header.Get("Content-Type")
	prepare := decodeBounded
	switch {
	case traits.Streams && in.ContentLength != 0:
		if !traits.Raw {
			if p := decodeBody(in); p != nil {
				return p
			}
		}
		r.stream = newBodyStream(w, in)
		r.Stream = r.stream
		return nil
	case traits.Raw:
		prepare = bound
	}
	if p := prepare(w, in, maxBody); p != nil {
		return p
	}
	r.buffer = bodies.Get().(*bytes.Buffer)
	r.buffer.Reset()
	if _, err := r.buffer.ReadFrom(in.Body); err != nil {
		return bodyProblem(err)
	}
	r.Body = r.buffer.Bytes()
	return nil
}

func (r *request) readEvent(in *http.Request) *problem {
	e, err := ceio.Read(in.Context(), cehttp.NewMessageFromHttpRequest(in))
	var tooLarge *http.MaxBytesError
	var encoding *encodingError
	if errors.As(err, &tooLarge) || errors.As(err, &encoding) {
		return bodyProblem(err)
	} else if err != nil {
		return badRequest(http.StatusBadRequest, "not a valid CloudEvent: "+strings.TrimSpace(err.Error()))
	}
	r.event, r.CloudEvent, r.Event = e, e, Attributes(e)
	r.Body, r.ContentType = e.Data(), e.DataContentType()
	if r.ContentType == "" && r.structured {
		r.ContentType = typeJSON // as the JSON format of CloudEvents has it
	}
	if r.Traceparent == "" {
		r.Traceparent, _ = r.Event["traceparent"].(string)
		r.Tracestate, _ = r.Event["tracestate"].(string)
	}
	return r.countHops()
}

// countHops refuses an event that functions have passed to and fro.
func (r *request) countHops() *problem {
	v, ok := r.Event[events.HopsExtension]
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 32)
	if err != nil || n < 0 {
		return badRequest(http.StatusBadRequest, fmt.Sprintf("%s: expected a whole number, got %q", events.HopsExtension, fmt.Sprint(v)))
	}
	if n > events.MaxHops {
		return badRequest(http.StatusUnprocessableEntity,
			fmt.Sprintf("%s is %d, more than %d: functions answer each other's events in a circle", events.HopsExtension, n, events.MaxHops))
	}
	r.hops = int32(n)
	return nil
}

func bodyProblem(err error) *problem {
	var tooLarge *http.MaxBytesError
	var encoding *encodingError
	switch {
	case errors.As(err, &tooLarge):
		return tooLong(tooLarge.Limit)
	case errors.As(err, &encoding):
		return badRequest(http.StatusBadRequest, encoding.Error())
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it is shorter than its Content-Length")
	}
	return badRequest(http.StatusBadRequest, "the body cannot be read: "+err.Error())
}

// Attributes of an event by their names, its extensions among them.
func Attributes(e *event.Event) map[string]any {
	a := make(map[string]any, 8+len(e.Extensions()))
	for k, v := range e.Extensions() {
		a[k] = v
	}
	set := func(name, value string) {
		if value != "" {
			a[name] = value
		}
	}
	set("specversion", e.SpecVersion())
	set("id", e.ID())
	set("source", e.Source())
	set("type", e.Type())
	set("subject", e.Subject())
	set("dataschema", e.DataSchema())
	set("datacontenttype", e.DataContentType())
	if t := e.Time(); !t.IsZero() {
		a["time"] = t.Format(time.RFC3339Nano)
	}
	return a
}
