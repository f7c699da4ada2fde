package resources

import (
	"encoding/json"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
)

// apiKeyVariable is where each provider's own client library looks for its key.
var apiKeyVariable = map[v1alpha1.Provider]string{
	v1alpha1.ProviderOpenAI:           "OPENAI_API_KEY",
	v1alpha1.ProviderOpenAICompatible: "OPENAI_API_KEY",
	v1alpha1.ProviderAnthropic:        "ANTHROPIC_API_KEY",
	v1alpha1.ProviderAzureOpenAI:      "AZURE_OPENAI_API_KEY",
	v1alpha1.ProviderGoogle:           "GOOGLE_API_KEY",
	v1alpha1.ProviderBedrock:          "AWS_BEARER_TOKEN_BEDROCK",
}

// SetBroker sets for the agent's program where a Broker of the class accepts events, unless
// the spec has said otherwise.
func SetBroker(service *servingv1.Service, a *v1alpha1.LambdaAgent, class string) {
	env := service.Spec.Template.Spec.Containers[0].Env
	for i := range env {
		if env[i].Name == "K_SINK" && env[i].Value == BrokerURL(a, lambda.BrokerClass).String() {
			env[i].Value = BrokerURL(a, class).String()
		}
	}
}

// Environment of the agent's container: the platform's, without what the spec
// sets itself, then the spec's.
func Environment(a *v1alpha1.LambdaAgent) []corev1.EnvVar {
	given := map[string]bool{}
	for _, e := range a.Spec.Env {
		given[e.Name] = true
	}
	var env []corev1.EnvVar
	add := func(e corev1.EnvVar) {
		if !given[e.Name] && (e.Value != "" || e.ValueFrom != nil) {
			env = append(env, e)
		}
	}
	ai := asTheAgentSeesIt(a)
	add(corev1.EnvVar{Name: "LLM_PROVIDER", Value: string(ai.Provider)})
	add(corev1.EnvVar{Name: "LLM_ENDPOINT", Value: ai.Endpoint})
	add(corev1.EnvVar{Name: "LLM_MODEL", Value: ai.Model})
	if ai.Temperature != nil {
		add(corev1.EnvVar{Name: "LLM_TEMPERATURE", Value: string(*ai.Temperature)})
	}
	if ai.MaxTokens != nil {
		add(corev1.EnvVar{Name: "LLM_MAX_TOKENS", Value: strconv.Itoa(int(*ai.MaxTokens))})
	}
	if ai.TopP != nil {
		add(corev1.EnvVar{Name: "LLM_TOP_P", Value: string(*ai.TopP)})
	}
	if ai.Timeout != nil {
		add(corev1.EnvVar{Name: "LLM_TIMEOUT", Value: ai.Timeout.Value().String()})
	}
	if ai.Provider == v1alpha1.ProviderOllama {
		add(corev1.EnvVar{Name: "OLLAMA_URL", Value: ai.Endpoint})
		add(corev1.EnvVar{Name: "OLLAMA_MODEL", Value: ai.Model})
	}
	if a.Spec.AI.Proxied() {
		for _, e := range placeholders(a) {
			add(e)
		}
	}
	if r := ai.APIKeySecretRef; r != nil {
		from := &corev1.EnvVarSource{SecretKeyRef: r}
		add(corev1.EnvVar{Name: "LLM_API_KEY", ValueFrom: from})
		if own, ok := apiKeyVariable[ai.Provider]; ok {
			add(corev1.EnvVar{Name: own, ValueFrom: from})
		}
	}
	prompt := prompt(a)
	prompt.Value = strings.ReplaceAll(prompt.Value, "$", "$$") // Kubernetes expands $(…) in values
	add(prompt)
	if b := a.Spec.Behavior; b != nil {
		if b.MaxContextMessages != nil {
			add(corev1.EnvVar{Name: "MAX_CONTEXT_MESSAGES", Value: strconv.Itoa(int(*b.MaxContextMessages))})
		}
		if b.EmitEvents != nil {
			add(corev1.EnvVar{Name: "EMIT_EVENTS", Value: strconv.FormatBool(*b.EmitEvents)})
		}
		if b.ConversationTTL != nil {
			add(corev1.EnvVar{Name: "CONVERSATION_TTL", Value: b.ConversationTTL.Value().String()})
		}
	}
	for _, e := range memory(a.Spec.Memory) {
		add(e)
	}
	if e := a.Spec.Eventing; e != nil {
		add(corev1.EnvVar{Name: "EVENT_SOURCE", Value: e.EventSource})
	}
	if a.Spec.ActiveEventing() != nil {
		add(corev1.EnvVar{Name: "K_SINK", Value: BrokerURL(a, lambda.BrokerClass).String()})
	}
	for _, e := range kservice.Observability(a.Spec.Observability, a.Name) {
		add(e)
	}
	if o := a.Spec.Observability; o != nil && o.Metrics != nil && o.Metrics.Exemplars {
		add(corev1.EnvVar{Name: "OTEL_METRICS_EXEMPLAR_FILTER", Value: "trace_based"})
	}
	if o := a.Spec.Observability; o != nil && o.Logging != nil {
		add(corev1.EnvVar{Name: "LOG_LEVEL", Value: o.Logging.Level})
		add(corev1.EnvVar{Name: "LOG_FORMAT", Value: o.Logging.Format})
		if on := o.Logging.TraceContext; on != nil {
			add(corev1.EnvVar{Name: "LOG_TRACE_CONTEXT", Value: strconv.FormatBool(*on)})
		}
	}
	add(corev1.EnvVar{Name: "LAMBDA_AGENT_NAME", Value: a.Name})
	add(corev1.EnvVar{Name: "LAMBDA_AGENT_NAMESPACE", Value: a.Namespace})
	add(corev1.EnvVar{Name: "LAMBDA_AGENT_CONFIG", Value: v1alpha1.AgentConfigDir + "/" + configFile})
	return append(env, a.Spec.Env...)
}

