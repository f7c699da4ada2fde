package resources

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func secretKey(name string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: "token"}
}

// hosted is an agent with a hosted model, fallbacks and a budget.
func hosted() *v1alpha1.LambdaAgent {
	timeout, temperature := v1alpha1.Duration("30s"), v1alpha1.Number("0.7")
	return agent(func(a *v1alpha1.LambdaAgent) {
		a.Spec.AI = v1alpha1.AISpec{
			ModelSpec:   v1alpha1.ModelSpec{Provider: v1alpha1.ProviderAnthropic, Model: "claude"},
			Temperature: &temperature, Timeout: &timeout, APIKeySecretRef: secretKey("anthropic"),
			Fallbacks: []v1alpha1.FallbackSpec{
				{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderAnthropic, Model: "smaller"}},
				{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://ollama", Model: "llama"}},
				{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAI, Model: "gpt"}, APIKeySecretRef: secretKey("openai")},
			},
			Budget: &v1alpha1.TokenBudget{Tokens: 1000, Window: "1h"},
		}
		a.Spec.Scaling.MaxReplicas = ptr.Int32(4)
	})
}

func TestAddModelProxy(t *testing.T) {
	a := hosted()
	service := MakeService(a, "config", defaults(t))
	limits := corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}}
	if err := AddModelProxy(service, a, &config.Defaults{ModelProxyImage: "r.test/modelproxy", ModelProxyResources: limits}); err != nil {
		t.Fatal(err)
	}
	pod := service.Spec.Template.Spec.PodSpec
	same(t, "name of the agent's container", "user-container", pod.Containers[0].Name)
	from := func(name string) *corev1.EnvVarSource { return &corev1.EnvVarSource{SecretKeyRef: secretKey(name)} }
	same(t, "sidecar", corev1.Container{
		Name: "model-proxy", Image: "r.test/modelproxy", Resources: limits,
		Env: []corev1.EnvVar{
			{Name: "LAMBDA_AGENT_CONFIG", Value: "/etc/lambda-agent/agent.json"},
			{Name: "LAMBDA_MODEL_PROXY_PORT", Value: "8485"},
			{Name: "LAMBDA_MODEL_PROXY_STATE", Value: "/var/lib/model-proxy"},
			{Name: "LAMBDA_MODEL_KEY", ValueFrom: from("anthropic")},
			{Name: "LAMBDA_MODEL_KEY_FALLBACK_0", ValueFrom: from("anthropic")},
			{Name: "LAMBDA_MODEL_KEY_FALLBACK_2", ValueFrom: from("openai")},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "lambda-agent", MountPath: "/etc/lambda-agent", ReadOnly: true}, {Name: "model-proxy-state", MountPath: "/var/lib/model-proxy"}},
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: ptr.Bool(true), ReadOnlyRootFilesystem: ptr.Bool(true), AllowPrivilegeEscalation: ptr.Bool(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: "RuntimeDefault"},
		},
	}, pod.Containers[1])
	same(t, "volume", corev1.Volume{Name: "model-proxy-state", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}, pod.Volumes[1])
	for _, e := range pod.Containers[0].Env {
		if e.ValueFrom != nil {
			t.Errorf("the agent's container has %s from a Secret", e.Name)
		}
	}
}

// TestBehindTheProxy: the agent is told of the local endpoint, by environment and by
// file, and of nothing that is the proxy's.
func TestBehindTheProxy(t *testing.T) {
	same(t, "environment", []corev1.EnvVar{
		variable("LLM_PROVIDER", "openai-compatible"), variable("LLM_ENDPOINT", "http://127.0.0.1:8485/v1"), variable("LLM_MODEL", "claude"),
		variable("LLM_TEMPERATURE", "0.7"), variable("LLM_TIMEOUT", "2m0s"),
		variable("OPENAI_BASE_URL", "http://127.0.0.1:8485/v1"), variable("OPENAI_API_KEY", "unused"), variable("LLM_API_KEY", "unused"),
		variable("LAMBDA_AGENT_NAME", "bruno"), variable("LAMBDA_AGENT_NAMESPACE", "team"), variable("LAMBDA_AGENT_CONFIG", "/etc/lambda-agent/agent.json"),
	}, Environment(hosted()))

	a := agent(func(a *v1alpha1.LambdaAgent) {
		a.Spec.Image.Port = 8485
		a.Spec.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://ollama:11434", Model: "llama"}}
	})
	same(t, "environment for ollama", []corev1.EnvVar{
		variable("LLM_PROVIDER", "ollama"), variable("LLM_ENDPOINT", "http://127.0.0.1:8486"), variable("LLM_MODEL", "llama"),
		variable("OLLAMA_URL", "http://127.0.0.1:8486"), variable("OLLAMA_MODEL", "llama"),
		variable("OPENAI_BASE_URL", "http://127.0.0.1:8486/v1"), variable("OPENAI_API_KEY", "unused"), variable("LLM_API_KEY", "unused"),
	}, Environment(a)[:8])
	got, err := configDocument(a)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "file", `{
  "name": "bruno",
  "namespace": "team",
  "ai": {
    "provider": "ollama",
    "endpoint": "http://127.0.0.1:8486",
    "model": "llama"
  },
  "modelProxy": {
    "provider": "ollama",
    "endpoint": "http://ollama:11434",
    "model": "llama"
  }
}`, got)
}

func TestNoModelProxy(t *testing.T) {
	without := agent()
	service := MakeService(without, "config", defaults(t))
	if err := AddModelProxy(service, without, &config.Defaults{}); err != nil || len(service.Spec.Template.Spec.Containers) != 1 {
		t.Errorf("an agent without a model: %v, %d containers", err, len(service.Spec.Template.Spec.Containers))
	}
	if err := AddModelProxy(MakeService(hosted(), "config", defaults(t)), hosted(), &config.Defaults{}); err == nil {
		t.Error("a sidecar without an image is made")
	}
}
