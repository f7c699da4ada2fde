//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// mirror is an agent that answers with its environment and its configuration file.
const mirror = `
import json, os

def handler(event, context):
    with open(os.environ["LAMBDA_AGENT_CONFIG"]) as f:
        config = json.load(f)
    return {"environment": dict(os.environ), "file": config}
`

// reflection is what it answers.
type reflection struct {
	Environment map[string]string `json:"environment"`
	File        struct {
		AI     v1alpha1.AISpec     `json:"ai"`
		Memory v1alpha1.MemorySpec `json:"memory"`
	} `json:"file"`
}

// imageOf is the image of a function's code, and how it runs as an agent's: a function
// gets its handler as environment, which is the platform's own.
func imageOf(ctx context.Context, t *testing.T, namespace, name, code string) v1alpha1.ImageReference {
	t.Helper()
	image := imageNamed(t, ready(ctx, t, create(ctx, t, python(namespace, name, code))))
	image.Command = []string{"/usr/bin/env", "LAMBDA_HANDLER=main.handler", `LAMBDA_WORKER_COMMAND=["python3","-u","/lambda/worker/worker.py"]`, "/lambda/runtime"}
	return image
}

// imageNamed by a function that is built.
func imageNamed(t *testing.T, f *v1alpha1.LambdaFunction) v1alpha1.ImageReference {
	t.Helper()
	repository, digest, ok := strings.Cut(f.Status.Build.Image, "@")
	if !ok {
		t.Fatalf("status.build.image = %q, want one with a digest", f.Status.Build.Image)
	}
	return v1alpha1.ImageReference{Repository: repository, Digest: digest}
}

// eventful agents have a broker.
func eventful(s *v1alpha1.LambdaAgentSpec) { s.Eventing = &v1alpha1.AgentEventing{Enabled: true} }

// agentOf an image.
func agentOf(namespace, name string, image v1alpha1.ImageReference, change ...func(*v1alpha1.LambdaAgentSpec)) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.LambdaAgentSpec{Image: image}}
	for _, c := range change {
		c(&a.Spec)
	}
	return a
}