// prompt of the agent, wherever the spec has it.
func prompt(a *v1alpha1.LambdaAgent) corev1.EnvVar {
	e := corev1.EnvVar{Name: "SYSTEM_PROMPT", Value: a.Spec.AI.SystemPrompt}
	if from := a.Spec.AI.SystemPromptFrom; from != nil {
		e.ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: from}
	} else if e.Value == "" && a.Spec.Behavior != nil {
		e.Value = a.Spec.Behavior.SystemPrompt
	}
	return e
}

// Where the agent finds its configuration as a file.
const (
	configFile = "agent.json"
)

// agentConfig is the document in LAMBDA_AGENT_CONFIG: the spec's own words,
// without what only Kubernetes needs.
type agentConfig struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`

	AI            v1alpha1.AISpec         `json:"ai"`
	Behavior      *v1alpha1.BehaviorSpec  `json:"behavior,omitempty"`
	OperationMode v1alpha1.OperationMode  `json:"operationMode,omitempty"`
	Eventing      *v1alpha1.AgentEventing `json:"eventing,omitempty"`
	Memory        *v1alpha1.MemorySpec    `json:"memory,omitempty"`
	ModelProxy    *proxySettings          `json:"modelProxy,omitempty"`
}

// configDocument is the agent's configuration as JSON. Secrets are in it by
// reference only.
func configDocument(a *v1alpha1.LambdaAgent) (string, error) {
	text, err := json.MarshalIndent(agentConfig{
		Name: a.Name, Namespace: a.Namespace,
		ModelProxy: proxyDocument(a),
		AI:         *asTheAgentSeesIt(a), Behavior: a.Spec.Behavior, OperationMode: a.Spec.OperationMode, Eventing: a.Spec.Eventing, Memory: a.Spec.Memory,
	}, "", "  ")
	return string(text), err
}
