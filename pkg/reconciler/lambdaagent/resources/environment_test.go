package resources

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func variable(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }

func TestEnvironment(t *testing.T) {
	temperature, topP, rate := v1alpha1.Number("0.7"), v1alpha1.Number("1"), v1alpha1.Number("0.5")
	timeout, ttl := v1alpha1.Duration("90s"), v1alpha1.Duration("24h")
	a := agent(func(a *v1alpha1.LambdaAgent) {
		a.Spec.AI = v1alpha1.AISpec{
			ModelSpec:   v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://ollama:11434", Model: "llama3.2:3b"},
			Temperature: &temperature, MaxTokens: ptr.Int32(512), TopP: &topP, Timeout: &timeout, Proxy: v1alpha1.ProxyDisabled, SystemPrompt: "Costs $5, $(PORT) and $$.",
		}
		a.Spec.Behavior = &v1alpha1.BehaviorSpec{MaxContextMessages: ptr.Int32(20), EmitEvents: ptr.Bool(false), ConversationTTL: &ttl}
		a.Spec.Eventing = &v1alpha1.AgentEventing{EventSource: "/team/bruno"}
		a.Spec.Observability = &v1alpha1.ObservabilitySpec{
			Tracing: &v1alpha1.TracingSpec{Enabled: true, Endpoint: "http://otel:4318", SamplingRate: &rate},
			Metrics: &v1alpha1.MetricsSpec{Exemplars: true},
			Logging: &v1alpha1.LoggingSpec{Level: "debug", Format: "json", TraceContext: ptr.Bool(true)},
		}
	})
	same(t, "environment", []corev1.EnvVar{
		variable("LLM_PROVIDER", "ollama"), variable("LLM_ENDPOINT", "http://ollama:11434"), variable("LLM_MODEL", "llama3.2:3b"),
		variable("LLM_TEMPERATURE", "0.7"), variable("LLM_MAX_TOKENS", "512"), variable("LLM_TOP_P", "1"), variable("LLM_TIMEOUT", "1m30s"),
		variable("OLLAMA_URL", "http://ollama:11434"), variable("OLLAMA_MODEL", "llama3.2:3b"),
		variable("SYSTEM_PROMPT", "Costs $$5, $$(PORT) and $$$$."),
		variable("MAX_CONTEXT_MESSAGES", "20"), variable("EMIT_EVENTS", "false"), variable("CONVERSATION_TTL", "24h0m0s"),
		variable("EVENT_SOURCE", "/team/bruno"),
		variable("OTEL_SERVICE_NAME", "bruno"), variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318"), variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
		variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), variable("OTEL_TRACES_SAMPLER_ARG", "0.5"),
		variable("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based"),
		variable("LOG_LEVEL", "debug"), variable("LOG_FORMAT", "json"), variable("LOG_TRACE_CONTEXT", "true"),
		variable("LAMBDA_AGENT_NAME", "bruno"), variable("LAMBDA_AGENT_NAMESPACE", "team"), variable("LAMBDA_AGENT_CONFIG", "/etc/lambda-agent/agent.json"),
	}, Environment(a))
}

// TestEnvironmentOfTheUserWins: what env sets itself is there once, last and as it
// was given.
func TestEnvironmentOfTheUserWins(t *testing.T) {
	own := []corev1.EnvVar{variable("LLM_MODEL", "mine"), variable("OLLAMA_URL", ""), variable("SYSTEM_PROMPT", "$(OTHER)"), variable("K_SINK", "http://sink")}
	a := agent(func(a *v1alpha1.LambdaAgent) {
		a.Spec.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://ollama", Model: "m"}, Proxy: v1alpha1.ProxyDisabled, SystemPrompt: "x"}
		a.Spec.Env = own
	})
	same(t, "environment", append([]corev1.EnvVar{
		variable("LLM_PROVIDER", "ollama"), variable("LLM_ENDPOINT", "http://ollama"), variable("OLLAMA_MODEL", "m"),
		variable("LAMBDA_AGENT_NAME", "bruno"), variable("LAMBDA_AGENT_NAMESPACE", "team"), variable("LAMBDA_AGENT_CONFIG", "/etc/lambda-agent/agent.json"),
	}, own...), Environment(a))
}

// TestKeys: each provider's own client library finds its key.
func TestKeys(t *testing.T) {
	key := &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "token"}
	for provider, name := range map[v1alpha1.Provider]string{
		v1alpha1.ProviderOpenAI: "OPENAI_API_KEY", v1alpha1.ProviderOpenAICompatible: "OPENAI_API_KEY", v1alpha1.ProviderAnthropic: "ANTHROPIC_API_KEY",
		v1alpha1.ProviderAzureOpenAI: "AZURE_OPENAI_API_KEY", v1alpha1.ProviderGoogle: "GOOGLE_API_KEY", v1alpha1.ProviderBedrock: "AWS_BEARER_TOKEN_BEDROCK",
		v1alpha1.ProviderOllama: "",
	} {
		t.Run(string(provider), func(t *testing.T) {
			a := agent(func(a *v1alpha1.LambdaAgent) {
				a.Spec.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: provider}, Proxy: v1alpha1.ProxyDisabled, APIKeySecretRef: key}
			})
			got := map[string]*corev1.EnvVarSource{}
			for _, e := range Environment(a) {
				if e.Name == "" {
					t.Error("a variable has no name")
				}
				if e.ValueFrom != nil {
					got[e.Name] = e.ValueFrom
				}
			}
			from := &corev1.EnvVarSource{SecretKeyRef: key}
			want := map[string]*corev1.EnvVarSource{"LLM_API_KEY": from}
			if name != "" {
				want[name] = from
			}
			same(t, "keys", want, got)
		})
	}
}

func TestPrompt(t *testing.T) {
	from := &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "prompts"}, Key: "bruno"}
	for _, tt := range []struct {
		name string
		ai   v1alpha1.AISpec
		old  string
		want corev1.EnvVar
	}{
		{"of ai", v1alpha1.AISpec{SystemPrompt: "x"}, "", variable("SYSTEM_PROMPT", "x")},
		{"of its older place", v1alpha1.AISpec{}, "y", variable("SYSTEM_PROMPT", "y")},
		{"of a ConfigMap", v1alpha1.AISpec{SystemPromptFrom: from}, "", corev1.EnvVar{Name: "SYSTEM_PROMPT", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: from}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent(func(a *v1alpha1.LambdaAgent) {
				a.Spec.AI, a.Spec.Behavior = tt.ai, &v1alpha1.BehaviorSpec{SystemPrompt: tt.old}
			})
			same(t, "prompt", tt.want, Environment(a)[0])
		})
	}
}
