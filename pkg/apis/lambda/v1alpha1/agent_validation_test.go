package v1alpha1

import (
	"testing"

	"knative.dev/pkg/apis"
)

const (
	// anImage begins the spec of an agent without a model.
	anImage = "image: {repository: r.test/own}\n"
	// ollama begins the spec of an agent with one, and leaves spec.ai open.
	ollama = anImage + "ai: {provider: ollama, endpoint: 'http://ollama:11434', model: m"
)

// invalidAgents, each with all that is said about it.
var invalidAgents = []struct{ name, spec, want string }{
	{"no image", `ai: {provider: none}`, "missing field(s): spec.image.repository"},
	{"image with a bad tag", `image: {repository: r.test/own, tag: 'v 1'}`, "invalid value: v 1: spec.image.tag\nexpected a tag of letters, digits, '.', '_' and '-'"},
	{"image's port is Knative's own", `image: {repository: r.test/own, port: 8012}`, "invalid value: 8012: spec.image.port\nKnative Serving listens there itself: choose another port"},
	{"unknown provider", anImage + `ai: {provider: oracle, model: m}`, "invalid value: oracle: spec.ai.provider\nexpected ollama, openai, anthropic, azure-openai, google, bedrock, openai-compatible or none"},
	{"hosted provider without a key", anImage + `ai: {provider: openai, model: m}`, "missing field(s): spec.ai.apiKeySecretRef\nprovider openai answers nobody without a key"},
	{"hosted provider without a key and an endpoint", anImage + `ai: {provider: azure-openai, model: m}`, "missing field(s): spec.ai.apiKeySecretRef\nprovider azure-openai answers nobody without a key\nmissing field(s): spec.ai.endpoint\nprovider azure-openai has no endpoint of its own"},
	{"provider without its endpoint", anImage + `ai: {provider: ollama, model: m}`, "missing field(s): spec.ai.endpoint\nprovider ollama has no endpoint of its own"},
	{"endpoint that is no URL", anImage + `ai: {provider: ollama, model: m, endpoint: 'ollama:11434'}`, "invalid value: ollama:11434: spec.ai.endpoint\nexpected a URL that begins with http:// or https://"},
	{"endpoint of another kind", anImage + `ai: {provider: ollama, model: m, endpoint: 'ftp://ollama'}`, "invalid value: ftp://ollama: spec.ai.endpoint\nexpected a URL that begins with http:// or https://"},
	{"no model", anImage + `ai: {provider: ollama, endpoint: 'http://ollama'}`, "missing field(s): spec.ai.model"},
	{"model without a provider", anImage + `ai: {model: m}`, "model and endpoint go with a provider other than none: spec.ai.provider"},
	{"endpoint of no provider", anImage + `ai: {provider: none, endpoint: 'http://ollama'}`, "model and endpoint go with a provider other than none: spec.ai.provider"},
	{"key without its name", anImage + `ai: {provider: openai, model: m, apiKeySecretRef: {key: token}}`, "missing field(s): spec.ai.apiKeySecretRef.name"},
	{"key without its key", anImage + `ai: {provider: openai, model: m, apiKeySecretRef: {name: openai}}`, "missing field(s): spec.ai.apiKeySecretRef.key"},
	{"temperature too high", ollama + `, temperature: 2.1}`, "invalid value: 2.1: spec.ai.temperature\nexpected a number from 0 to 2"},
	{"temperature too low", ollama + `, temperature: '-0.1'}`, "invalid value: -0.1: spec.ai.temperature\nexpected a number from 0 to 2"},
	{"temperature that is no number", ollama + `, temperature: hot}`, "invalid value: hot: spec.ai.temperature\nexpected a number from 0 to 2"},
	{"topP too high", ollama + `, topP: 1.1}`, "invalid value: 1.1: spec.ai.topP\nexpected a number from 0 to 1"},
	{"no tokens", ollama + `, maxTokens: 0}`, "invalid value: 0: spec.ai.maxTokens\nmust be at least 1"},
	{"model's timeout too short", ollama + `, timeout: 10ms}`, "expected 1s <= 10ms <= 1h0m0s: spec.ai.timeout"},
	{"model's timeout that is no duration", ollama + `, timeout: soon}`, "invalid value: soon: spec.ai.timeout\nexpected a duration such as 90s or 5m"},
	{"two prompts", ollama + `, systemPrompt: x, systemPromptFrom: {name: prompts, key: bruno}}`, "expected exactly one, got both: spec.ai.systemPrompt, spec.ai.systemPromptFrom"},
	{"prompt from nowhere", ollama + `, systemPromptFrom: {name: '', key: ''}}`, "missing field(s): spec.ai.systemPromptFrom.key, spec.ai.systemPromptFrom.name"},
	{"prompt in two places", ollama + ", systemPrompt: x}\nbehavior: {systemPrompt: y}", "expected exactly one, got both: spec.ai.systemPrompt, spec.behavior.systemPrompt"},
	{"prompt in two places, one of them a ConfigMap", ollama + ", systemPromptFrom: {name: prompts, key: bruno}}\nbehavior: {systemPrompt: y}", "expected exactly one, got both: spec.ai.systemPromptFrom, spec.behavior.systemPrompt"},
	{"no context", anImage + `behavior: {maxContextMessages: 0}`, "invalid value: 0: spec.behavior.maxContextMessages\nmust be at least 1"},
	{"conversations that end at no time", anImage + `behavior: {conversationTTL: soon}`, "invalid value: soon: spec.behavior.conversationTTL\nexpected a duration such as 90s or 5m"},
	{"unknown mode", anImage + `operationMode: wild`, "invalid value: wild: spec.operationMode\nexpected agentic or supervised"},
	{"supervised by nobody", anImage + `operationMode: supervised`, "missing field(s): spec.approval\nnot supported by this version of the operator yet: spec.operationMode"},
	{"subscription to no event type", anImage + `eventing: {enabled: false, subscriptions: [{eventType: a.b}, {eventType: 'a b'}]}`, "invalid value: a b: spec.eventing.subscriptions[1].eventType\nexpected an event type such as io.example.order.created"},
	{"intent that is no event type", anImage + `eventing: {intents: [a.b, '.c']}`, "invalid value: .c: spec.eventing.intents[1]\nexpected an event type such as io.example.order.created\nnot supported by this version of the operator yet: spec.eventing.intents"},
	{"more replicas at least than at most", anImage + `scaling: {minReplicas: 3, maxReplicas: 2}`, "invalid value: 3: spec.scaling.minReplicas\nmust be no more than maxReplicas (2)"},
	{"environment PORT", anImage + `env: [{name: PORT, value: '1'}]`, "invalid value: PORT: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment K_", anImage + `env: [{name: K_SERVICE, value: x}]`, "invalid value: K_SERVICE: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment LAMBDA_", anImage + `env: [{name: LAMBDA_AGENT_NAME, value: x}]`, "invalid value: LAMBDA_AGENT_NAME: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment from nowhere", anImage + `envFrom: [{}]`, "expected exactly one of: spec.envFrom[0].configMapRef, spec.envFrom[0].secretRef"},
	{"service account that is no name", anImage + `serviceAccountName: No_Name`, "invalid value: No_Name: spec.serviceAccountName\n" + notAName},
	{"unknown log level", anImage + `observability: {logging: {level: loud}}`, "invalid value: loud: spec.observability.logging.level\nexpected debug, info, warning or error"},
	{"fallbacks", ollama + `, fallbacks: [{provider: ollama, endpoint: 'http://o', model: m}]}`, "not supported by this version of the operator yet: spec.ai.fallbacks"},
	{"budget", ollama + `, budget: {tokens: 1, window: 1h}}`, "not supported by this version of the operator yet: spec.ai.budget"},
	{"proxy", ollama + `, proxy: enabled}`, "not supported by this version of the operator yet: spec.ai.proxy"},
	{"approval", anImage + `approval: {}`, "not supported by this version of the operator yet: spec.approval"},
	{"memory", anImage + `memory: {enabled: true}`, "not supported by this version of the operator yet: spec.memory.enabled"},
	{"permissions", anImage + `permissions: {}`, "not supported by this version of the operator yet: spec.permissions"},
	{"intents", anImage + `eventing: {intents: [a.b]}`, "not supported by this version of the operator yet: spec.eventing.intents"},
	{"forwards", anImage + `eventing: {forwards: [{eventTypes: [a.b], targetAgent: b}]}`, "not supported by this version of the operator yet: spec.eventing.forwards"},
	{"dead letters", anImage + `eventing: {dlq: {}}`, "not supported by this version of the operator yet: spec.eventing.dlq"},
	{"RabbitMQ", anImage + `eventing: {rabbitmq: {}}`, "not supported by this version of the operator yet: spec.eventing.rabbitmq"},
}

