package v1alpha1

import (
	"strings"
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
	{"volume of the platform's name", anImage + "\nvolumes: [{name: lambda-agent, emptyDir: {}}]", "invalid value: lambda-agent: spec.volumes[0].name\nthe platform has a volume of this name: choose another one"},
	{"mount over the configuration", anImage + "\nvolumes: [{name: v, emptyDir: {}}]\nvolumeMounts: [{name: v, mountPath: /etc/lambda-agent/x}]", "invalid value: /etc/lambda-agent/x: spec.volumeMounts[0].mountPath\nthe platform has files there: choose another path"},
	{"folder of the node", anImage + "\nvolumes: [{name: v, hostPath: {path: /}}]", "expected exactly one of: spec.volumes[0].configMap, spec.volumes[0].emptyDir, spec.volumes[0].persistentVolumeClaim, spec.volumes[0].projected, spec.volumes[0].secret"},
	{"domains of a private agent", anImage + "\nvisibility: cluster-local\ndomains: [{name: a.test}]", "domains publish what is cluster-local: remove them, or set visibility: external: spec.domains"},
	{"target above concurrency", anImage + "\nscaling: {concurrency: 2, targetConcurrency: 3}", "invalid value: 3: spec.scaling.targetConcurrency\nmust be no more than a pod takes at once (2): set scaling.concurrency to at least this number"},
	{"no image", `ai: {provider: none}`, "missing field(s): spec.image.repository"},
	{"image with a bad tag", `image: {repository: r.test/own, tag: 'v 1'}`, "invalid value: v 1: spec.image.tag\nexpected a tag of letters, digits, '.', '_' and '-'"},
	{"image's port is Knative's own", `image: {repository: r.test/own, port: 8012}`, "invalid value: 8012: spec.image.port\nKnative Serving listens there itself: choose another port"},
	{"unknown provider", anImage + `ai: {provider: oracle, model: m}`, "invalid value: oracle: spec.ai.provider\nexpected ollama, openai, anthropic, azure-openai, google, bedrock, openai-compatible or none"},
	{"hosted provider without a key", anImage + `ai: {provider: openai, model: m}`, "missing field(s): spec.ai.apiKeySecretRef\napiKeySecretRef is required for provider openai"},
	{"hosted provider without a key and an endpoint", anImage + `ai: {provider: azure-openai, model: m}`, "missing field(s): spec.ai.apiKeySecretRef\napiKeySecretRef is required for provider azure-openai\nmissing field(s): spec.ai.endpoint\nprovider azure-openai has no endpoint of its own"},
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
	{"less than no context", anImage + `behavior: {maxContextMessages: -1}`, "invalid value: -1: spec.behavior.maxContextMessages\nmust be at least 0"},
	{"conversations that end at no time", anImage + `behavior: {conversationTTL: soon}`, "invalid value: soon: spec.behavior.conversationTTL\nexpected a duration such as 90s or 5m"},
	{"unknown mode", anImage + `operationMode: wild`, "invalid value: wild: spec.operationMode\nexpected agentic or supervised"},
	{"supervised by nobody", anImage + `operationMode: supervised`, "expected eventing.enabled to be true: spec.operationMode\nan agent asks for approval through its broker\nmissing field(s): spec.approval"},
	{"approval by nobody", anImage + `approval: {}`, "expected at least one of slack, custom: spec.approval.providers"},
	{"approval by an unknown provider", anImage + `approval: {providers: [pigeon], custom: {endpoint: 'https://a'}}`, "invalid value: pigeon: spec.approval.providers[0]\nexpected slack or custom"},
	{"approval by a provider twice", anImage + `approval: {providers: [custom, custom], custom: {endpoint: 'https://a'}}`, "\"custom\" is there twice: spec.approval.providers[1]"},
	{"approval by a provider that is not set up", anImage + `approval: {providers: [slack], custom: {endpoint: 'https://a'}}`, "missing field(s): spec.approval.slack"},
	{"approval by an endpoint that is no URL", anImage + `approval: {custom: {endpoint: 'a:80'}}`, "invalid value: a:80: spec.approval.custom.endpoint\nexpected a URL that begins with http:// or https://"},
	{"approval by a token without its name", anImage + `approval: {custom: {endpoint: 'http://a', secretRef: {key: token}}}`, "missing field(s): spec.approval.custom.secretRef.name"},
	{"approval by a webhook without its key", anImage + `approval: {slack: {webhookSecretRef: {name: slack}}}`, "missing field(s): spec.approval.slack.webhookSecretRef.key"},
	{"approval within no time", anImage + `approval: {timeout: 10ms, custom: {endpoint: 'http://a'}}`, "expected 1s <= 10ms <= 720h0m0s: spec.approval.timeout"},
	{"approval that ends otherwise", anImage + `approval: {timeoutAction: ask, custom: {endpoint: 'http://a'}}`, "invalid value: ask: spec.approval.timeoutAction\nexpected deny or approve"},
	{"privileged", anImage + `securityContext: {privileged: true}`, "invalid value: true: spec.securityContext.privileged\nexpected false or nothing"},
	{"more capabilities", anImage + `securityContext: {capabilities: {add: [NET_ADMIN]}}`, "must not set the field(s): spec.securityContext.capabilities.add"},
	{"the host's SELinux", anImage + `securityContext: {seLinuxOptions: {level: s0}}`, "must not set the field(s): spec.securityContext.seLinuxOptions"},
	{"the host's proc", anImage + `securityContext: {procMount: Unmasked}`, "must not set the field(s): spec.securityContext.procMount"},
	{"the host's AppArmor", anImage + `securityContext: {appArmorProfile: {type: Unconfined}}`, "must not set the field(s): spec.securityContext.appArmorProfile"},
	{"Windows", anImage + `securityContext: {windowsOptions: {hostProcess: true}}`, "must not set the field(s): spec.securityContext.windowsOptions"},
	{"no seccomp profile", anImage + `securityContext: {seccompProfile: {type: Unconfined}}`, "invalid value: Unconfined: spec.securityContext.seccompProfile.type\nexpected RuntimeDefault or Localhost"},
	{"seccomp profile without its name", anImage + `securityContext: {seccompProfile: {type: Localhost}}`, "goes with type Localhost, and that with it: spec.securityContext.seccompProfile.localhostProfile"},
	{"root that is none", anImage + `securityContext: {runAsNonRoot: true, runAsUser: 0}`, "invalid value: 0: spec.securityContext.runAsUser\n0 is root, and runAsNonRoot is true"},
	{"user out of bounds", anImage + `securityContext: {runAsUser: -1}`, "expected 0 <= -1 <= 2147483647: spec.securityContext.runAsUser"},
	{"group out of bounds", anImage + `securityContext: {runAsGroup: 2147483648}`, "expected 0 <= 2147483648 <= 2147483647: spec.securityContext.runAsGroup"},
	{"controls without a broker", anImage + `permissions: {eventControls: {allowEventDisable: true, controlEventTypes: [a.b], allowedControlSources: [/a]}}`, "expected eventing.enabled to be true: spec.permissions.eventControls.allowEventDisable\ncontrols come through the agent's broker"},
	{"default controls without a broker", anImage + `permissions: {eventControls: {allowEventDisable: true}}`, "expected eventing.enabled to be true: spec.permissions.eventControls.allowEventDisable\ncontrols come through the agent's broker"},
	{"controls of no event type", anImage + `permissions: {eventControls: {controlEventTypes: ['a b']}}`, "invalid value: a b: spec.permissions.eventControls.controlEventTypes[0]\nexpected an event type such as io.example.order.created"},
	{"controls from everywhere", anImage + `permissions: {eventControls: {allowedControlSources: [/a, '**']}}`, "invalid value: **: spec.permissions.eventControls.allowedControlSources[1]\nexpected a source, with * for any run of characters; not all of them"},
	{"subscription to no event type", anImage + `eventing: {enabled: true, subscriptions: [{eventType: a.b}, {eventType: 'a b'}]}`, "invalid value: a b: spec.eventing.subscriptions[1].eventType\nexpected an event type such as io.example.order.created, or a prefix of types such as io.example.*"},
	{"subscription to all types", anImage + `eventing: {enabled: true, subscriptions: [{eventType: '*'}]}`, "invalid value: *: spec.eventing.subscriptions[0].eventType\nexpected an event type such as io.example.order.created, or a prefix of types such as io.example.*"},
	{"subscription to a prefix in the middle", anImage + `eventing: {enabled: true, subscriptions: [{eventType: a.*.b}]}`, "invalid value: a.*.b: spec.eventing.subscriptions[0].eventType\nexpected an event type such as io.example.order.created, or a prefix of types such as io.example.*"},
	{"subscription to a type that ends in a dot", anImage + `eventing: {enabled: true, subscriptions: [{eventType: a.}]}`, "invalid value: a.: spec.eventing.subscriptions[0].eventType\nexpected an event type such as io.example.order.created, or a prefix of types such as io.example.*"},
	{"source namespaces that are none", anImage + `eventing: {enabled: true, allowedSourceNamespaces: [data, 'a b', data]}`, "duplicate value \"data\": spec.eventing.allowedSourceNamespaces[2]\ninvalid value: a b: spec.eventing.allowedSourceNamespaces[1]\nexpected the name of a namespace, or \"*\" for all"},
	{"intent that is no event type", anImage + `eventing: {enabled: true, intents: [a.b, '.c']}`, "invalid value: .c: spec.eventing.intents[1]\nexpected an event type such as io.example.order.created"},
	{"more replicas at least than at most", anImage + `scaling: {minReplicas: 3, maxReplicas: 2}`, "invalid value: 3: spec.scaling.minReplicas\nmust be no more than maxReplicas (2)"},
	{"environment PORT", anImage + `env: [{name: PORT, value: '1'}]`, "invalid value: PORT: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment K_", anImage + `env: [{name: K_SERVICE, value: x}]`, "invalid value: K_SERVICE: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment LAMBDA_", anImage + `env: [{name: LAMBDA_AGENT_NAME, value: x}]`, "invalid value: LAMBDA_AGENT_NAME: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment from nowhere", anImage + `envFrom: [{}]`, "expected exactly one of: spec.envFrom[0].configMapRef, spec.envFrom[0].secretRef"},
	{"service account that is no name", anImage + `serviceAccountName: No_Name`, "invalid value: No_Name: spec.serviceAccountName\n" + notAName},
	{"unknown log level", anImage + `observability: {logging: {level: loud}}`, "invalid value: loud: spec.observability.logging.level\nexpected debug, info, warning or error"},
	{"namespaces that are none", anImage + `permissions: {allowedTargetNamespaces: [data, 'a b', data]}`, "duplicate value \"data\": spec.permissions.allowedTargetNamespaces[2]\ninvalid value: a b: spec.permissions.allowedTargetNamespaces[1]\nexpected the name of a namespace, or \"*\" for all"},
	{"source that is no URI", anImage + `eventing: {enabled: true, eventSource: ':a b'}`, "invalid value: :a b: spec.eventing.eventSource\nexpected a URI reference such as /team/agent"},
	{"an intent twice", anImage + `eventing: {enabled: true, intents: [a.b, c, a.b]}`, "\"a.b\" is there twice: spec.eventing.intents[2]"},
	{"sources by a pattern", anImage + `eventing: {enabled: true, subscriptions: [{eventType: a.b, source: '/team/*/x'}]}`, "invalid value: /team/*/x: spec.eventing.subscriptions[0].source\nexpected one source, a prefix of sources such as /team/*, or * for any"},
	{"a filter that contradicts", anImage + `eventing: {enabled: true, subscriptions: [{eventType: a.b, filters: [{exact: {type: a.c}}]}]}`, "contradicts eventType, source or a filter before it: no event has both: spec.eventing.subscriptions[0].filters[0]"},
	{"a filter that is none", anImage + `eventing: {enabled: true, subscriptions: [{eventType: a.b, filters: [{}]}]}`, "expected exactly one, got neither: spec.eventing.subscriptions[0].filters[0].all, spec.eventing.subscriptions[0].filters[0].any, spec.eventing.subscriptions[0].filters[0].cesql, spec.eventing.subscriptions[0].filters[0].exact, spec.eventing.subscriptions[0].filters[0].not, spec.eventing.subscriptions[0].filters[0].prefix, spec.eventing.subscriptions[0].filters[0].suffix"},
	{"a forward of nothing to nobody", anImage + `eventing: {enabled: true, forwards: [{eventTypes: [], targetAgent: ''}]}`, "missing field(s): spec.eventing.forwards[0].eventTypes, spec.eventing.forwards[0].targetAgent"},
	{"a forward to no name", anImage + `eventing: {enabled: true, forwards: [{eventTypes: ['a b'], targetAgent: 1b, targetNamespace: team}]}`, "invalid value: 1b: spec.eventing.forwards[0].targetAgent\nexpected the name of an agent: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')\ninvalid value: a b: spec.eventing.forwards[0].eventTypes[0]\nexpected an event type such as io.example.order.created"},
	{"a forward to itself", anImage + `eventing: {enabled: true, forwards: [{eventTypes: [a.b], targetAgent: bruno}]}`, "is this agent itself: it would get its own events: spec.eventing.forwards[0].targetAgent"},
	{"a forward twice", anImage + `eventing: {enabled: true, forwards: [{eventTypes: [a.b], targetAgent: b}, {eventTypes: [c, a.b], targetAgent: b, targetNamespace: team}]}`, "forwards[0] forwards a.b to the same agent already: spec.eventing.forwards[1].eventTypes[1]"},
	{"dead letters", anImage + `eventing: {enabled: true, dlq: {maxLength: 0}}`, "invalid value: 0: spec.eventing.dlq.maxLength\nmust be at least 1"},
	{"RabbitMQ", anImage + `eventing: {enabled: true, rabbitmq: {queueType: fast}}`, "invalid value: fast: spec.eventing.rabbitmq.queueType\nexpected quorum or classic"},
	{"conversations kept nowhere", anImage + `memory: {enabled: true, shortTerm: {enabled: true}}`, "missing field(s): spec.memory.shortTerm.redisSecretRef\nredis is reached by the URL in a Secret"},
	{"facts kept nowhere", anImage + `memory: {enabled: true, longTerm: {enabled: true}}`, "missing field(s): spec.memory.longTerm.postgresSecretRef\npostgres is reached by the URL in a Secret"},
	{"conversations kept in no known place", anImage + `memory: {shortTerm: {backend: etcd}}`, "invalid value: etcd: spec.memory.shortTerm.backend\nexpected redis"},
	{"facts kept in no known place", anImage + `memory: {longTerm: {backend: redis}}`, "invalid value: redis: spec.memory.longTerm.backend\nexpected postgres"},
	{"conversations forgotten at once", anImage + `memory: {shortTerm: {ttlSeconds: 0}}`, "invalid value: 0: spec.memory.shortTerm.ttlSeconds\nmust be at least 1"},
	{"a Secret without its key", anImage + `memory: {longTerm: {postgresSecretRef: {name: p}}}`, "missing field(s): spec.memory.longTerm.postgresSecretRef.key"},
	{"a rule of no words", anImage + `memory: {defaultConstraints: [{description: x}, {hard: true}]}`, "missing field(s): spec.memory.defaultConstraints[1].description"},
	{"fallback without a provider", ollama + `, fallbacks: [{model: m}]}`, "missing field(s): spec.ai.fallbacks[0].provider"},
	{"fallback without an endpoint and a model", ollama + `, fallbacks: [{provider: ollama}]}`, "missing field(s): spec.ai.fallbacks[0].model\nmissing field(s): spec.ai.fallbacks[0].endpoint\nprovider ollama has no endpoint of its own"},
	{"hosted fallback without a key", ollama + `, fallbacks: [{provider: openai, model: m}]}`, "missing field(s): spec.ai.fallbacks[0].apiKeySecretRef\napiKeySecretRef is required for provider openai"},
	{"fallbacks without the proxy", ollama + `, proxy: disabled, fallbacks: [{provider: ollama, endpoint: 'http://o', model: m}]}`, "goes with a model and its proxy: spec.ai.fallbacks"},
	{"budget without a bound of replicas", ollama + ", budget: {tokens: 10, window: 1h}}\nscaling: {maxReplicas: 0}", "missing field(s): spec.scaling.maxReplicas\nthe budget is shared out among so many replicas, so that no number of them exceeds it"},
	{"budget of less than a token for each replica that is the default", ollama + ", budget: {tokens: 4, window: 1h}}", "invalid value: 4: spec.ai.budget.tokens\nmust be at least one for each of scaling.maxReplicas (10)"},
	{"budget of less than a token for each replica", ollama + ", budget: {tokens: 4, window: 1h}}\nscaling: {maxReplicas: 5}", "invalid value: 4: spec.ai.budget.tokens\nmust be at least one for each of scaling.maxReplicas (5)"},
	{"budget of no window", ollama + `, budget: {tokens: 100, window: soon}}`, "invalid value: soon: spec.ai.budget.window\nexpected a duration such as 90s or 5m"},
	{"proxy of no model", anImage + `ai: {provider: none, proxy: enabled}`, "goes with a model and its proxy: spec.ai.proxy"},
	{"unknown proxy", ollama + `, proxy: maybe}`, "invalid value: maybe: spec.ai.proxy\nexpected enabled or disabled"},
	{"bedrock without its region's endpoint", anImage + `ai: {provider: bedrock, model: m, apiKeySecretRef: {name: aws, key: token}}`, "missing field(s): spec.ai.endpoint\nprovider bedrock has no endpoint of its own"},
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
	ollama + ", proxy: enabled, budget: {tokens: 10, window: 24h}, fallbacks: [{provider: openai, model: m, apiKeySecretRef: {name: openai, key: token}}]}",
	anImage + "ai: {provider: openai, model: m, apiKeySecretRef: {name: openai, key: token}, fallbacks: [{provider: openai, model: small}]}",
	anImage,
	anImage + "securityContext: {runAsNonRoot: false, privileged: false, readOnlyRootFilesystem: true}",
	anImage + "securityContext: {runAsUser: 2147483647, runAsGroup: 0, seccompProfile: {type: Localhost, localhostProfile: mine.json}}",
	ollama + ", temperature: 0, topP: '1', maxTokens: 1, timeout: 1h, systemPrompt: x, proxy: disabled}",
	ollama + ", temperature: '2', systemPromptFrom: {name: prompts, key: bruno}}\nbehavior: {maxContextMessages: 1, conversationTTL: 1s, emitEvents: true}",
	anImage + "ai: {provider: anthropic, model: m, apiKeySecretRef: {name: anthropic, key: token}}\nbehavior: {systemPrompt: x}",
	anImage + "ai: {provider: azure-openai, endpoint: 'https://azure', model: m, apiKeySecretRef: {name: azure, key: token}}",
	anImage + "eventing: {enabled: true, subscriptions: [{eventType: io.homelab.chat.message, source: '*'}, {eventType: a_1-b}, {eventType: a_1-b}]}",
	anImage + "eventing: {enabled: true, subscriptions: [{eventType: a.b, source: /s, filters: [{exact: {subject: x}}, {all: [{exact: {type: a.b}}, {exact: {dataschema: d}}]}]}]}",
	anImage + "eventing: {enabled: true, intents: [a.b, b, c], subscriptions: [{eventType: a.b, source: /other}, {eventType: xa.bx}], dlq: {enabled: false}, rabbitmq: {prefetchCount: 3}}",
	anImage + "permissions: {allowedTargetNamespaces: ['*']}\neventing: {enabled: true, forwards: [{eventTypes: [a.b, c], targetAgent: b, targetNamespace: data}, {eventTypes: [a.b], targetAgent: bruno, targetNamespace: more, relay: true}]}",
	anImage + "permissions: {eventControls: {allowEventDisable: true}}\neventing: {enabled: true, allowedSourceNamespaces: ['*', data]}",
	anImage + "eventing: {enabled: true, intents: [k8s.pods.list], subscriptions: [{eventType: io.example.k8s.*}, {eventType: rpg.speak, source: '/agent/character/*'}, {eventType: io.exam*}]}",
	anImage + "env: [{name: K_SINK, value: x}, {name: LLM_MODEL, value: x}]\nserviceAccountName: robot\noperationMode: agentic\nmemory: {enabled: false}",
	anImage + "scaling: {minReplicas: 0, scaleToZeroGracePeriod: 0s}",
	anImage + "permissions: {}",
	anImage + "permissions: {disableBrokerCreation: true, eventControls: {allowEventDisable: true, controlEventTypes: [a.b], allowedControlSources: ['/guards/*']}}\neventing: {enabled: true}",
	anImage + "approval: {custom: {endpoint: 'https://a/b', secretRef: {name: s, key: k}}, slack: {webhookSecretRef: {name: s, key: k}}, requireAll: true, timeout: 1s}\noperationMode: supervised\neventing: {enabled: true}",
	anImage + "approval: {providers: [slack], slack: {channel: '#ops', webhookSecretRef: {name: s, key: k}}, custom: {endpoint: 'http://a'}, timeout: 720h, timeoutAction: approve}",
	anImage + "scaling: {minReplicas: 0, scaleToZeroGracePeriod: 0s, scaleDownDelay: 0s}",
	anImage + "memory: {shortTerm: {enabled: true}, longTerm: {enabled: true}}",
	anImage + "memory: {enabled: true, shortTerm: {enabled: true, redisSecretRef: {name: r, key: url}, ttlSeconds: 1}, longTerm: {enabled: true, backend: postgres, postgresSecretRef: {name: p, key: url}}}",
	anImage + "memory: {enabled: true, workingMemory: {enabled: true}, defaultConstraints: [{description: x}]}",
}

