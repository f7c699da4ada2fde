package modelproxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMetrics: the names of the semantic conventions, and nothing of what is said.
func TestMetrics(t *testing.T) {
	_, url := provider(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cfg, err := parse([]byte(`{"name":"bruno","modelProxy":{"provider":"openai-compatible","endpoint":"`+url+`","model":"m","budget":{"tokens":1000,"window":"1h"},"maxReplicas":1}}`), func(name string) string {
		return map[string]string{KeyVariable(0): secret, "LAMBDA_METRICS_PORT": strconv.Itoa(port)}[name]
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
	defer tel.close()
	h := httptest.NewServer(newServer(cfg, b, tel))
	defer h.Close()
	post(t, h.URL+"/v1/chat/completions", strings.Replace(hello, "{", `{"stream":true,`, 1))
	var text string
	for range 50 { // what is recorded after the answer's last byte
		response, err := http.Get("http://127.0.0.1:" + strconv.Itoa(port) + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if text = string(body); strings.Contains(text, "gen_ai_client_token_usage") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, want := range []string{
		"gen_ai_client_operation_duration_seconds_count{", "gen_ai_client_operation_time_to_first_chunk_seconds_count{", "gen_ai_client_token_usage_sum{",
		`gen_ai_operation_name="chat"`, `gen_ai_provider_name="openai_compatible"`, `gen_ai_request_model="m"`, `gen_ai_token_type="output"`,
		"lambda_model_budget_limit 1000\n", "lambda_model_budget_remaining 994\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s:\n%s", want, text)
		}
	}
	for _, not := range []string{"hello", secret} {
		if strings.Contains(text, not) {
			t.Errorf("metrics hold %q", not)
		}
	}
}

// TestModelNamesAreBounded: names that agents make up are no new time series for ever.
func TestModelNamesAreBounded(t *testing.T) {
	tel, err := startTelemetry(t.Context(), &Config{}, nil, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		tel.begin(httptest.NewRequest(http.MethodPost, "/", http.NoBody), &call{model: strconv.Itoa(i)})
	}
	if got := tel.requested.Bound("another"); got != "other" {
		t.Errorf("the 101st name is told as %s", got)
	}
}