func TestInvalidAgents(t *testing.T) {
	for _, tt := range invalidAgents {
		t.Run(tt.name, func(t *testing.T) {
			a := defaulted(configured(), agentOf(t, tt.spec))
			refused(t, a, a.Validate(configured()), tt.want)
		})
	}
}

// validAgents are at the edges of what is right.
var validAgents = []string{
	anImage,
	ollama + ", temperature: 0, topP: '1', maxTokens: 1, timeout: 1h, systemPrompt: x, proxy: disabled}",
	ollama + ", temperature: '2', systemPromptFrom: {name: prompts, key: bruno}}\nbehavior: {maxContextMessages: 1, conversationTTL: 1s, emitEvents: true}",
	anImage + "ai: {provider: anthropic, model: m, apiKeySecretRef: {name: anthropic, key: token}}\nbehavior: {systemPrompt: x}",
	anImage + "ai: {provider: azure-openai, endpoint: 'https://azure', model: m, apiKeySecretRef: {name: azure, key: token}}",
	anImage + "eventing: {subscriptions: [{eventType: io.homelab.chat.message, source: '/team/*'}, {eventType: a_1-b}]}",
	anImage + "env: [{name: K_SINK, value: x}, {name: LLM_MODEL, value: x}]\nserviceAccountName: robot\noperationMode: agentic\nmemory: {enabled: false}",
	anImage + "scaling: {minReplicas: 0, scaleToZeroGracePeriod: 0s}",
}

func TestValidAgents(t *testing.T) {
	for _, spec := range validAgents {
		if err := defaulted(configured(), agentOf(t, spec)).Validate(configured()); err != nil {
			t.Errorf("%s\nis refused: %v", spec, err)
		}
	}
}

// TestWarnings: what is kept and not acted on yet is said, and refuses nothing.
func TestWarnings(t *testing.T) {
	a := defaulted(configured(), agentOf(t, anImage+"eventing: {enabled: true}"))
	errs := a.Validate(configured())
	if got := errs.Filter(apis.ErrorLevel); got != nil {
		t.Error("refused:", got)
	}
	refused(t, a, errs.Filter(apis.WarningLevel), "kept, but this version of the operator makes no broker and no routes for agents yet: spec.eventing.enabled")
}
