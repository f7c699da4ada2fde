package runtime

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// maxCallAnswer bounds what the event plane answers to a call, in bytes.
const maxCallAnswer = 64 << 10

// callHeaders of a request are passed on to the event plane, besides those of CloudEvents.
var callHeaders = []string{"Authorization", "Content-Type", "Prefer", "Traceparent", "Tracestate"}

// callLater passes a request on to the event plane, which delivers it to this function as
// an event, and answers as that does: 202 once the call is stored.
func (s *Server) callLater(w http.ResponseWriter, r *http.Request) {
	if p := decodeBounded(w, r, s.cfg.MaxBody); p != nil {
		s.writeProblem(r.Context(), w, &request{}, p)
		return
	}
	response, err := s.calls.pass(r)
	if err != nil {
		s.refuseCall(w, r, err)
		return
	}
	defer response.Body.Close()
	for _, name := range []string{"Content-Type", "Lambda-Call-Id", "Preference-Applied", "Retry-After", "X-Content-Type-Options"} {
		if values := response.Header[http.CanonicalHeaderKey(name)]; len(values) > 0 {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(response.Body, maxCallAnswer)) // else the client went away
}

// pass a request on.
func (s *sink) pass(r *http.Request) (*http.Response, error) {
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, s.url, r.Body)
	if err != nil {
		return nil, err
	}
	out.ContentLength = r.ContentLength
	for name, values := range r.Header {
		if strings.HasPrefix(name, "Ce-") {
			out.Header[name] = values
		}
	}
	for _, name := range callHeaders {
		if values := r.Header[name]; len(values) > 0 {
			out.Header[name] = values
		}
	}
	return s.client.Do(out)
}

// refuseCall answers that a call was not stored.
func (s *Server) refuseCall(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	var encoding *encodingError
	var failed *url.Error
	p := &problem{status: http.StatusServiceUnavailable, data: events.Error{Type: "CallNotStored"}}
	switch {
	case errors.As(err, &tooLarge), errors.As(err, &encoding):
		p = bodyProblem(err)
	case errors.As(err, &failed): // its text has the whole URL
		err = failed.Err
		fallthrough
	default:
		slog.WarnContext(r.Context(), "a call was not stored", "error", err)
		p.data.Message = fmt.Sprintf("%s did not store the call; send it again later", s.calls.name)
		w.Header().Set("Retry-After", "5")
	}
	writeBody(w, p.status, typeJSON, p.json())
}
