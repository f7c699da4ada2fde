package modelproxy

import (
	"encoding/hex"
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
