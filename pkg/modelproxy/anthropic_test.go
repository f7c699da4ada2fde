package modelproxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// claude answers with the text, and remembers what it was asked.
func claude(t *testing.T, kind, answer string) (url string, asked *string, header *http.Header) {
	t.Helper()
	asked, header = new(string), &http.Header{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked, *header = r.URL.Path+" "+string(body), r.Header
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(h.Close)
	return h.URL, asked, header
}

func sameJSON(t *testing.T, what, want, got string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &b); err != nil {
		t.Fatalf("%s: %v: %s", what, err, got)
	}
	if m, ok := b.(map[string]any); ok {
		delete(m, "created")
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s (-want, +got): %s", what, diff)
	}
}

// TestAnthropic: a conversation with tools and a picture, both ways.
func TestAnthropic(t *testing.T) {
	url, asked, header := claude(t, "application/json", `{"id":"msg_1","type":"message","model":"claude-1","stop_reason":"tool_use",
		"content":[{"type":"text","text":"Let me see."},{"type":"tool_use","id":"t2","name":"weather","input":{"city":"Oslo"}}],
		"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":7}}`)
	proxy := proxied(t, `{"provider":"anthropic","endpoint":"`+url+`","model":"claude","temperature":1.5,"maxTokens":100}`)
	response, text := post(t, proxy+"/v1/chat/completions", `{"model":"gpt","stop":"END","tool_choice":"required","parallel_tool_calls":false,
		"tools":[{"type":"function","function":{"name":"weather","description":"Tells it.","parameters":{"type":"object"}}}],
		"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Here?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
		{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Bergen\"}"}}]},
		{"role":"tool","tool_call_id":"t1","content":"Rain."},{"role":"user","content":"And Oslo?"}]}`)
	if response.StatusCode != http.StatusOK {
		t.Fatal(text)
	}
	path, body, _ := strings.Cut(*asked, " ")
	if path != "/v1/messages" || header.Get("X-Api-Key") != secret || header.Get("Anthropic-Version") != "2023-06-01" {
		t.Errorf("path %s, headers %v", path, *header)
	}
	sameJSON(t, "request", `{"model":"claude","max_tokens":100,"temperature":1,"system":"Be brief.","stop_sequences":["END"],
		"tools":[{"name":"weather","description":"Tells it.","input_schema":{"type":"object"}}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},
		"messages":[{"role":"user","content":[{"type":"text","text":"Here?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
		{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"weather","input":{"city":"Bergen"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"Rain."},{"type":"text","text":"And Oslo?"}]}]}`, body)
	sameJSON(t, "answer", `{"id":"msg_1","object":"chat.completion","model":"claude-1","choices":[{"index":0,"finish_reason":"tool_calls",
		"message":{"role":"assistant","content":"Let me see.","tool_calls":[{"id":"t2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]}}],
		"usage":{"prompt_tokens":15,"completion_tokens":7,"total_tokens":22}}`, text)
}

const claudeStream = `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","model":"claude-1","usage":{"input_tokens":3,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"weather","input":{}}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}

data: {"type":"message_stop"}

`

func TestAnthropicStream(t *testing.T) {
	url, _, _ := claude(t, "text/event-stream", claudeStream)
	proxy := proxied(t, `{"provider":"anthropic","endpoint":"`+url+`","model":"claude"}`)
	_, text := post(t, proxy+"/v1/chat/completions", `{"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			t.Fatalf("no event: %q", line)
		}
		var c struct {
			Choices json.RawMessage
			Usage   json.RawMessage
		}
		if data != "[DONE]" {
			if err := json.Unmarshal([]byte(data), &c); err != nil {
				t.Fatal(err)
			}
			data = string(c.Choices) + string(c.Usage)
		}
		got = append(got, data)
	}
	want := []string{
		`[{"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0}]`,
		`[{"delta":{"content":"Hi"},"finish_reason":null,"index":0}]`,
		`[{"delta":{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"weather","arguments":""}}]},"finish_reason":null,"index":0}]`,
		`[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null,"index":0}]`,
		`[{"delta":{},"finish_reason":"tool_calls","index":0}]`,
		`[]{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}`,
		`[DONE]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}
