//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// sample reads a manifest of config/samples.
func sample(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := test.Sample(name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestHelloPython applies the shipped manifest unchanged.
func TestHelloPython(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	manifest := sample(t, "hello-python.yaml")
	clients.UseNamespace(ctx, t, manifest.GetNamespace())
	functions := clients.Lambda.LambdaV1alpha1().LambdaFunctions(manifest.GetNamespace())
	_, err := functions.Get(ctx, manifest.GetName(), metav1.GetOptions{})
	if err != nil && !apierrs.IsNotFound(err) {
		t.Fatal(err)
	}
	wasThere := err == nil
	if _, err := clients.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	f := ready(ctx, t, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: manifest.GetNamespace(), Name: manifest.GetName()}})
	answers(ctx, t, f, `{"message": "Hello from Lambda!"}`)
	checkTable(t, f)
	if !wasThere {
		remove(ctx, t, f)
	}
}

// checkTable: what kubectl get lf shows.
func checkTable(t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	text, err := clients.Lambda.LambdaV1alpha1().RESTClient().Get().Resource("lambdafunctions").Namespace(f.Namespace).Name(f.Name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	shown := map[string]any{}
	for i, c := range table.ColumnDefinitions {
		if c.Priority == 0 && c.Name != "Age" && c.Name != "Reason" {
			shown[c.Name] = table.Rows[0].Cells[i]
		}
	}
	want := map[string]any{"Name": f.Name, "URL": f.Status.URL.String(), "Language": "python", "Ready": "True"}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("kubectl get shows something else (-want, +got): %s", diff)
	}
}

// TestAgentBruno applies the shipped manifest unchanged. Its image is nowhere:
// the agent gets its Knative Service, and the condition says what is wrong with
// which image.
func TestAgentBruno(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	manifest := sample(t, "agent-bruno.yaml")
	clients.UseNamespace(ctx, t, manifest.GetNamespace())
	if _, err := clients.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	key := types.NamespacedName{Namespace: manifest.GetNamespace(), Name: manifest.GetName()}
	agent, err := clients.AwaitAgent(ctx, key, "ServiceReady False", func(a *v1alpha1.LambdaAgent) bool {
		return a.Status.GetCondition(v1alpha1.AgentConditionServiceReady).IsFalse()
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []apis.ConditionType{v1alpha1.AgentConditionServiceReady, v1alpha1.AgentConditionReady} {
		test.Contains(t, string(c), agent.Status.GetCondition(c).Message, "Unable to fetch image", "localhost:5001/agent-bruno/chatbot:0.1.0")
	}
	if got := agent.Spec.AI.Temperature; got == nil || *got != "0.7" {
		t.Errorf("spec.ai.temperature = %v, want 0.7", got)
	}
	if got, want := agent.Status.EventSource, "/agent-bruno/agent-bruno"; got != want {
		t.Errorf("status.eventSource = %q, want the default %q", got, want)
	}
	checkAgentService(t, key)
}

// checkAgentService: the agent's Knative Service is warm and has its configuration.
func checkAgentService(t *testing.T, key types.NamespacedName) {
	t.Helper()
	service, err := clients.Serving.ServingV1().Services(key.Namespace).Get(t.Context(), key.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	template := service.Spec.Template
	if got := template.Annotations["autoscaling.knative.dev/min-scale"]; got != "1" {
		t.Errorf("min-scale = %q, want 1: agents stay warm", got)
	}
	env := map[string]string{}
	for _, e := range template.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	for name, want := range map[string]string{"LLM_PROVIDER": "ollama", "LLM_MODEL": "llama3.2:3b", "LLM_TEMPERATURE": "0.7",
		"OLLAMA_URL": "http://127.0.0.1:8485", "EVENT_SOURCE": "/agent-bruno/agent-bruno"} {
		if env[name] != want {
			t.Errorf("environment %s = %q, want %q", name, env[name], want)
		}
	}
	test.Contains(t, "SYSTEM_PROMPT", env["SYSTEM_PROMPT"], "You are Bruno's AI assistant.")
	if !slices.ContainsFunc(service.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Kind == "LambdaAgent" }) {
		t.Errorf("owners of the Knative Service = %v, want the agent", service.OwnerReferences)
	}
}

// TestAgentSamplesOfRights applies the shipped manifests unchanged: one agent has its
// Role, the other one waits for what it asks.
func TestAgentSamplesOfRights(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, name := range []string{"agent-permissions.yaml", "agent-supervised.yaml"} {
		manifest := sample(t, name)
		clients.UseNamespace(ctx, t, manifest.GetNamespace())
		if _, err := clients.Apply(ctx, manifest); err != nil {
			t.Fatal(err)
		}
		key := types.NamespacedName{Namespace: manifest.GetNamespace(), Name: manifest.GetName()}
		agent, err := clients.AwaitAgent(ctx, key, "a status", func(*v1alpha1.LambdaAgent) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if agent.Spec.Permissions == nil {
			if a := agent.Status.Approval; a == nil || len(a.Providers) != 1 || a.TimeoutAction != v1alpha1.ApprovalTimeoutDeny {
				t.Errorf("status.approval = %+v, want the defaults", a)
			}
			continue
		}
		role, err := clients.Kube.RbacV1().Roles(key.Namespace).Get(ctx, key.Name+"-agent", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v1alpha1.PermissionTriggers.Rules(), role.Rules); diff != "" {
			t.Errorf("the Role has other rules (-want, +got): %s", diff)
		}
	}
}
