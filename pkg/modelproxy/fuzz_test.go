package modelproxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzRequest: whatever an agent sends is an error of its own, or JSON for each
// provider.
func FuzzRequest(f *testing.F) {
	f.Add(hello)
	f.Add(`{"stream":true,"stream_options":null,"max_tokens":1e99,"options":{"num_predict":-1}}`)
	f.Add(`{"messages":[{"role":"tool","content":[{"type":"text"}]}],"tools":[{}],"tool_choice":{}}`)
	cfg := &Config{maxTokens: 10, share: 100, window: time.Hour}
	for _, p := range []string{providerOpenAI, providerAnthropic, providerOllama} {
		u, err := newUpstream(Model{Provider: p, Endpoint: "http://h", Name: "m"}, "")
		if err != nil {
			f.Fatal(err)
		}
		cfg.upstreams = append(cfg.upstreams, u)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, to := range routes {
			q, err := cfg.newCall(to, []byte(body))
			if err != nil {
				continue
			}
			(&budget{share: 1000, window: time.Hour, now: time.Now}).reserve(q)
			for _, u := range cfg.candidates(q) {
				if text, err := u.body(q); err == nil && !json.Valid(text) {
					t.Errorf("%s gets %s", u.Provider, text)
				}
			}
		}
	})
}

// FuzzStream: whatever a provider sends ends in an error, or in chunks that are JSON.
func FuzzStream(f *testing.F) {
	f.Add(claudeStream)
	f.Add("data: {\"choices\":[]}\n\ndata: [DONE]\n\n")
	f.Add("data: {\"choices\":[{\"delta\":{}}],\n data:x\r\n\r\n: comment\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range []string{providerOpenAI, providerAnthropic, providerOllama} {
			response := &http.Response{Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(text))}
			c, err := newChunks(&upstream{Model: Model{Provider: p}}, &call{ollama: p == providerOllama}, response)
			if err != nil {
				t.Fatal(err)
			}
			res := &result{}
			for {
				chunk, err := c.next()
				if err != nil {
					break
				}
				a, err := parseChunk(chunk)
				if err != nil {
					break
				}
				if a != nil {
					res.add(a)
				}
			}
		}
		if _, err := fromAnthropic([]byte(text)); err == nil && !json.Valid([]byte(text)) {
			t.Error("an answer is made of what is no JSON")
		}
	})
}
