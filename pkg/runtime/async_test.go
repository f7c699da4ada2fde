package runtime

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// echoInvoker is an Invoker that returns what it was called with.
type echoInvoker struct{ calls int }

func (e *echoInvoker) Invoke(_ context.Context, in *Invocation) (*Result, error) {
	e.calls++
	return &Result{ContentType: in.ContentType, Body: in.Body}, nil
}

func (*echoInvoker) Ready() bool { return true }

// TestRespondAsync: a request that prefers it is stored and not invoked; the answer is the
// event plane's.
func TestRespondAsync(t *testing.T) {
	const accepted = `{"id":"1"}`
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("Content-Type") != "text/plain" || r.Header.Get("Cookie") != "" || string(body) != "hello" {
			http.Error(w, "got "+string(body), http.StatusTeapot)
			return
		}
		w.Header().Set("Lambda-Call-Id", "1")
		w.Header().Set("Preference-Applied", r.Header.Get("Prefer"))
		w.Header().Set("Set-Cookie", "secret=1")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, accepted)
	})
	plane := httptest.NewServer(answers)
	defer plane.Close()
	closed := httptest.NewServer(answers)
	closed.Close()
	for name, tt := range map[string]struct {
		url, method, prefer, body string
		status                    int
		answer                    string
		invoked                   int
	}{
		"asked for":            {plane.URL, http.MethodPost, "respond-async", "hello", 202, accepted, 0},
		"not asked for":        {plane.URL, http.MethodPost, "", "hello", 200, "hello", 1},
		"by a dispatcher":      {plane.URL, http.MethodPost, "reply", "hello", 200, "hello", 1},
		"by GET":               {plane.URL, http.MethodGet, "respond-async", "", 204, "", 1},
		"without event plane":  {"", http.MethodPost, "respond-async", "hello", 200, "hello", 1},
		"event plane is away":  {closed.URL, http.MethodPost, "respond-async", "hello", 503, "CallNotStored", 0},
		"the plane refuses it": {plane.URL, http.MethodPost, "respond-async", "other", 418, "got other", 0},
		"too long":             {plane.URL, http.MethodPost, "respond-async", strings.Repeat("x", 2000), 413, "longer than 1000 bytes", 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &Config{MaxBody: 1000, Function: "f", CallsURL: tt.url}
			telemetry, err := StartTelemetry(t.Context(), cfg, os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			defer telemetry.Shutdown()
			invoker := &echoInvoker{}
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/", strings.NewReader(tt.body))
			for key, value := range map[string]string{"Prefer": tt.prefer, "Authorization": "Bearer t", "Cookie": "c=1"} {
				r.Header.Set(key, value)
			}
			if tt.body != "" {
				r.Header.Set("Content-Type", "text/plain")
			}
			w := httptest.NewRecorder()
			NewServer(cfg, invoker, telemetry).ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) || invoker.calls != tt.invoked {
				t.Errorf("answer %d %q after %d invocations; want %d %q after %d", w.Code, w.Body, invoker.calls, tt.status, tt.answer, tt.invoked)
			}
			if tt.answer == accepted && (w.Header().Get("Lambda-Call-Id") != "1" || w.Header().Get("Preference-Applied") != "respond-async" || w.Header().Get("Set-Cookie") != "") {
				t.Errorf("headers %v", w.Header())
			}
			if tt.status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
		})
	}
}
