// Package modelserver is a model server without a model: it speaks OpenAI's API
// and Ollama's, answers the same to the same, and fails as it is told. Tests and
// samples use it in place of a language model.
package modelserver

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Modes of failing.
const (
	ModeNone     = ""
	ModeLimited  = "429"
	ModeBroken   = "500"
	ModeGarbage  = "garbage"
	ModeHang     = "hang"
	ModeNoUsage  = "no-usage"  // answers, and does not say how many tokens it took
	ModeCutShort = "cut-short" // ends streams in their middle
)

// BehaviorHeader of a request tells the mode for that request alone.
const BehaviorHeader = "X-Model-Behavior"

// Behavior is how calls are answered until it is changed.
type Behavior struct {
	// Mode is one of the constants above.
	Mode string `json:"mode"`
	// Times that it holds; 0 is for ever.
	Times int `json:"times,omitempty"`
}

// Calls is what the server was asked so far. Keys are never in it.
type Calls struct {
	Total      int            `json:"total"`
	Authorized int            `json:"authorized"` // with any key
	ByPath     map[string]int `json:"byPath"`
}

// Server is an http.Handler. Its zero value answers every call.
type Server struct {
	// Gate, where there is one, lets each chunk of a stream after the first pass.
	Gate chan struct{}
	// Model that it lists, by OpenAI's API; "echo" where it is empty. It answers for
	// all.
	Model string

	mu       sync.Mutex
	behavior Behavior
	calls    Calls
	last     *http.Request
	body     []byte
}

// Behave changes how calls are answered.
func (s *Server) Behave(b Behavior) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behavior = b
}

// Calls so far.
func (s *Server) Calls() Calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	calls.ByPath = make(map[string]int, len(s.calls.ByPath))
	for path, n := range s.calls.ByPath {
		calls.ByPath[path] = n
	}
	return calls
}

// Last returns the last call of a model and its body.
func (s *Server) Last() (*http.Request, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.body
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /healthz":
		return
	case "GET /admin/calls":
		writeJSON(w, http.StatusOK, s.Calls())
		return
	case "PUT /admin/behavior":
		var b Behavior
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&b); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Behave(b)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := readAll(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	mode := s.record(r, body)
	if failed(w, r, mode) {
		return
	}
	s.answer(w, r, body, mode)
}

// record the call and say how it is answered.
func (s *Server) record(r *http.Request, body []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.Total++
	if r.Header.Get("Authorization") != "" || r.Header.Get("Api-Key") != "" || r.Header.Get("X-Api-Key") != "" {
		s.calls.Authorized++
	}
	if s.calls.ByPath == nil {
		s.calls.ByPath = map[string]int{}
	}
	s.calls.ByPath[r.URL.Path]++
	if r.Method == http.MethodPost { // others only look whether it is there
		s.last, s.body = r, body
	}
	if mode := r.Header.Get(BehaviorHeader); mode != "" {
		return mode
	}
	mode := s.behavior.Mode
	if s.behavior.Times > 0 {
		if s.behavior.Times--; s.behavior.Times == 0 {
			s.behavior = Behavior{}
		}
	}
	return mode
}

// failed answers a call that is to fail.
func failed(w http.ResponseWriter, r *http.Request, mode string) bool {
	switch mode {
	case ModeLimited:
		w.Header().Set("Retry-After", "1")
		writeJSON(w, http.StatusTooManyRequests, failure("slow down", "rate_limit_exceeded"))
	case ModeBroken:
		writeJSON(w, http.StatusInternalServerError, failure("the model fell over", "server_error"))
	case ModeGarbage:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>not what you asked for</html>")
	case ModeHang:
		<-r.Context().Done()
	default:
		return false
	}
	return true
}

func failure(message, kind string) map[string]any {
	return map[string]any{"error": map[string]any{"message": message, "type": kind}}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, body []byte, mode string) {
	var q question
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			writeJSON(w, http.StatusBadRequest, failure(err.Error(), "invalid_request_error"))
			return
		}
	}
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		s.chat(w, r, &q, mode)
	case strings.HasSuffix(path, "/embeddings") && path != "/api/embeddings":
		embeddings(w, &q, mode)
	case strings.HasSuffix(path, "/models"):
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{map[string]any{"id": cmp.Or(s.Model, "echo"), "object": "model"}}})
	case path == "/api/chat", path == "/api/generate":
		s.ollama(w, r, &q, mode)
	case path == "/api/embed":
		writeJSON(w, http.StatusOK, map[string]any{"model": q.Model, "embeddings": [][]float64{vector(q.text())}, "prompt_eval_count": len(strings.Fields(q.text()))})
	case path == "/api/embeddings":
		writeJSON(w, http.StatusOK, map[string]any{"embedding": vector(q.Prompt)})
	case path == "/api/tags":
		writeJSON(w, http.StatusOK, map[string]any{"models": []any{map[string]any{"name": "echo"}}})
	case path == "/api/show":
		writeJSON(w, http.StatusOK, map[string]any{"modelfile": "FROM echo", "details": map[string]any{"family": "echo"}})
	case path == "/api/version":
		writeJSON(w, http.StatusOK, map[string]any{"version": "0.0.0-test"})
	default:
		writeJSON(w, http.StatusNotFound, failure("no such path: "+path, "invalid_request_error"))
	}
}
