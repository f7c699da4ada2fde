package modelprobe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAsk: what each kind of answer says of a model.
func TestAsk(t *testing.T) {
	const tags = `{"models": [{"name": "llama3.2:3b", "model": "llama3.2:3b"}, {"name": "phi:latest"}]}`
	for _, tt := range []struct {
		name, provider, path, model string
		status                      int
		body                        string
		want                        Verdict
	}{
		{"ollama's model", "ollama", "/api/tags", "llama3.2:3b", 200, tags, Verdict{}},
		{"ollama's newest", "ollama", "/api/tags", "phi", 200, tags, Verdict{}},
		{"not ollama's model", "ollama", "/api/tags", "llama3.2", 200, tags, Verdict{Reason: ReasonModelNotFound, Message: `<URL> answers and has no model "llama3.2".`}},
		{"public list", "openai-compatible", "/models", "m", 200, `{"data": [{"id": "m"}]}`, Verdict{}},
		{"public list without it", "openai-compatible", "/models", "m", 200, `{"data": []}`, Verdict{Reason: ReasonModelNotFound, Message: `<URL> answers and has no model "m".`}},
		{"no list", "openai-compatible", "/models", "m", 200, `<html>`, Verdict{}},
		{"too long a list", "openai-compatible", "/models", "m", 200, strings.Repeat(" ", maxList) + `{"data": []}`, Verdict{}},
		{"wants a key", "openai", "/models", "m", 401, "", Verdict{}},
		{"wants another key", "google", "/v1beta/models", "m", 403, "", Verdict{}},
		{"has no time", "anthropic", "/v1/models", "m", 429, "", Verdict{}},
		{"azure", "azure-openai", "/openai/models", "m", 401, "", Verdict{}},
		{"broken", "openai", "/models", "m", 503, "secret words", Verdict{Reason: ReasonFailing, Dead: true, Message: "<URL> answers GET /models with status 503."}},
		{"not there", "openai-compatible", "/models", "m", 404, "", Verdict{Reason: ReasonFailing, Dead: true, Message: "<URL> answers GET /models with status 404."}},
		{"elsewhere", "openai-compatible", "/models", "m", 302, "", Verdict{Reason: ReasonFailing, Dead: true, Message: "<URL> answers GET /models with status 302."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.Path)
				if r.Header.Get("Authorization") != "" {
					t.Error("a key was sent")
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer server.Close()
			got := newClient(nil).Ask(t.Context(), Endpoint{tt.provider, server.URL + "/"}, []string{tt.model})[tt.model]
			tt.want.Message = strings.ReplaceAll(tt.want.Message, "<URL>", server.URL+"/")
			if got != tt.want {
				t.Errorf("Ask() = %+v, want %+v", got, tt.want)
			}
			if len(asked) != 1 || asked[0] != tt.path {
				t.Errorf("asked for %v, want %s once", asked, tt.path)
			}
		})
	}
}

// TestCompleted: an endpoint is asked where the model proxy finds it.
func TestCompleted(t *testing.T) {
	for _, tt := range []struct{ provider, endpoint, asked string }{
		{"ollama", "", ""},
		{"ollama", "http://o.test:11434/", "http://o.test:11434/api/tags"},
		{"ollama", "http://o.test/v1/", "http://o.test/api/tags"},
		{"openai", "", "https://api.openai.com/v1/models"},
		{"openai", "https://gateway.test", "https://gateway.test/v1/models"},
		{"openai-compatible", "http://vllm.test", "http://vllm.test/v1/models"},
		{"openai-compatible", "http://vllm.test/v1", "http://vllm.test/v1/models"},
		{"openai-compatible", "http://vllm.test/team/v1/", "http://vllm.test/team/v1/models"},
		{"anthropic", "", "https://api.anthropic.com/v1/models"},
		{"anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1/models"},
		{"anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com/v1/models"},
		{"anthropic", "https://gateway.test/anthropic", "https://gateway.test/anthropic/models"},
		{"google", "https://generativelanguage.googleapis.com/v1beta/openai/", "https://generativelanguage.googleapis.com/v1beta/models"},
		{"azure-openai", "https://res.openai.azure.com/", "https://res.openai.azure.com/openai/models"},
	} {
		e := Endpoint{tt.provider, tt.endpoint}.Completed()
		asked := ""
		if Probeable(e) {
			asked = strings.TrimSuffix(e.base(), "/") + apis[e.Provider].list
		}
		if asked != tt.asked {
			t.Errorf("%s at %q is asked at %q, want %q", tt.provider, tt.endpoint, asked, tt.asked)
		}
	}
}

// TestUnreachable: who is silent is not told from who is not there, and nobody's
// machine is asked but a model's.
func TestUnreachable(t *testing.T) {
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hanging.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	trusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer trusted.Close()
	for _, tt := range []struct {
		name, url string
		client    *Client
		reason    string
		message   string
	}{
		{"silent", hanging.URL, newClient(nil), ReasonUnreachable, "cannot be reached, or does not answer in time."},
		{"closed", closed.URL, newClient(nil), ReasonUnreachable, "cannot be reached, or does not answer in time."},
		{"no name", "http://nowhere.invalid", newClient(nil), ReasonUnreachable, "http://nowhere.invalid "},
		{"not trusted", trusted.URL, newClient(nil), ReasonUnreachable, "has a certificate that is not trusted."},
		{"own machine", "http://127.0.0.1:1", NewClient(), ReasonForbidden, "is at an address that is not probed"},
		{"own machine by name", "http://localhost:1", NewClient(), ReasonForbidden, "is at an address that is not probed"},
		{"own machine, IPv6", "http://[::1]:1", NewClient(), ReasonForbidden, "is at an address that is not probed"},
		{"metadata", "http://169.254.169.254", NewClient(), ReasonForbidden, "is at an address that is not probed"},
		{"metadata in other words", "http://[::ffff:169.254.169.254]", NewClient(), ReasonForbidden, "is at an address that is not probed"},
		{"metadata, IPv6", "http://[fd00:ec2::254]", NewClient(), ReasonForbidden, "is at an address that is not probed"},
		{"with a password", "http://user:secret@127.0.0.1:1", NewClient(), ReasonForbidden, "http://127.0.0.1:1 is at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			got := tt.client.Ask(ctx, Endpoint{"openai-compatible", tt.url}, []string{"m"})["m"]
			if got.Reason != tt.reason || !got.Dead || !strings.Contains(got.Message, tt.message) {
				t.Errorf("Ask() = %+v, want %s: … %s", got, tt.reason, tt.message)
			}
		})
	}
}

// TestClusterAddresses are models' addresses.
func TestClusterAddresses(t *testing.T) {
	for _, address := range []string{"10.96.0.10:80", "192.168.1.1:443", "172.20.0.1:11434", "[fd00::1]:80", "93.184.216.34:443"} {
		if err := refuseOwn(t.Context(), "tcp", address, nil); err != nil {
			t.Errorf("%s is refused: %v", address, err)
		}
	}
}

func TestProbeable(t *testing.T) {
	for e, want := range map[Endpoint]bool{
		{"ollama", "http://x"}: true, {"openai", ""}: true, {"anthropic", ""}: true, {"google", ""}: true,
		{"bedrock", ""}: false, {"bedrock", "https://bedrock.eu-central-1.amazonaws.com"}: true, {"none", ""}: false, {"azure-openai", "https://x"}: true,
	} {
		if got := Probeable(e); got != want {
			t.Errorf("Probeable(%v) = %t, want %t", e, got, want)
		}
	}
}
