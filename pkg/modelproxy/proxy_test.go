package modelproxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

const secret = "sk-very-secret"

// provider is a model server that tests can look into.
func provider(t *testing.T) (*modelserver.Server, string) {
	t.Helper()
	m := &modelserver.Server{}
	h := httptest.NewServer(m)
	t.Cleanup(h.Close)
	return m, h.URL
}

// served is a proxy with the settings, and a key for each of its models.
func served(t *testing.T, settings string) *Server {
	t.Helper()
	cfg, err := parse([]byte(`{"name":"bruno","namespace":"team","modelProxy":`+settings+`}`), func(name string) string {
		return map[string]string{KeyVariable(0): secret + "\n", KeyVariable(1): "sk-of-the-fallback", "LAMBDA_METRICS_PORT": "0"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBudget(cfg, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	tel, err := startTelemetry(t.Context(), cfg, b, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return newServer(cfg, b, tel)
}

// proxied is the address of one.
func proxied(t *testing.T, settings string, change ...func(*Server)) string {
	t.Helper()
	s := served(t, settings)
	for _, c := range change {
		c(s)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

// answered is an answer whose body was read.
type answered struct {
	StatusCode int
	Header     http.Header
}

func post(t *testing.T, url, body string) (answered, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer unused")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) {
		t.Error("the answer holds the key")
	}
	return answered{response.StatusCode, response.Header}, string(text)
}

const hello = `{"model":"gpt-unknown","messages":[{"role":"user","content":"hello there"}]}`

// TestProviders: each gets what its API wants, at its place, with the key where it
// looks for it and nothing of the agent's own.
func TestProviders(t *testing.T) {
	for _, tt := range []struct {
		provider, endpoint, call, path, header, key string
	}{
		{"openai", "/v1", "/v1/chat/completions", "/v1/chat/completions", "Authorization", "Bearer " + secret},
		{"openai-compatible", "", "/v1/chat/completions", "/v1/chat/completions", "Authorization", "Bearer " + secret},
		{"openai-compatible", "/llm/api/", "/v1/embeddings", "/llm/api/embeddings", "Authorization", "Bearer " + secret},
		{"google", "", "/v1/chat/completions", "/v1beta/openai/chat/completions", "Authorization", "Bearer " + secret},
		{"bedrock", "", "/v1/chat/completions", "/openai/v1/chat/completions", "Authorization", "Bearer " + secret},
		{"azure-openai", "", "/v1/chat/completions", "/openai/deployments/m/chat/completions", "Api-Key", secret},
		{"ollama", "", "/v1/chat/completions", "/v1/chat/completions", "Authorization", "Bearer " + secret},
		{"ollama", "/v1", "/api/chat", "/api/chat", "Authorization", "Bearer " + secret},
		{"ollama", "", "/api/generate", "/api/generate", "Authorization", "Bearer " + secret},
	} {
		t.Run(tt.provider+tt.call, func(t *testing.T) {
			m, url := provider(t)
			proxy := proxied(t, fmt.Sprintf(`{"provider":%q,"endpoint":%q,"model":"m","temperature":0.7,"topP":0.9,"maxTokens":64}`, tt.provider, url+tt.endpoint))
			body := hello
			if strings.Contains(tt.call, "embeddings") {
				body = `{"input":"hello there","model":"m"}`
			}
			response, text := post(t, proxy+tt.call, body)
			if response.StatusCode != http.StatusOK {
				t.Fatalf("status %d: %s", response.StatusCode, text)
			}
			r, got := m.Last()
			if r.URL.Path != tt.path {
				t.Errorf("path = %s, want %s", r.URL.Path, tt.path)
			}
			if r.Header.Get(tt.header) != tt.key {
				t.Errorf("%s = %q, want the key", tt.header, r.Header.Get(tt.header))
			}
			if strings.Contains(fmt.Sprint(r.Header), "unused") {
				t.Error("the agent's own Authorization reached the provider")
			}
			if tt.provider == "azure-openai" && r.URL.Query().Get("api-version") != azureVersion {
				t.Errorf("query = %s, want the version of the API", r.URL.RawQuery)
			}
			if !strings.Contains(string(got), `"model":"m"`) {
				t.Errorf("body = %s, want the model of the spec", got)
			}
			if !strings.Contains(tt.call, "embeddings") && !strings.Contains(string(got), `"temperature":0.7`) {
				t.Errorf("body = %s, want the temperature of the spec", got)
			}
		})
	}
}

// TestRequestWins over the spec's defaults.
func TestRequestWins(t *testing.T) {
	m, url := provider(t)
	proxy := proxied(t, `{"provider":"openai","endpoint":"`+url+`","model":"m","temperature":0.7,"topP":0.9,"maxTokens":64}`)
	post(t, proxy+"/v1/chat/completions", `{"messages":[],"temperature":0,"top_p":1,"max_tokens":5,"seed":7}`)
	_, got := m.Last()
	if want := `{"max_tokens":5,"messages":[],"model":"m","seed":7,"temperature":0,"top_p":1}`; string(got) != want {
		t.Errorf("body = %s, want %s", got, want)
	}
}

// TestStreamIsNotHeldBack: the first chunk is with the agent while the second is not
// written yet, in OpenAI's API and in Ollama's.
func TestStreamIsNotHeldBack(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/api/chat"} {
		m, url := provider(t)
		m.Gate = make(chan struct{})
		proxy := proxied(t, `{"provider":"ollama","endpoint":"`+url+`","model":"m"}`)
		response, err := http.Post(proxy+path, "", strings.NewReader(strings.Replace(hello, "{", `{"stream":true,`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(response.Body)
		if !lines.Scan() || !strings.Contains(lines.Text(), "m ") {
			t.Errorf("%s: first chunk = %q", path, lines.Text())
		}
		close(m.Gate)
		for lines.Scan() {
		}
		if err := lines.Err(); err != nil {
			t.Error(err)
		}
		response.Body.Close()
	}
}

// joined text of a stream; what is none, as it is.
func joined(t *testing.T, text string) string {
	t.Helper()
	if !strings.HasPrefix(text, "data:") {
		return text
	}
	var all strings.Builder
	for _, line := range strings.Split(text, "\n") {
		var c struct {
			Choices []struct {
				Delta struct{ Content string }
			}
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatal(err, data)
		}
		for _, choice := range c.Choices {
			all.WriteString(choice.Delta.Content)
		}
	}
	if !strings.Contains(text, "[DONE]") {
		t.Error("the stream has no end")
	}
	if strings.Contains(text, `"usage"`) {
		t.Error("the agent gets usage that it did not ask for")
	}
	return all.String()
}
