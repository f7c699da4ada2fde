package modelproxy

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	parentID    = "b7ad6b7169203331"
	traceparent = "00-" + traceID + "-" + parentID + "-01"
)

// traced records the spans of a proxy.
func traced(s *Server) *tracetest.InMemoryExporter {
	spans := tracetest.NewInMemoryExporter()
	s.telemetry.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer(scope)
	return spans
}

// callTraced calls the proxy as an agent that is traced itself.
func callTraced(s *Server, path, body string) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Traceparent", traceparent)
	r.Header.Set("Tracestate", "vendor=1")
	s.ServeHTTP(httptest.NewRecorder(), r)
}

// TestSpans: one of each call, of the client's kind, with the attributes of the
// semantic conventions for GenAI; a child of the agent's span and the parent of the
// provider's.
func TestSpans(t *testing.T) {
	answered := map[string]any{"gen_ai.response.id": "chatcmpl-1", "gen_ai.response.model": "m", "gen_ai.response.finish_reasons": []string{"stop"},
		"gen_ai.usage.input_tokens": int64(2), "gen_ai.usage.output_tokens": int64(4)}
	for _, tt := range []struct {
		name, path, body, mode string
		span                   string
		status                 sdktrace.Status
		want                   map[string]any
	}{
		{"chat", "/v1/chat/completions", strings.Replace(hello, "{", `{"n":2,"max_tokens":9,`, 1), "", "chat m", sdktrace.Status{},
			with(answered, "gen_ai.operation.name", "chat", "gen_ai.request.temperature", .5, "gen_ai.request.top_p", .9, "gen_ai.request.max_tokens", int64(9), "gen_ai.request.choice.count", int64(2))},
		{"stream", "/v1/chat/completions", strings.Replace(hello, "{", `{"stream":true,"temperature":0,`, 1), "", "chat m", sdktrace.Status{},
			with(answered, "gen_ai.operation.name", "chat", "gen_ai.request.temperature", 0., "gen_ai.request.top_p", .9)},
		{"embeddings", "/v1/embeddings", `{"input":"hello there","model":"vectors"}`, "", "embeddings vectors", sdktrace.Status{},
			map[string]any{"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "vectors", "gen_ai.response.model": "vectors",
				"gen_ai.usage.input_tokens": int64(2), "gen_ai.usage.output_tokens": int64(0)}},
		{"Ollama's", "/api/generate", `{"prompt":"hello there","stream":false,"options":{"num_predict":7}}`, "", "text_completion m", sdktrace.Status{},
			with(answered, "gen_ai.operation.name", "text_completion", "gen_ai.response.id", nil, "gen_ai.request.temperature", .5, "gen_ai.request.top_p", .9, "gen_ai.request.max_tokens", int64(7))},
		{"failing", "/v1/chat/completions", hello, modelserver.ModeGarbage, "chat m", sdktrace.Status{Code: codes.Error, Description: "the answer of ollama is not what its API promises"},
			map[string]any{"gen_ai.operation.name": "chat", "gen_ai.request.temperature": .5, "gen_ai.request.top_p": .9, "error.type": "invalid_response"}},
		{"cut short", "/v1/chat/completions", asking(true), modelserver.ModeCutShort, "chat m", sdktrace.Status{Code: codes.Error, Description: "ollama ended the stream before its end"},
			map[string]any{"gen_ai.operation.name": "chat", "gen_ai.request.temperature": .5, "gen_ai.request.top_p": .9, "error.type": "stream_cut",
				"gen_ai.response.id": "chatcmpl-1", "gen_ai.response.model": "m"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, url := provider(t)
			m.Behave(modelserver.Behavior{Mode: tt.mode})
			s := served(t, `{"provider":"ollama","endpoint":"`+url+`","model":"m","temperature":0.5,"topP":0.9}`)
			spans := traced(s)
			callTraced(s, tt.path, tt.body)
			all := spans.GetSpans()
			if len(all) != 1 {
				t.Fatalf("%d spans, want one", len(all))
			}
			span := all[0]
			if span.Name != tt.span || span.SpanKind != trace.SpanKindClient || span.Status != tt.status {
				t.Errorf("span %q of kind %v with status %v, want %q, client, %v", span.Name, span.SpanKind, span.Status, tt.span, tt.status)
			}
			host, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
			number, _ := strconv.ParseInt(port, 10, 64)
			want := with(map[string]any{"gen_ai.request.model": "m"}, "gen_ai.provider.name", "ollama", "server.address", host, "server.port", number)
			for name, value := range tt.want {
				want[name] = value
			}
			if diff := cmp.Diff(want, values(span.Attributes)); diff != "" {
				t.Error("attributes (-want, +got):", diff)
			}
			if span.Parent.TraceID().String() != traceID || span.Parent.SpanID().String() != parentID || span.SpanContext.TraceID().String() != traceID {
				t.Errorf("parent %s of trace %s, want the agent's", span.Parent.SpanID(), span.Parent.TraceID())
			}
			last, _ := m.Last()
			if got, want := last.Header.Get("Traceparent"), "00-"+traceID+"-"+span.SpanContext.SpanID().String()+"-01"; got != want {
				t.Errorf("the provider gets traceparent %q, want %q", got, want)
			}
			if got := last.Header.Get("Tracestate"); got != "vendor=1" {
				t.Errorf("the provider gets tracestate %q, want the agent's", got)
			}
		})
	}
}