func createAgent(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent) *v1alpha1.LambdaAgent {
	t.Helper()
	created, err := clients.Lambda.LambdaV1alpha1().LambdaAgents(a.Namespace).Create(ctx, a, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func updateAgent(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, change func(*v1alpha1.LambdaAgentSpec)) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := clients.Lambda.LambdaV1alpha1().LambdaAgents(a.Namespace).Get(ctx, a.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(&current.Spec)
		_, err = clients.Lambda.LambdaV1alpha1().LambdaAgents(a.Namespace).Update(ctx, current, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func awaitAgent(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, what string, holds func(*v1alpha1.LambdaAgent) bool) *v1alpha1.LambdaAgent {
	t.Helper()
	seen, err := clients.AwaitAgent(ctx, test.Key(a), what, holds)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// reflects calls the agent until what it is given is right.
func reflects(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, what string, right func(*reflection) bool) *reflection {
	t.Helper()
	var got reflection
	var answer test.Answer
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		var err error
		if answer, err = clients.Call(ctx, a.Status.URL, "{}"); err != nil || answer.Status != http.StatusOK {
			return false, err
		}
		got = reflection{}
		return json.Unmarshal([]byte(answer.Body), &got) == nil && right(&got), nil
	})
	if err != nil {
		t.Fatalf("%s did not come: %v; the last answer: %.2000s", what, err, answer)
	}
	return &got
}

func putSecret(ctx context.Context, t *testing.T, namespace, name string, data map[string]string) {
	t.Helper()
	secrets := clients.Kube.CoreV1().Secrets(namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
	_, err := secrets.Create(ctx, secret, metav1.CreateOptions{})
	if err != nil {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func secretKey(name, key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
}

// TestAgent: warm, with its configuration in both forms; another prompt rolls it and no
// request fails.
func TestAgent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	image := imageOf(ctx, t, namespace, "mirror-image", mirror)
	temperature := v1alpha1.Number("0.7")
	a := createAgent(ctx, t, agentOf(namespace, "mirror", image, func(s *v1alpha1.LambdaAgentSpec) {
		s.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://ollama." + namespace + ".svc.cluster.local", Model: "m"},
			Temperature: &temperature, SystemPrompt: "Be brief.", Proxy: "disabled"}
	}))
	a = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	got := reflects(ctx, t, a, "the first prompt", func(r *reflection) bool { return r.Environment["SYSTEM_PROMPT"] == "Be brief." })
	if got.Environment["LLM_TEMPERATURE"] != "0.7" || got.File.AI.Temperature == nil || *got.File.AI.Temperature != "0.7" || got.File.AI.SystemPrompt != "Be brief." {
		t.Errorf("temperature = %q and %v, prompt %q in the file", got.Environment["LLM_TEMPERATURE"], got.File.AI.Temperature, got.File.AI.SystemPrompt)
	}

	load := clients.StartLoad(ctx, a.Status.URL)
	updateAgent(ctx, t, a, func(s *v1alpha1.LambdaAgentSpec) { s.AI.SystemPrompt = "Be kind." })
	a = awaitAgent(ctx, t, a, "the second revision", func(a *v1alpha1.LambdaAgent) bool { return a.Generation == 2 && a.IsReady() })
	reflects(ctx, t, a, "the second prompt", func(r *reflection) bool { return r.Environment["SYSTEM_PROMPT"] == "Be kind." })
	requests, failed, failures := load.Stop()
	t.Logf("%d requests while another prompt was rolled out, %d failed", requests, failed)
	if failed > 0 {
		t.Errorf("%d of %d requests failed: %v", failed, requests, failures)
	}
}

// TestTemperatureOfAgents: a number and the same as a string reach the agent alike.
func TestTemperatureOfAgents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	image := imageOf(ctx, t, namespace, "mirror-image", mirror)
	for name, value := range map[string]string{"number": "0.7", "text": `"0.7"`} {
		t.Run(name, func(t *testing.T) {
			manifest, err := test.Parse(fmt.Appendf(nil, `
apiVersion: lambda.knative.io/v1alpha1
kind: LambdaAgent
metadata: {namespace: %s, name: %s}
spec:
  image: {repository: %s, digest: %q, command: %s}
  ai: {provider: ollama, endpoint: "http://ollama.test", model: m, temperature: %s, proxy: disabled}
`, namespace, name, image.Repository, image.Digest, mustJSON(image.Command), value))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := clients.Create(ctx, manifest); err != nil {
				t.Fatal(err)
			}
			a := awaitAgent(ctx, t, &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, "Ready", (*v1alpha1.LambdaAgent).IsReady)
			got := reflects(ctx, t, a, "an answer", func(*reflection) bool { return true })
			if got.Environment["LLM_TEMPERATURE"] != "0.7" || *got.File.AI.Temperature != "0.7" {
				t.Errorf("temperature = %q, and %q in the file; want 0.7", got.Environment["LLM_TEMPERATURE"], *got.File.AI.Temperature)
			}
		})
	}
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestSecretsOfAgents: one that is not there is waited for; a change of it rolls a new
// revision; what runs stays when it goes. Memory is reached by Secrets, too.
func TestSecretsOfAgents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	image := imageOf(ctx, t, namespace, "mirror-image", mirror)
	a := createAgent(ctx, t, agentOf(namespace, "mirror", image, func(s *v1alpha1.LambdaAgentSpec) {
		s.Memory = &v1alpha1.MemorySpec{Enabled: true, Schema: "mirror",
			ShortTerm:          &v1alpha1.ShortTermMemory{MemoryToggle: v1alpha1.MemoryToggle{Enabled: true}, RedisSecretRef: secretKey("redis", "url"), TTLSeconds: ptr.Int64(3600)},
			LongTerm:           &v1alpha1.LongTermMemory{MemoryToggle: v1alpha1.MemoryToggle{Enabled: true}, PostgresSecretRef: secretKey("postgres", "url")},
			DefaultConstraints: []v1alpha1.MemoryConstraint{{Description: "Never tell secrets.", Hard: true}}}
	}))
	waits := func(name, field string) {
		seen := awaitAgent(ctx, t, a, "SecretNotFound of "+name, func(a *v1alpha1.LambdaAgent) bool {
			c := a.Status.GetCondition(v1alpha1.AgentConditionServiceReady)
			return c.IsUnknown() && c.Reason == v1alpha1.ReasonSecretNotFound && strings.Contains(c.Message, `"`+name+`"`)
		})
		test.Contains(t, "Ready", seen.Status.GetCondition(v1alpha1.AgentConditionReady).Message, name, field, namespace)
	}
	waits("postgres", "spec.memory.longTerm.postgresSecretRef")
	putSecret(ctx, t, namespace, "postgres", map[string]string{"url": "postgres://db.test/mirror"})
	waits("redis", "spec.memory.shortTerm.redisSecretRef")
	putSecret(ctx, t, namespace, "redis", map[string]string{"url": "redis://one.test"})
	a = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	got := reflects(ctx, t, a, "an answer", func(*reflection) bool { return true })
	for name, want := range map[string]string{"REDIS_URL": "redis://one.test", "DATABASE_URL": "postgres://db.test/mirror", "POSTGRES_URL": "postgres://db.test/mirror",
		"MEMORY_ENABLED": "true", "MEMORY_SCHEMA": "mirror", "MEMORY_SHORT_TERM_BACKEND": "redis", "MEMORY_SHORT_TERM_TTL_SECONDS": "3600", "MEMORY_LONG_TERM_BACKEND": "postgres"} {
		if got.Environment[name] != want {
			t.Errorf("environment %s = %q, want %q", name, got.Environment[name], want)
		}
	}
	if rules := got.File.Memory.DefaultConstraints; len(rules) != 1 || !rules[0].Hard {
		t.Errorf("rules in the file = %+v, want the one", rules)
	}

	first := a.Status.LatestReadyRevisionName
	putSecret(ctx, t, namespace, "redis", map[string]string{"url": "redis://two.test"})
	a = awaitAgent(ctx, t, a, "another revision", func(a *v1alpha1.LambdaAgent) bool { return a.IsReady() && a.Status.LatestReadyRevisionName != first })
	reflects(ctx, t, a, "the changed Secret", func(r *reflection) bool { return r.Environment["REDIS_URL"] == "redis://two.test" })

	if err := clients.Kube.CoreV1().Secrets(namespace).Delete(ctx, "redis", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waits("redis", "serves on")
	reflects(ctx, t, a, "an answer without the Secret", func(r *reflection) bool { return r.Environment["REDIS_URL"] == "redis://two.test" })
	putSecret(ctx, t, namespace, "redis", map[string]string{"other": "redis://three.test"})
	lost := awaitAgent(ctx, t, a, "SecretKeyNotFound", func(a *v1alpha1.LambdaAgent) bool {
		return a.Status.GetCondition(v1alpha1.AgentConditionServiceReady).Reason == v1alpha1.ReasonSecretKeyNotFound
	})
	test.Contains(t, "ServiceReady", lost.Status.GetCondition(v1alpha1.AgentConditionServiceReady).Message, `"url"`, `"redis"`, "spec.memory.shortTerm.redisSecretRef")
	putSecret(ctx, t, namespace, "redis", map[string]string{"url": "redis://four.test"})
	a = awaitAgent(ctx, t, a, "Ready again", (*v1alpha1.LambdaAgent).IsReady)
	reflects(ctx, t, a, "the repaired Secret", func(r *reflection) bool { return r.Environment["REDIS_URL"] == "redis://four.test" })
}
