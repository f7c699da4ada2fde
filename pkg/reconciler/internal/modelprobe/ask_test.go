package modelprobe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
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
		{"not ollama's model", "ollama", "/api/tags", "llama3.2", 200, tags, Verdict{Reason: ReasonModelNotFound, Message: `<URL> lists its models, and "llama3.2" is not among them.`}},
		{"public list", "openai-compatible", "/models", "m", 200, `{"data": [{"id": "m"}]}`, Verdict{}},
		{"public list without it", "openai-compatible", "/models", "m", 200, `{"data": []}`, Verdict{Reason: ReasonModelNotFound, Message: `<URL> lists its models, and "m" is not among them.`}},
		{"no list", "openai-compatible", "/models", "m", 200, `<html>`, Verdict{}},
		{"too long a list", "openai-compatible", "/models", "m", 200, strings.Repeat(" ", maxList) + `{"data": []}`, Verdict{}},
		{"wants a key", "openai", "/models", "m", 401, "", Verdict{}},
		{"wants another key", "google", "/v1beta/models", "m", 403, "", Verdict{}},
		{"has no time", "anthropic", "/v1/models", "m", 429, "", Verdict{}},
		{"azure", "azure-openai", "/openai/models", "m", 401, "", Verdict{}},
		{"broken", "openai", "/models", "m", 503, "secret words", Verdict{}},
		{"not there", "openai-compatible", "/models", "m", 404, "", Verdict{}},
		{"a list with an error", "openai-compatible", "/models", "m", 500, `{"data": []}`, Verdict{}},
		{"elsewhere", "openai-compatible", "/models", "m", 302, "", Verdict{}},
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
			got := NewClient(anywhere).Ask(t.Context(), Endpoint{tt.provider, server.URL + "/"}, []string{tt.model})[tt.model]
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
			u, err := e.listURL()
			if err != nil {
				t.Fatal(err)
			}
			u.RawQuery = ""
			asked = u.String()
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
		{"silent", hanging.URL, NewClient(anywhere), ReasonUnreachable, "cannot be reached, or does not answer in time."},
		{"closed", closed.URL, NewClient(anywhere), ReasonUnreachable, "cannot be reached, or does not answer in time."},
		{"no name", "http://nowhere.invalid", NewClient(anywhere), ReasonUnreachable, "http://nowhere.invalid "},
		{"not trusted", trusted.URL, NewClient(anywhere), ReasonUnreachable, "cannot be reached, or does not answer in time."},
		{"own machine", "http://127.0.0.1:1", NewClient(egress.Policy{Cluster: true}.Check), ReasonForbidden, "is not probed: the address is the operator's own machine"},
		{"own machine by name", "http://localhost:1", NewClient(egress.Policy{Cluster: true}.Check), ReasonForbidden, "is not probed: the address is the operator's own machine"},
		{"own machine, IPv6", "http://[::1]:1", NewClient(egress.Policy{Cluster: true}.Check), ReasonForbidden, "is not probed: the address is the operator's own machine"},
		{"metadata", "http://169.254.169.254", NewClient(egress.Policy{Cluster: true}.Check), ReasonForbidden, "is not probed: the address is the operator's own machine"},
		{"metadata in other words", "http://[::ffff:169.254.169.254]", NewClient(egress.Policy{Cluster: true}.Check), ReasonForbidden, "is not probed: the address is the operator's own machine"},
		{"metadata, IPv6", "http://[fd00:ec2::254]", NewClient(egress.Policy{Cluster: true}.Check), ReasonForbidden, "is not probed: the address is the operator's own machine"},
		{"denied", "http://127.0.0.1:1", NewClient(egress.Policy{Cluster: true, Denied: egress.Prefixes("127.0.0.0/8")}.Check), ReasonForbidden, "egress-denied-networks"},
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

// TestEndpointInvalid: nothing is sent to an endpoint whose user info, query or fragment
// would become part of the request or hide the path of the list.
func TestEndpointInvalid(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was requested", r.URL) }))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, tt := range []struct{ provider, url, want string }{
		{"openai-compatible", "http://admin:hunter2@" + host + "/v1", "user info"},
		{"openai-compatible", "http://admin@" + host + "/v1", "user info"},
		{"openai-compatible", server.URL + "/admin/delete-everything?x=", "query"},
		{"ollama", server.URL + "/admin#x", "fragment"},
		{"ollama", server.URL + "/?api-version=1", "query"},
		{"azure-openai", server.URL + "/?api-version=1&x=y", "query"},
		{"ollama", "not a URL", "begins with http"},
	} {
		got := NewClient(anywhere).Ask(t.Context(), Endpoint{tt.provider, tt.url}, []string{"m"})["m"]
		if got.Reason != ReasonInvalid || !got.Dead || !strings.Contains(got.Message, tt.want) || strings.Contains(got.Message, "hunter2") {
			t.Errorf("Ask(%s) = %+v, want %s: … %s", tt.url, got, ReasonInvalid, tt.want)
		}
	}
	u, err := Endpoint{"azure-openai", "https://res.openai.azure.com/?api-version=2025-01-01"}.listURL()
	if want := "https://res.openai.azure.com/openai/models?api-version=2025-01-01"; err != nil || u.String() != want {
		t.Errorf("Azure's list is %v, %v; want %s", u, err, want)
	}
}

func anywhere(string, netip.Addr) error { return nil }

// TestClusterAddresses are models' addresses.
func TestClusterAddresses(t *testing.T) {
	for _, address := range []string{"10.96.0.10", "192.168.1.1", "172.20.0.1", "fd00::1", "93.184.216.34"} {
		if err := (egress.Policy{Cluster: true}).Check("model.test:80", netip.MustParseAddr(address)); err != nil {
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
