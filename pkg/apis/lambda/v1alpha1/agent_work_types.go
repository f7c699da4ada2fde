package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// ApprovalSpec is how a supervised agent asks for approval.
//
// +kubebuilder:validation:XValidation:rule="(has(self.providers) && size(self.providers) > 0) || has(self.slack) || has(self.custom)",message="providers: expected at least one of slack, custom"
// +kubebuilder:validation:XValidation:rule="!has(self.providers) || self.providers.all(p, (p == 'slack' && has(self.slack)) || (p == 'custom' && has(self.custom)))",message="providers: expected the settings of each that is named, in slack or custom"
// +kubebuilder:validation:XValidation:rule="!has(self.providers) || self.providers.all(p, self.providers.exists_one(q, q == p))",message="providers: expected each once"
type ApprovalSpec struct {
	// Providers that are asked; default all that are set up here.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Providers []ApprovalProvider `json:"providers,omitempty"`

	// Slack is an incoming webhook.
	// +optional
	Slack *SlackApproval `json:"slack,omitempty"`

	// Custom is an HTTP endpoint.
	// +optional
	Custom *CustomApproval `json:"custom,omitempty"`

	// Timeout of an approval, 1s to 720h; default 1h.
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
	// +kubebuilder:validation:XValidation:rule="has(self.name) && self.name != ''",message="missing field: name of the Secret",fieldPath=".name",reason=FieldValueRequired
	WebhookSecretRef corev1.SecretKeySelector `json:"webhookSecretRef"`
}

// CustomApproval asks an HTTP endpoint.
type CustomApproval struct {
	// Endpoint is a URL.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+(/[^?#]*)?$')",message="expected a URL that begins with http:// or https://, without user info, query and fragment"
	Endpoint string `json:"endpoint"`

	// SecretRef is the key of a Secret that holds a bearer token.
	// +optional
	// +kubebuilder:validation:XValidation:rule="has(self.name) && self.name != ''",message="missing field: name of the Secret",fieldPath=".name",reason=FieldValueRequired
	SecretRef *corev1.SecretKeySelector `json:"secretRef,omitempty"`
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
	// +listType=set
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`
	Intents []string `json:"intents,omitempty"`

	// Subscriptions are what the agent receives.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Subscriptions []AgentSubscription `json:"subscriptions,omitempty"`

	// Forwards are explicit routes to other agents.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Forwards []AgentForward `json:"forwards,omitempty"`

	// AllowedSourceNamespaces are the other namespaces whose agents may route events to
	// this agent; "*" is all. Its own namespace is always allowed, and so are events of
	// a subscription whose source is the default source of an agent,
	// /<namespace>/<name>, from that agent.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$`
	AllowedSourceNamespaces []string `json:"allowedSourceNamespaces,omitempty"`

	// DLQ is the agent's dead letter queue.
	// +optional
	DLQ *DeadLetterSpec `json:"dlq,omitempty"`

	// RabbitMQ says how the broker reaches and uses RabbitMQ.
	// +optional
	RabbitMQ *RabbitMQSpec `json:"rabbitmq,omitempty"`

	CallSpec `json:",inline"`
}

// AgentSubscription is what an agent receives.
type AgentSubscription struct {
	// EventType is the CloudEvents type. With a trailing * it is a prefix of types. Brokers
	// of class RabbitMQBroker do not support prefixes: such a subscription delivers
	// nothing, and the status says so.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*(\.?\*)?$`
	EventType string `json:"eventType"`

	// Source is the CloudEvents source, exactly, or a prefix with a trailing *, which
	// brokers of class RabbitMQBroker do not support; * or none is any.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.contains('*') || self.indexOf('*') == size(self) - 1",message="expected one source, a prefix of sources with a trailing *, or * for any"
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
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`
	EventTypes []string `json:"eventTypes"`

	// TargetAgent gets the events.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	TargetAgent string `json:"targetAgent"`

	// TargetNamespace of the agent; default the same.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
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
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$`
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

	// ControlEventTypes are the types of such events. Each costs a Trigger. Default: those
	// of config-events, io.homelab.rbac.disable and io.homelab.rbac.enable.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$')",message="expected an event type such as io.example.order.created"
	ControlEventTypes []string `json:"controlEventTypes,omitempty"`

	// AllowedControlSources are the sources they may come from, with * for any run
	// of characters. Default: the agents and functions of the namespace but the agent
	// itself.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule="self.matches('[^*]')",message="expected a source, with * for any run of characters; not all of them"
	AllowedControlSources []string `json:"allowedControlSources,omitempty"`
}