// with more pairs of names and values; nil takes a name away.
func with(base map[string]any, pairs ...any) map[string]any {
	all := map[string]any{}
	for name, value := range base {
		all[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		if name := pairs[i].(string); pairs[i+1] == nil {
			delete(all, name)
		} else {
			all[name] = pairs[i+1]
		}
	}
	return all
}

func values(attributes []attribute.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range attributes {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

// TestSpanOfFallback: retries and fallbacks are one call, which names who answered.
func TestSpanOfFallback(t *testing.T) {
	broken, url := provider(t)
	broken.Behave(modelserver.Behavior{Mode: modelserver.ModeBroken})
	spare, spareURL := provider(t)
	s := served(t, `{"provider":"openai","endpoint":"`+url+`","model":"m","fallbacks":[{"provider":"ollama","endpoint":"`+spareURL+`","model":"spare"}]}`)
	spans := traced(s)
	callTraced(s, "/v1/chat/completions", hello)
	all := spans.GetSpans()
	if len(all) != 1 {
		t.Fatalf("%d spans, want one", len(all))
	}
	got := values(all[0].Attributes)
	for name, want := range map[string]any{"gen_ai.request.model": "m", "gen_ai.provider.name": "ollama", "gen_ai.response.model": "spare", "error.type": nil} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	last, _ := spare.Last()
	if want := all[0].SpanContext.SpanID().String(); !strings.Contains(last.Header.Get("Traceparent"), want) {
		t.Errorf("the fallback gets traceparent %q, want span %s", last.Header.Get("Traceparent"), want)
	}
}

// TestSpanOfRefusal: a budget that is used up is the call's end.
func TestSpanOfRefusal(t *testing.T) {
	m, url := provider(t)
	s := served(t, `{"provider":"openai","endpoint":"`+url+`","model":"m","budget":{"tokens":1,"window":"1h"},"maxReplicas":1}`)
	spans := traced(s)
	callTraced(s, "/v1/chat/completions", hello)
	all := spans.GetSpans()
	if len(all) != 1 || m.Calls().Total != 0 {
		t.Fatalf("%d spans and %d calls, want one and none", len(all), m.Calls().Total)
	}
	if got := values(all[0].Attributes)["error.type"]; got != "budget_exhausted" || all[0].Status.Code != codes.Error {
		t.Errorf("error.type = %v, status %v", got, all[0].Status)
	}
}

// TestTraceWithoutTracing: who does not trace passes the agent's trace on as it is.
func TestTraceWithoutTracing(t *testing.T) {
	m, url := provider(t)
	s := served(t, `{"provider":"openai","endpoint":"`+url+`","model":"m"}`)
	callTraced(s, "/v1/chat/completions", hello)
	last, _ := m.Last()
	if got := last.Header.Get("Traceparent"); got != traceparent {
		t.Errorf("the provider gets traceparent %q, want %q", got, traceparent)
	}
}
