package modelproxy

import (
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/test/otlpcollector"
)

// TestSpansOverGRPC: the span of a call reaches a collector that speaks OTLP over gRPC.
func TestSpansOverGRPC(t *testing.T) {
	c := otlpcollector.Start(t)
	environment := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + c.Address, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "true"}
	for name, value := range environment {
		t.Setenv(name, value)
	}
	_, url := provider(t)
	s := served(t, `{"provider":"openai","endpoint":"`+url+`","model":"m"}`)
	tel, err := startTelemetry(t.Context(), s.cfg, nil, func(name string) string { return environment[name] })
	if err != nil {
		t.Fatal(err)
	}
	s.telemetry = tel
	callTraced(s, "/v1/chat/completions", hello)
	tel.close() // which exports what is left
	spans := c.Spans()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want one", len(spans))
	}
	if got := hex.EncodeToString(spans[0].GetTraceId()); got != traceID || spans[0].GetName() != "chat m" {
		t.Errorf("span %q of trace %s, want chat m in the agent's trace %s", spans[0].GetName(), got, traceID)
	}
}

// TestExemplars: the histogram of calls names the trace of one, as OpenMetrics.
func TestExemplars(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	_, url := provider(t)
	s := served(t, `{"provider":"openai","endpoint":"`+url+`","model":"m"}`)
	s.cfg.MetricsPort, s.cfg.Exemplars = port, true
	tel, err := startTelemetry(t.Context(), s.cfg, nil, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	defer tel.close()
	s.telemetry = tel
	callTraced(s, "/v1/chat/completions", hello)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "gen_ai_client_operation_duration_seconds_bucket{") && strings.Contains(line, "# {") && strings.Contains(line, `trace_id="`+traceID+`"`) {
			return
		}
	}
	t.Errorf("no bucket names trace %s in\n%s", traceID, text)
}
