package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// ApprovalSpec is how a supervised agent asks for approval.
type ApprovalSpec struct {
	// Providers that are asked.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Providers []ApprovalProvider `json:"providers,omitempty"`

	// Slack is an incoming webhook.
	// +optional
	Slack *SlackApproval `json:"slack,omitempty"`

	// Custom is an HTTP endpoint.
	// +optional
	Custom *CustomApproval `json:"custom,omitempty"`

	// Timeout of an approval.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`

	// TimeoutAction when nobody answered in time; default deny.
	// +optional
	// +kubebuilder:validation:Enum=deny;approve
	TimeoutAction string `json:"timeoutAction,omitempty"`

	// RequireAll asks for the consent of each provider.
	// +optional
	RequireAll bool `json:"requireAll,omitempty"`
}

// ApprovalProvider is a way to ask.
//
// +kubebuilder:validation:Enum=slack;custom
type ApprovalProvider string

// SlackApproval asks in a Slack channel.
type SlackApproval struct {
	// Channel that is asked.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Channel string `json:"channel,omitempty"`

	// WebhookSecretRef is the key of a Secret that holds the webhook's URL.
	WebhookSecretRef corev1.SecretKeySelector `json:"webhookSecretRef"`
}

// CustomApproval asks an HTTP endpoint.
type CustomApproval struct {
	// Endpoint is a URL.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Endpoint string `json:"endpoint"`

	// SecretRef is the key of a Secret that holds a bearer token.
	// +optional
	SecretRef *corev1.SecretKeySelector `json:"secretRef,omitempty"`
}

// MemorySpec is an agent's memory.
type MemorySpec struct {
	// Enabled turns memory on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// Schema of what is remembered.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Schema string `json:"schema,omitempty"`

	// ShortTerm memory of conversations.
	// +optional
	ShortTerm *ShortTermMemory `json:"shortTerm,omitempty"`

	// LongTerm memory of facts.
	// +optional
	LongTerm *LongTermMemory `json:"longTerm,omitempty"`

	// WorkingMemory of a task.
	// +optional
	WorkingMemory *MemoryToggle `json:"workingMemory,omitempty"`

	// UserMemory of what users prefer.
	// +optional
	UserMemory *MemoryToggle `json:"userMemory,omitempty"`

	// DefaultConstraints that the agent always keeps to.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	DefaultConstraints []MemoryConstraint `json:"defaultConstraints,omitempty"`
}

// MemoryToggle turns a kind of memory on.
type MemoryToggle struct {
	// Enabled turns it on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
}

// ShortTermMemory keeps conversations in Redis.
type ShortTermMemory struct {
	MemoryToggle `json:",inline"`

	// Backend of the memory.
	// +optional
	// +kubebuilder:validation:Enum=redis
	Backend string `json:"backend,omitempty"`

	// RedisSecretRef is the key of a Secret that holds the URL.
	// +optional
	RedisSecretRef *corev1.SecretKeySelector `json:"redisSecretRef,omitempty"`

	// TTLSeconds after which an idle conversation is forgotten.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TTLSeconds *int64 `json:"ttlSeconds,omitempty"`
}

// LongTermMemory keeps facts in PostgreSQL.
type LongTermMemory struct {
	MemoryToggle `json:",inline"`

	// Backend of the memory.
	// +optional
	// +kubebuilder:validation:Enum=postgres
	Backend string `json:"backend,omitempty"`

	// PostgresSecretRef is the key of a Secret that holds the URL.
	// +optional
	PostgresSecretRef *corev1.SecretKeySelector `json:"postgresSecretRef,omitempty"`
}

// MemoryConstraint is a rule that the agent keeps to.
type MemoryConstraint struct {
	// Description of the rule.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description"`

	// Hard rules are never broken.
	// +optional
	Hard bool `json:"hard,omitempty"`

	// Category of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Category string `json:"category,omitempty"`
}

// AgentEventing is what an agent emits and receives.
type AgentEventing struct {
	// Enabled gives the agent a broker of its own.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// EventSource is the CloudEvents source that the agent emits with; default
	// /<namespace>/<name>.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	EventSource string `json:"eventSource,omitempty"`

	// Intents are the event types that the agent emits, whole or as a dotted
	// suffix.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	Intents []string `json:"intents,omitempty"`

	// Subscriptions are what the agent receives.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Subscriptions []AgentSubscription `json:"subscriptions,omitempty"`

	// Forwards are explicit routes to other agents.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Forwards []AgentForward `json:"forwards,omitempty"`

	// DLQ is the agent's dead letter queue.
	// +optional
	DLQ *DeadLetterSpec `json:"dlq,omitempty"`

	// RabbitMQ says how the broker reaches and uses RabbitMQ.
	// +optional
	RabbitMQ *RabbitMQSpec `json:"rabbitmq,omitempty"`
}

// AgentSubscription is what an agent receives.
type AgentSubscription struct {
	// EventType is the CloudEvents type.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	EventType string `json:"eventType"`

	// Source is the CloudEvents source, with * for any run of characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Source string `json:"source,omitempty"`

	// Filters are filters of the CloudEvents Subscriptions API; all must
	// match.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Filters []EventFilter `json:"filters,omitempty"`

	// Description for people.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`
}

// AgentForward is an explicit route to another agent.
type AgentForward struct {
	// EventTypes that take the route.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	EventTypes []string `json:"eventTypes"`

	// TargetAgent gets the events.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	TargetAgent string `json:"targetAgent"`

	// TargetNamespace of the agent; default the same.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	TargetNamespace string `json:"targetNamespace,omitempty"`

	// Relay also passes on other agents' events of these types.
	// +optional
	Relay bool `json:"relay,omitempty"`

	// Description for people.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`
}

// PermissionsSpec is what the agent's ServiceAccount may do at run time.
type PermissionsSpec struct {
	// DisableBrokerCreation takes away the right to make Brokers.
	// +optional
	DisableBrokerCreation bool `json:"disableBrokerCreation,omitempty"`

	// DisableTriggerCreation takes away the right to make Triggers.
	// +optional
	DisableTriggerCreation bool `json:"disableTriggerCreation,omitempty"`

	// DisableFunctionCreation takes away the right to make LambdaFunctions.
	// +optional
	DisableFunctionCreation bool `json:"disableFunctionCreation,omitempty"`

	// AllowedTargetNamespaces of routes that leave the namespace; "*" is all.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	AllowedTargetNamespaces []string `json:"allowedTargetNamespaces,omitempty"`

	// EventControls let events withdraw and give back permissions.
	// +optional
	EventControls *EventControls `json:"eventControls,omitempty"`
}

// EventControls let events withdraw and give back permissions.
type EventControls struct {
	// AllowEventDisable turns this on.
	// +optional
	AllowEventDisable bool `json:"allowEventDisable,omitempty"`

	// ControlEventTypes are the types of such events.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	ControlEventTypes []string `json:"controlEventTypes,omitempty"`

	// AllowedControlSources are the sources they may come from.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	AllowedControlSources []string `json:"allowedControlSources,omitempty"`
}
