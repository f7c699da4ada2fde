//go:build e2e

package tenant

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// urlFields are the fields of specs that hold a URL that is dialled, with a spec
// that has it there.
var urlFields = []struct {
	kind, field string
	// path of a URL that is right.
	path string
	spec func(url string) map[string]any
}{
	{"LambdaAgent", "ai.endpoint", "/path", func(url string) map[string]any {
		return map[string]any{"ai": map[string]any{"provider": "openai-compatible", "endpoint": url, "model": "m"}}
	}},
	{"LambdaAgent", "fallbacks", "/path", func(url string) map[string]any {
		return map[string]any{"ai": map[string]any{"provider": "ollama", "endpoint": "http://models.example.com", "model": "m", "fallbacks": []any{
			map[string]any{"provider": "openai-compatible", "endpoint": url, "model": "m"},
		}}}
	}},
	{"LambdaAgent", "approval.custom.endpoint", "/path", func(url string) map[string]any {
		return map[string]any{"operationMode": "supervised", "eventing": map[string]any{"enabled": true}, "approval": map[string]any{"custom": map[string]any{"endpoint": url}}}
	}},
	{"LambdaAgent", "observability.tracing.endpoint", "/path", func(url string) map[string]any {
		return map[string]any{"observability": map[string]any{"tracing": map[string]any{"enabled": true, "endpoint": url}}}
	}},
	{"LambdaFunction", "source.minio.endpoint", "", func(url string) map[string]any {
		return map[string]any{"source": map[string]any{"minio": map[string]any{"bucket": "bucket", "key": "k.zip", "endpoint": url}}}
	}},
	{"LambdaFunction", "source.s3.endpoint", "", func(url string) map[string]any {
		return map[string]any{"source": map[string]any{"s3": map[string]any{"bucket": "bucket", "key": "k.zip", "endpoint": url}}}
	}},
	{"LambdaFunction", "source.git.url", "/path", func(url string) map[string]any {
		return map[string]any{"source": map[string]any{"git": map[string]any{"url": strings.Replace(url, "http:", "https:", 1)}}}
	}},
}

// with the rest that a spec of the kind needs.
func complete(kind string, spec map[string]any) map[string]any {
	if kind == "LambdaAgent" {
		spec["image"] = map[string]any{"repository": nowhere.Repository}
		return spec
	}
	spec["runtime"] = map[string]any{"language": "python"}
	return spec
}

// TestURLsWithMoreThanAPlace: credentials, a query or a fragment in a URL let its author
// choose what is asked of a server, or as which user: they are refused with the field.
func TestURLsWithMoreThanAPlace(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	a := admin.Tenant(ctx, t, "attacker")
	for _, f := range urlFields {
		if _, err := a.Admit(ctx, manifest(a, f.kind, "good", complete(f.kind, f.spec("http://server.example.com"+f.path)))); err != nil {
			t.Errorf("%s with a plain URL: %v", f.field, err)
		}
		for what, url := range map[string]string{
			"credentials": "http://admin:hunter2@server.example.com" + f.path,
			"a query":     "http://server.example.com" + f.path + "?x=",
			"a fragment":  "http://server.example.com" + f.path + "#x",
		} {
			_, err := a.Admit(ctx, manifest(a, f.kind, "bad", complete(f.kind, f.spec(url))))
			refused(t, f.field+" with "+what, err, f.field)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the refusal of %s repeats a password: %v", f.field, err)
			}
		}
	}
}

// TestModelProbesHideStatus: a probe discloses whether a model's server answers, and neither
// what nor with which status.
func TestModelProbesHideStatus(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	a := admin.Tenant(ctx, t, "attacker")
	said := map[string][]string{}
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusTeapot, http.StatusInternalServerError} {
		server := admin.ServeHost(t, newTrap(status))
		made := createAgent(ctx, t, a, agent(a, fmt.Sprintf("probe-%d", status), func(s *v1alpha1.LambdaAgentSpec) {
			s.AI.Provider, s.AI.Endpoint, s.AI.Model = v1alpha1.ProviderOpenAICompatible, server.URL+"/v1", "m"
		}))
		seen, err := a.AwaitAgent(ctx, test.Key(made), "a verdict on its model", func(a *v1alpha1.LambdaAgent) bool {
			c := a.Status.GetCondition(v1alpha1.AgentConditionModelAvailable)
			return c != nil && (c.IsTrue() || c.IsFalse() || a.Status.Model != nil && !a.Status.Model.LastProbeTime.IsZero())
		})
		if err != nil {
			t.Fatal(err)
		}
		c := seen.Status.GetCondition(v1alpha1.AgentConditionModelAvailable)
		if strings.Contains(c.Message, fmt.Sprint(status)) || strings.Contains(c.Message, http.StatusText(status)) || strings.Contains(c.Message, trapSecret) {
			t.Errorf("the condition discloses what the server answers: %s", c.Message)
		}
		verdict := fmt.Sprintf("%s %s %s", c.Status, c.Reason, strings.ReplaceAll(c.Message, strings.TrimPrefix(server.URL, "http://"), "SERVER"))
		said[verdict] = append(said[verdict], fmt.Sprint(status))
	}
	if len(said) > 1 {
		t.Errorf("the condition differs by status: %v", said)
	}
}
