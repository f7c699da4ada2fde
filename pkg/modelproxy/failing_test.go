package modelproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

// faulty is a provider that fails in its own way, and how often it was asked.
func faulty(t *testing.T, fail http.HandlerFunc) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the proxy go
		fail(w, r)
	}))
	t.Cleanup(h.Close)
	return h.URL, asked
}

// says is a provider's answer, as it is.
func says(status int, kind, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func breaksOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// asking is hello, as a stream or not.
func asking(stream bool) string {
	return strings.Replace(hello, "{", fmt.Sprintf(`{"stream":%v,`, stream), 1)
}

// toldError is an error in OpenAI's format, which has all four members.
func toldError(t *testing.T, text string) (kind, message string) {
	t.Helper()
	var body struct {
		Error map[string]any `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, member := range []string{"message", "type", "param", "code"} {
		if _, ok := body.Error[member]; !ok {
			t.Errorf("the error has no %s: %s", member, text)
		}
	}
	return fmt.Sprint(body.Error["type"]), fmt.Sprint(body.Error["message"])
}

const jsonType = "application/json"

// TestFailing: what becomes of a provider's failure where nobody else may answer, and
// where a fallback does.
func TestFailing(t *testing.T) {
	for _, tt := range []struct {
		name       string
		fail       http.HandlerFunc
		status     int
		kind, told string // the message
		after      string
		calls      int32 // without a fallback, and with one
		callsBy    int32
	}{
		{"limited, for long", says(429, jsonType, `{"error":{"message":"slow down"}}`, "Retry-After", "60"),
			429, "429", "openai-compatible answered 429 Too Many Requests", "60", 1, 1},
		{"limited, and does not say for how long", says(429, jsonType, `{"error":{}}`), 429, "429", "openai-compatible answered 429 Too Many Requests", "", 3, 3},
		{"broken", says(500, jsonType, `{"error":{"message":"fell over"}}`), 502, "500", "openai-compatible answered 500 Internal Server Error", "", 3, 3},
		{"down for maintenance", says(503, "text/html", "<html>", "Retry-After", "120"), 502, "503", "openai-compatible answered 503 Service Unavailable", "120", 1, 1},
		{"JSON that ends early", says(200, jsonType, `{"choices":[{"message":{"content":"he`), 502, "invalid_response", "the answer of openai-compatible is not what its API promises", "", 1, 1},
		{"JSON of something else", says(200, jsonType, `{"choices":null,"weather":"fine"}`), 502, "invalid_response", "the answer of openai-compatible is not what its API promises", "", 1, 1},
		{"no JSON", says(200, "text/html", "<html>welcome</html>"), 502, "invalid_response", "the answer of openai-compatible is not what its API promises", "", 1, 1},
		{"no chunk", says(200, "text/event-stream", ""), 502, "invalid_response", "the answer of openai-compatible is not what its API promises", "", 1, 1},
		{"a stream of errors", says(200, "text/event-stream", "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), 502, "invalid_response", "the answer of openai-compatible is not what its API promises", "", 1, 1},
		{"hanging", hangs, 504, "timeout", "openai-compatible did not answer in time", "", 1, 1},
		{"breaking off", breaksOff, 502, "connection", "openai-compatible cannot be reached", "", 3, 3},
		{"refusing the key", says(401, jsonType, `{"error":{"message":"no"}}`), 502, "401", "openai-compatible refuses the key (401)", "", 1, 1},
		{"without the model", says(404, jsonType, `{}`), 502, "404", "openai-compatible has no model m at this endpoint (404)", "", 1, 1},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", tt.name, stream), func(t *testing.T) {
				t.Parallel()
				url, calls := faulty(t, tt.fail)
				settings := `{"provider":"openai-compatible","endpoint":"` + url + `","model":"m","timeout":"2s"`
				if tt.kind == kindTimeout {
					settings = strings.Replace(settings, "2s", "1s", 1)
				}
				response, text := post(t, proxied(t, settings+"}")+"/v1/chat/completions", asking(stream))
				kind, message := toldError(t, text)
				if response.StatusCode != tt.status || kind != tt.kind || message != tt.told || response.Header.Get("Retry-After") != tt.after {
					t.Errorf("%d, Retry-After %q: %s; want %d, %q, %s: %s", response.StatusCode, response.Header.Get("Retry-After"), text, tt.status, tt.after, tt.kind, tt.told)
				}
				if got := calls.Swap(0); got != tt.calls {
					t.Errorf("the model was asked %d times, want %d", got, tt.calls)
				}

				_, spare := provider(t)
				fallback := func(url string) string {
					return settings + `,"fallbacks":[{"provider":"ollama","endpoint":"` + url + `","model":"spare"}]}`
				}
				response, text = post(t, proxied(t, fallback(spare))+"/v1/chat/completions", asking(stream))
				if stream {
					text = joined(t, text)
				}
				if response.StatusCode != http.StatusOK || !strings.Contains(text, "spare heard: hello there") {
					t.Errorf("with a fallback: %d: %s", response.StatusCode, text)
				}
				if got := calls.Load(); got != tt.callsBy {
					t.Errorf("with a fallback the model was asked %d times, want %d", got, tt.callsBy)
				}

				away, _ := faulty(t, says(404, jsonType, "{}"))
				_, text = post(t, proxied(t, fallback(away))+"/v1/chat/completions", asking(stream))
				_, message = toldError(t, text)
				if want := "no model answered: m: " + tt.told + "; spare: ollama has no model spare at this endpoint (404)"; message != want {
					t.Errorf("with a fallback that fails: %s; want %s", message, want)
				}
			})
		}
	}
}

// TestAskedAgain: a failure that passes is not the agent's to know.
func TestAskedAgain(t *testing.T) {
	for _, mode := range []string{modelserver.ModeLimited, modelserver.ModeBroken} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m, url := provider(t)
			_, spare := provider(t)
			proxy := proxied(t, `{"provider":"openai-compatible","endpoint":"`+url+`","model":"m","fallbacks":[{"provider":"openai-compatible","endpoint":"`+spare+`","model":"spare"}]}`)
			m.Behave(modelserver.Behavior{Mode: mode, Times: 1})
			response, text := post(t, proxy+"/v1/chat/completions", hello)
			if response.StatusCode != http.StatusOK || !strings.Contains(text, "m heard: hello there") || m.Calls().Total != 2 {
				t.Errorf("%d after %d calls: %s; want the answer of the second", response.StatusCode, m.Calls().Total, text)
			}
		})
	}
}

// TestNoLongWait: a model that wants to be asked again later is not waited for where
// another may answer.
func TestNoLongWait(t *testing.T) {
	url, calls := faulty(t, says(429, jsonType, "{}", "Retry-After", "3"))
	_, spare := provider(t)
	proxy := proxied(t, `{"provider":"openai-compatible","endpoint":"`+url+`","model":"m","fallbacks":[{"provider":"openai-compatible","endpoint":"`+spare+`","model":"spare"}]}`)
	response, text := post(t, proxy+"/v1/chat/completions", hello)
	if response.StatusCode != http.StatusOK || calls.Load() != 1 {
		t.Errorf("%d after %d calls: %s; want the fallback's answer after one", response.StatusCode, calls.Load(), text)
	}
}

// TestStreamThatBreaks: the agent is told, in the stream, since it has the beginning
// already; and no other model is asked.
func TestStreamThatBreaks(t *testing.T) {
	const first = `data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"Once "}}]}` + "\n\n"
	begins := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			says(200, "text/event-stream", first)(w, r)
			_ = http.NewResponseController(w).Flush()
			then(w, r)
		}
	}
	more := func(text string) http.HandlerFunc {
		return begins(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	for _, tt := range []struct {
		name       string
		fail       http.HandlerFunc
		kind, told string
	}{
		{"ends", more(""), "stream_cut", "openai-compatible ended the stream before its end"},
		{"breaks off", begins(breaksOff), "stream_cut", "openai-compatible ended the stream before its end"},
		{"goes on with garbage", more("data: {\"choices\":[{\n\n"), "stream_cut", "openai-compatible ended the stream before its end"},
		{"goes on with an error", more("data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), "stream_cut", "openai-compatible ended the stream before its end"},
		{"hangs", begins(hangs), "timeout", "openai-compatible did not answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url, calls := faulty(t, tt.fail)
			spare, spareURL := provider(t)
			proxy := proxied(t, `{"provider":"openai-compatible","endpoint":"`+url+`","model":"m","timeout":"1s",
				"fallbacks":[{"provider":"openai-compatible","endpoint":"`+spareURL+`","model":"spare"}]}`)
			response, text := post(t, proxy+"/v1/chat/completions", asking(true))
			rest, ok := strings.CutPrefix(text, first)
			if response.StatusCode != http.StatusOK || !ok {
				t.Fatalf("%d: %q; want the first chunk", response.StatusCode, text)
			}
			last, ok := strings.CutPrefix(strings.TrimSpace(rest), "data: ")
			if !ok || strings.Contains(rest, "[DONE]") {
				t.Fatalf("the stream ends with %q, want one event", rest)
			}
			if kind, message := toldError(t, last); kind != tt.kind || message != tt.told {
				t.Errorf("the stream ends with %s, want %s: %s", last, tt.kind, tt.told)
			}
			if calls.Load() != 1 || spare.Calls().Total != 0 {
				t.Errorf("%d calls, and %d of the fallback; want 1 and none", calls.Load(), spare.Calls().Total)
			}
		})
	}
}

// TestFailingInOllamasWords: who speaks Ollama's API gets its errors.
func TestFailingInOllamasWords(t *testing.T) {
	m, url := provider(t)
	proxy := proxied(t, `{"provider":"ollama","endpoint":"`+url+`","model":"m"}`)
	m.Behave(modelserver.Behavior{Mode: modelserver.ModeGarbage})
	for _, path := range []string{"/api/chat", "/api/show"} {
		response, text := post(t, proxy+path, asking(false))
		if want := `{"error":"the answer of ollama is not what its API promises"}`; response.StatusCode != http.StatusBadGateway || text != want {
			t.Errorf("%s: %d: %s; want 502: %s", path, response.StatusCode, text, want)
		}
	}
	m.Behave(modelserver.Behavior{Mode: modelserver.ModeCutShort})
	_, text := post(t, proxy+"/api/chat", asking(true))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if want := `{"error":"ollama ended the stream before its end"}`; len(lines) != 2 || lines[1] != want {
		t.Errorf("the stream is %q, want it to end with %s", lines, want)
	}
}

// TestHangingTell: what Ollama tells about itself is waited for as long as an answer.
func TestHangingTell(t *testing.T) {
	url, _ := faulty(t, hangs)
	proxy := proxied(t, `{"provider":"ollama","endpoint":"`+url+`","model":"m","timeout":"100ms"}`)
	response, text := post(t, proxy+"/api/show", `{"model":"m"}`)
	if response.StatusCode != http.StatusGatewayTimeout || text != `{"error":"ollama did not answer in time"}` {
		t.Errorf("%d: %s", response.StatusCode, text)
	}
}

// TestCancel: an agent that goes away takes its call at the provider with it.
func TestCancel(t *testing.T) {
	gone := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(gone)
	}))
	defer h.Close()
	proxy := proxied(t, `{"provider":"openai","endpoint":"`+h.URL+`","model":"m"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, proxy+"/v1/chat/completions", strings.NewReader(hello))
	if response, err := http.DefaultClient.Do(r); err == nil {
		response.Body.Close()
		t.Error("the call was answered")
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the provider still works on the call")
	}
}

// TestRedirect: the key goes to no other host.
func TestRedirect(t *testing.T) {
	m, url := provider(t)
	h := httptest.NewServer(http.RedirectHandler(url+"/v1/chat/completions", http.StatusTemporaryRedirect))
	defer h.Close()
	proxy := proxied(t, `{"provider":"openai","endpoint":"`+h.URL+`","model":"m"}`)
	response, text := post(t, proxy+"/v1/chat/completions", hello)
	if response.StatusCode != http.StatusBadGateway || m.Calls().Total != 0 {
		t.Errorf("status %d: %s, and %d calls at the other host; want 502 and none", response.StatusCode, text, m.Calls().Total)
	}
}
