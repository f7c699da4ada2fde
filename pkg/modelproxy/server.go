package modelproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Server is the endpoint that the agent talks to.
type Server struct {
	cfg       *Config
	budget    *budget
	telemetry *telemetry
	client    *http.Client
	mux       *http.ServeMux
}

func newServer(cfg *Config, b *budget, t *telemetry) *Server {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.DisableCompression = true // it would hold chunks back
	s := &Server{cfg: cfg, budget: b, telemetry: t, mux: http.NewServeMux(), client: &http.Client{
		Transport: transport,
		// The key is for the host that the spec names, and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for path, to := range routes {
		if to.ollama && cfg.upstreams[0].ollama == nil {
			continue
		}
		s.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, to) })
	}
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	if cfg.upstreams[0].ollama != nil {
		for _, pattern := range []string{"GET /api/tags", "GET /api/version", "POST /api/show"} {
			s.mux.HandleFunc(pattern, s.passOn)
		}
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, false, http.StatusNotFound, "not_found", "the model proxy does not serve "+r.Method+" "+r.URL.Path)
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// serve a call of a model.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, to route) {
	q, err := s.read(w, r, to)
	if err != nil {
		status := http.StatusBadRequest
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			status = http.StatusRequestEntityTooLarge
		}
		writeError(w, to.ollama, status, "invalid_request_error", err.Error())
		return
	}
	ctx, o := s.telemetry.begin(r, q)
	res := &result{}
	reserved, ok := s.budget.reserve(q)
	if !ok {
		f := s.exhausted(w, q)
		o.end(ctx, res, f)
		return
	}
	f := s.charged(ctx, w, q, o, res, reserved)
	o.end(ctx, res, f)
	if f == nil || res.committed {
		return
	}
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.after+time.Second-1)/time.Second)))
	}
	if f.body != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.status)
		_, _ = w.Write(f.body)
		return
	}
	writeError(w, q.ollama, f.status, f.kind, f.message)
}

// charged forwards a call and settles what was reserved for it, even after a panic.
func (s *Server) charged(ctx context.Context, w http.ResponseWriter, q *call, o *observation, res *result, r *reservation) (f *failure) {
	defer func() { s.budget.settle(r, cost(q, res, f)) }()
	return s.forward(ctx, w, q, o, res)
}

// cost of a call in tokens: as the provider says, or by estimate.
func cost(q *call, res *result, f *failure) int64 {
	switch {
	case res.reported:
		return res.input + res.output
	case f != nil && !res.committed && (f.kind == kindTimeout || f.kind == kindCancelled):
		return q.input // the provider may have read it
	case f != nil && !res.committed:
		return 0
	default:
		return q.input + tokensOf(res.outBytes)
	}
}

// exhausted tells the agent when it may go on.
func (s *Server) exhausted(w http.ResponseWriter, q *call) *failure {
	next := s.budget.next()
	wait := next.Sub(s.budget.now())
	left, reserved := s.budget.left()
	f := &failure{status: http.StatusTooManyRequests, kind: kindBudget, message: fmt.Sprintf(
		"the token budget of this window is used up: %d of %d tokens are left for this replica and this call may take more; the next window begins at %s",
		left, s.budget.share, next.Format(time.RFC3339))}
	if reserved > 0 {
		f.message += fmt.Sprintf("; of %d tokens, what calls that still run do not take comes back when they end", reserved)
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	writeError(w, q.ollama, f.status, f.kind, f.message)
	return f
}

// models that the spec names.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	list, seen := []any{}, map[string]bool{}
	for _, u := range s.cfg.upstreams {
		if !seen[u.Name] {
			seen[u.Name] = true
			list = append(list, map[string]any{"id": u.Name, "object": "model", "created": 0, "owned_by": u.Provider})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": list})
}

// passOn what Ollama tells about itself.
func (s *Server) passOn(w http.ResponseWriter, r *http.Request) {
	u := s.cfg.upstreams[0]
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		writeError(w, true, http.StatusRequestEntityTooLarge, "invalid_request_error", err.Error())
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.cfg.timeout, errTimeout)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, r.Method, u.ollama.JoinPath(r.URL.Path).String(), bytes.NewReader(body))
	if err != nil {
		writeError(w, true, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	u.authorize(ask)
	response, err := s.client.Do(ask)
	if err == nil {
		defer response.Body.Close()
		body, err = io.ReadAll(io.LimitReader(response.Body, maxBody))
	}
	if err == nil {
		if body = u.withoutKeyJSON(body); body == nil {
			err = errGarbage
		}
	}
	if err != nil {
		f := broken(ctx, u, err)
		slog.WarnContext(ctx, "cannot get the models of a provider", "provider", u.Provider, "reason", f.why(u), "error_type", f.kind)
		writeError(w, true, f.status, f.kind, f.message)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body) // the agent may be gone
}