func TestValidAgents(t *testing.T) {
	for _, spec := range validAgents {
		if err := defaulted(configured(), agentOf(t, spec)).Validate(configured()).Filter(apis.ErrorLevel); err != nil {
			t.Errorf("%s\nis refused: %v", spec, err)
		}
	}
}

// TestWarnings: what does nothing is said, and refuses nothing.
func TestWarnings(t *testing.T) {
	a := defaulted(configured(), agentOf(t, anImage+"eventing: {intents: [a.b]}"))
	errs := a.Validate(configured())
	if got := errs.Filter(apis.ErrorLevel); got != nil {
		t.Error("refused:", got)
	}
	forgetful := defaulted(configured(), agentOf(t, anImage+"memory: {enabled: true, schema: s}"))
	said := forgetful.Validate(configured())
	if got := said.Filter(apis.ErrorLevel); got != nil {
		t.Error("refused:", got)
	}
	refused(t, forgetful, said.Filter(apis.WarningLevel), "has no effect: set enabled: true in one of shortTerm, longTerm, workingMemory, userMemory: spec.memory.enabled")
	prefixes := defaulted(configured(), agentOf(t, anImage+"eventing: {enabled: true, subscriptions: [{eventType: a.b}, {eventType: io.example.k8s.*}, {eventType: a.b, source: '/agent/character/*', filters: [{exact: {subject: x}}, {any: [{prefix: {subject: x}}, {cesql: 'TRUE'}]}]}]}"))
	if err := prefixes.Validate(configured()); err != nil {
		t.Error("prefixes and filters:", err)
	}
	refused(t, a, errs.Filter(apis.WarningLevel), "is not true, so that nothing else of eventing does anything: spec.eventing.enabled")
}

// TestBrokerName: what a broker adds to an agent's name has to fit, too.
func TestBrokerName(t *testing.T) {
	for length, want := range map[int]string{48: "", 49: "an agent with a broker has a name of at most 48 characters: spec.eventing.enabled"} {
		a := agentOf(t, anImage+"eventing: {enabled: true}")
		a.Name = strings.Repeat("n", length)
		if err := defaulted(configured(), a).Validate(configured()); err.Error() != want {
			t.Errorf("a name of %d characters: %v, want %q", length, err, want)
		}
	}
}

func TestEventSource(t *testing.T) {
	for spec, want := range map[string]string{"{}": "/team/bruno", "eventing: {enabled: true}": "/team/bruno", "eventing: {eventSource: /own}": "/own"} {
		if got := agentOf(t, spec).EventSource(); got != want {
			t.Errorf("%s: EventSource() = %s, want %s", spec, got, want)
		}
	}
}
