package modelproxy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// oddKey has what JSON and URLs write in other ways.
const oddKey = `sk-odd/"<key>&\1`

// agentsOwn is what the agent sends where the provider looks for a key.
const agentsOwn = "sk-of-the-agent"

// forms in which a key might be written.
func forms(key string) []string {
	quoted, _ := json.Marshal(key)
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(key)
	return []string{key, strings.Trim(string(quoted), `"`), strings.Trim(strings.TrimSpace(plain.String()), `"`), strings.Trim(fmt.Sprintf("%q", key), `"`),
		url.QueryEscape(key), url.PathEscape(key), base64.StdEncoding.EncodeToString([]byte(key))}
}

func hasNoKey(t *testing.T, where, text string) {
	t.Helper()
	for _, key := range []string{oddKey, agentsOwn} {
		for _, form := range forms(key) {
			if strings.Contains(text, form) {
				t.Errorf("%s: %s has the key as %s", where, text, form)
			}
		}
	}
}

// echoes are providers that say the key they were sent, wherever they can.
func echoes() map[string]http.HandlerFunc {
	key := func(r *http.Request) string {
		return r.Header.Get("Authorization") + r.Header.Get("Api-Key") + r.Header.Get("X-Api-Key")
	}
	all := map[string]http.HandlerFunc{
		"the model's name": func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"id": key(r), "model": key(r), "choices": []any{map[string]any{"message": map[string]any{}, "finish_reason": key(r)}}})
		},
		"garbage": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, key(r)) },
		"no HTTP": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "%s\r\n\r\n", key(r))
				conn.Close()
			}
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/?"+url.QueryEscape(key(r)), http.StatusTemporaryRedirect)
		},
		"an error in the stream": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			text, _ := json.Marshal(map[string]any{"error": map[string]any{"message": key(r)}})
			fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: %s\n\n", text)
		},
	}
	for _, code := range []int{400, 401, 403, 404, 413, 422, 429, 500, 503} {
		all[http.StatusText(code)] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600 "+key(r))
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "error", key(r): 1, "error": map[string]any{"message": "Incorrect API key provided: " + key(r), "param": []any{key(r)}}})
		}
	}
	all["another way to write it"] = func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		var text strings.Builder
		for _, c := range key(r) {
			fmt.Fprintf(&text, `\u%04x`, c)
		}
		fmt.Fprintf(w, `{"error":{"message":"%s"}}`, &text)
	}
	return all
}

// TestKeyIsToldNobody: neither the provider's key nor what the agent sends as one is in
// a log line, an error, a metric or a span, however much is logged and whatever the
// provider says.
func TestKeyIsToldNobody(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var logs bytes.Buffer
	slog.SetDefault(runtime.NewLogger(&runtime.Config{LogLevel: "debug"}, &logs))
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(scope)
	said := 0
	for _, name := range []string{providerCompatible, providerAnthropic, providerAzure, providerOllama} {
		for what, echo := range echoes() {
			h := httptest.NewServer(echo)
			cfg, err := parse([]byte(`{"modelProxy":{"provider":"`+name+`","endpoint":"`+h.URL+`","model":"m","timeout":"100ms"}}`), func(variable string) string {
				return map[string]string{KeyVariable(0): oddKey, "LAMBDA_METRICS_PORT": "0"}[variable]
			})
			if err != nil {
				t.Fatal(err)
			}
			tel, err := startTelemetry(t.Context(), cfg, nil, func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			if err := tel.instrument(meter, nil); err != nil {
				t.Fatal(err)
			}
			s := newServer(cfg, nil, tel)
			spans := traced(s)
			for _, call := range []struct{ path, body string }{{"/v1/chat/completions", asking(false)}, {"/v1/chat/completions", asking(true)},
				{"/v1/embeddings", `{"input":"x"}`}, {"/api/chat", asking(true)}, {"/api/show", "{}"}} {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, call.path, strings.NewReader(call.body))
				for _, header := range []string{"Authorization", "Api-Key", "X-Api-Key"} {
					r.Header.Set(header, agentsOwn)
				}
				s.ServeHTTP(w, r)
				where := name + ", " + what + ", " + call.path
				if what != "the model's name" && (w.Code != http.StatusOK || call.body == asking(true)) { // else it is the model's answer
					hasNoKey(t, where, w.Body.String())
					hasNoKey(t, where, decoded(w.Body.String()))
					said++
				}
				hasNoKey(t, where, fmt.Sprint(w.Header()))
			}
			for _, span := range spans.GetSpans() {
				hasNoKey(t, name+", "+what, fmt.Sprintf("%s %+v %+v %+v", span.Name, span.Attributes, span.Status, span.Events))
			}
			h.Close()
		}
	}
	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &metrics); err != nil {
		t.Fatal(err)
	}
	hasNoKey(t, "metrics", fmt.Sprintf("%+v", metrics))
	hasNoKey(t, "logs", logs.String())
	hasNoKey(t, "logs", decoded(logs.String()))
	for _, level := range []string{`"severity":"DEBUG"`, `"severity":"WARNING"`} {
		if !strings.Contains(logs.String(), level) {
			t.Errorf("nothing was logged at %s", level)
		}
	}
	if said < 100 || !strings.Contains(fmt.Sprintf("%+v", metrics), "gen_ai.client.operation.duration") {
		t.Errorf("%d errors were looked at, and metrics are %+v", said, metrics)
	}
}

// decoded strings of JSON, or of a stream of it.
func decoded(text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		var value any
		if json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &value) == nil {
			fmt.Fprintln(&all, value)
		}
	}
	return all.String()
}

// TestReasonsAreLogged: what the agent is not told of a connection, the log has.
func TestReasonsAreLogged(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var logs bytes.Buffer
	slog.SetDefault(runtime.NewLogger(&runtime.Config{}, &logs))
	h := httptest.NewServer(http.NotFoundHandler())
	h.Close()
	_, text := post(t, proxied(t, `{"provider":"openai","endpoint":"`+h.URL+`","model":"m"}`)+"/v1/chat/completions", hello)
	if _, message := toldError(t, text); message != "openai cannot be reached" {
		t.Errorf("the agent is told %s", text)
	}
	if !strings.Contains(logs.String(), "connection refused") || strings.Contains(logs.String(), `"severity":"DEBUG"`) {
		t.Errorf("the log says %s; want why, at the level that is asked for", &logs)
	}
}

// TestKeyThatIsNone: one that no header may have is found at the start.
func TestKeyThatIsNone(t *testing.T) {
	_, err := parse([]byte(`{"modelProxy":{"provider":"openai","model":"m"}}`), func(name string) string {
		return map[string]string{KeyVariable(0): "two\nlines"}[name]
	})
	if err == nil || err.Error() != "model 0: its key has characters that no header may have" {
		t.Errorf("error = %v", err)
	}
}
