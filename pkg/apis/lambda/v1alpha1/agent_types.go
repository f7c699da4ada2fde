package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/webhook/resourcesemantics"
)

// LambdaAgent runs a ready-made AI agent image as a warm Knative Service with
// its model configuration, a broker of its own, and routes to other agents by
// the intents it declares.
//
// +genclient
// +genreconciler
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=lambdaagents,shortName=la;lagent,categories=all;knative
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.ai.model`
// +kubebuilder:printcolumn:name="Broker",type=string,JSONPath=`.status.broker.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"app.kubernetes.io/name=knative-lambda","app.kubernetes.io/version=devel","duck.knative.dev/addressable=true","knative.dev/crd-install=true"}
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name: must be no more than 63 characters"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS-1035 label: lower-case letters, digits and '-', beginning with a letter"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.eventing) || !has(self.spec.eventing.enabled) || !self.spec.eventing.enabled || size(self.metadata.name) <= 48",message="spec.eventing.enabled: an agent with a broker has a name of at most 48 characters"
type LambdaAgent struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which agent runs, on which model, and whom it talks to.
	// +required
	Spec LambdaAgentSpec `json:"spec,omitempty"`

	// Status says what runs.
	// +optional
	Status LambdaAgentStatus `json:"status,omitempty"`
}

var (
	_ apis.Validatable             = (*LambdaAgent)(nil)
	_ apis.Defaultable             = (*LambdaAgent)(nil)
	_ apis.HasSpec                 = (*LambdaAgent)(nil)
	_ runtime.Object               = (*LambdaAgent)(nil)
	_ kmeta.OwnerRefable           = (*LambdaAgent)(nil)
	_ duckv1.KRShaped              = (*LambdaAgent)(nil)
	_ resourcesemantics.GenericCRD = (*LambdaAgent)(nil)
)

// LambdaAgentSpec says which agent runs, on which model, and whom it talks to.
//
// +kubebuilder:validation:XValidation:rule="!has(self.operationMode) || self.operationMode != 'supervised' || has(self.approval)",message="spec.approval: missing; operationMode supervised needs it"
// +kubebuilder:validation:XValidation:rule="!has(self.operationMode) || self.operationMode != 'supervised' || (has(self.eventing) && has(self.eventing.enabled) && self.eventing.enabled)",message="spec.eventing.enabled: an agent asks for approval through its broker: expected true"
// +kubebuilder:validation:XValidation:rule="!has(self.permissions) || !has(self.permissions.eventControls) || !has(self.permissions.eventControls.allowEventDisable) || !self.permissions.eventControls.allowEventDisable || (has(self.eventing) && has(self.eventing.enabled) && self.eventing.enabled)",message="spec.eventing.enabled: controls come through the agent's broker: expected true"
// +kubebuilder:validation:XValidation:rule="!has(self.ai) || !has(self.ai.budget) || !has(self.scaling) || !has(self.scaling.maxReplicas) || self.scaling.maxReplicas > 0 && self.ai.budget.tokens >= self.scaling.maxReplicas",message="ai.budget: is shared out among scaling.maxReplicas, which must be above 0 and no more than the tokens"
// +kubebuilder:validation:XValidation:rule="!has(self.domains) || size(self.domains) == 0 || !has(self.visibility) || self.visibility != 'cluster-local'",message="spec.domains: would publish the agent: remove them, or set visibility: external"
// +kubebuilder:validation:XValidation:rule="!has(self.schedules) || size(self.schedules) == 0 || (has(self.eventing) && has(self.eventing.enabled) && self.eventing.enabled)",message="spec.schedules: expected eventing.enabled to be true: the events of schedules come through a Broker"
type LambdaAgentSpec struct {
	// Image of the agent.
	Image ImageReference `json:"image"`

	// AI is the agent's model.
	// +optional
	AI AISpec `json:"ai,omitempty,omitzero"`

	// Behavior of the agent in conversations.
	// +optional
	Behavior *BehaviorSpec `json:"behavior,omitempty"`

	// OperationMode: an agentic agent acts by itself, a supervised one asks.
	// Default agentic.
	// +optional
	OperationMode OperationMode `json:"operationMode,omitempty"`

	// Approval is how a supervised agent asks.
	// +optional
	Approval *ApprovalSpec `json:"approval,omitempty"`

	// Memory of the agent.
	// +optional
	Memory *MemorySpec `json:"memory,omitempty"`

	// Eventing is what the agent emits and receives.
	// +optional
	Eventing *AgentEventing `json:"eventing,omitempty"`

	// Schedules send events to the agent at certain times.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Schedules []Schedule `json:"schedules,omitempty"`

	// Scaling bounds the number of replicas; an agent stays warm by default.
	// +optional
	Scaling ScalingSpec `json:"scaling,omitempty,omitzero"`

	// Permissions of the agent's ServiceAccount in its namespace.
	// +optional
	Permissions *PermissionsSpec `json:"permissions,omitempty"`

	// Env of the agent's container; it wins over what the platform sets.
	// +optional
	// +kubebuilder:validation:MaxItems=512
	// +kubebuilder:validation:items:XValidation:rule="self.name != 'PORT' && (!self.name.startsWith('K_') || self.name == 'K_SINK') && !self.name.startsWith('LAMBDA_')",message="the platform sets PORT, K_* and LAMBDA_* itself: choose another name",messageExpression="'the platform sets PORT, K_* and LAMBDA_* itself: choose another name than ' + self.name",fieldPath=".name"
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom takes environment from ConfigMaps and Secrets.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// Resources of the agent's container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty,omitzero"`

	// ServiceAccountName is what the agent runs as.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// SecurityContext of the container. What it leaves out is as Pod Security's
	// profile restricted asks: not root, no capabilities, no more privileges than
	// at the start, the runtime's seccomp profile. An image that has to run as root
	// says runAsNonRoot: false.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.privileged) || !self.privileged",message="privileged: expected false or nothing"
	// +kubebuilder:validation:XValidation:rule="!has(self.capabilities) || !has(self.capabilities.add) || size(self.capabilities.add) == 0",message="capabilities.add: must not be set"
	// +kubebuilder:validation:XValidation:rule="!has(self.appArmorProfile) && !has(self.procMount) && !has(self.seLinuxOptions) && !has(self.windowsOptions)",message="must not set appArmorProfile, procMount, seLinuxOptions or windowsOptions"
	// +kubebuilder:validation:XValidation:rule="!has(self.seccompProfile) || self.seccompProfile.type in ['RuntimeDefault', 'Localhost']",message="seccompProfile.type: expected RuntimeDefault or Localhost"
	// +kubebuilder:validation:XValidation:rule="!has(self.seccompProfile) || (self.seccompProfile.type == 'Localhost') == (has(self.seccompProfile.localhostProfile) && self.seccompProfile.localhostProfile != '')",message="seccompProfile.localhostProfile: goes with type Localhost, and that with it"
	// +kubebuilder:validation:XValidation:rule="!has(self.runAsNonRoot) || !self.runAsNonRoot || !has(self.runAsUser) || self.runAsUser != 0",message="runAsUser: 0 is root, and runAsNonRoot is true"
	// +kubebuilder:validation:XValidation:rule="(!has(self.runAsUser) || self.runAsUser >= 0 && self.runAsUser <= 2147483647) && (!has(self.runAsGroup) || self.runAsGroup >= 0 && self.runAsGroup <= 2147483647)",message="runAsUser and runAsGroup: expected 0 to 2147483647"
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`

	// PodSettings are those that functions have, too.
	PodSettings `json:",inline"`

	// Exposure is who can call the agent, and by which names.
	Exposure `json:",inline"`

	// Observability says what the agent reports about itself.
	// +optional
	Observability *ObservabilitySpec `json:"observability,omitempty"`
}

// OperationMode reports whether an agent acts by itself.
//
// +kubebuilder:validation:Enum=agentic;supervised
type OperationMode string

// The modes of an agent.
const (
	ModeAgentic    OperationMode = "agentic"
	ModeSupervised OperationMode = "supervised"
)

// Provider is who serves a model.
//
// +kubebuilder:validation:Enum=ollama;openai;anthropic;azure-openai;google;bedrock;openai-compatible;none
type Provider string

// The providers of models.
const (
	ProviderOllama           Provider = "ollama"
	ProviderOpenAI           Provider = "openai"
	ProviderAnthropic        Provider = "anthropic"
	ProviderAzureOpenAI      Provider = "azure-openai"
	ProviderGoogle           Provider = "google"
	ProviderBedrock          Provider = "bedrock"
	ProviderOpenAICompatible Provider = "openai-compatible"
	ProviderNone             Provider = "none"
)

// AISpec is an agent's model.
//
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || !(self.provider in ['openai', 'anthropic', 'azure-openai', 'google', 'bedrock']) || has(self.apiKeySecretRef)",message="apiKeySecretRef is required for hosted providers",fieldPath=".apiKeySecretRef",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="!(has(self.fallbacks) && size(self.fallbacks) > 0 || has(self.budget) || has(self.proxy) && self.proxy == 'enabled') || has(self.provider) && self.provider != 'none' && (!has(self.proxy) || self.proxy != 'disabled')",message="fallbacks, budget and proxy go with a model and its proxy"
// +kubebuilder:validation:XValidation:rule="!has(self.fallbacks) || self.fallbacks.all(f, has(f.provider) && f.provider != 'none')",message="fallbacks: name the provider of each"
// +kubebuilder:validation:XValidation:rule="!has(self.fallbacks) || self.fallbacks.all(f, !has(f.provider) || !(f.provider in ['openai', 'anthropic', 'azure-openai', 'google', 'bedrock']) || has(f.apiKeySecretRef) || has(self.provider) && f.provider == self.provider && has(f.endpoint) == has(self.endpoint) && (!has(f.endpoint) || f.endpoint == self.endpoint))",message="fallbacks: apiKeySecretRef is required for hosted providers"
// +kubebuilder:validation:XValidation:rule="!has(self.systemPrompt) || !has(self.systemPromptFrom)",message="expected at most one of systemPrompt, systemPromptFrom"
type AISpec struct {
	ModelSpec `json:",inline"`

	// Temperature of answers: 0 to 2, a number or the same as a string.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 0.0 && self <= 2.0",message="temperature: must be between 0 and 2"
	Temperature *Number `json:"temperature,omitempty"`

	// MaxTokens of one answer.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxTokens *int32 `json:"maxTokens,omitempty"`

	// TopP is the nucleus of sampling: 0 to 1, a number or the same as a
	// string.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 0.0 && self <= 1.0",message="topP: must be between 0 and 1"
	TopP *Number `json:"topP,omitempty"`

	// SystemPrompt of the agent; only one of it and systemPromptFrom.
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	SystemPrompt string `json:"systemPrompt,omitempty"`

	// SystemPromptFrom is a key of a ConfigMap that holds the prompt.
	// +optional
	SystemPromptFrom *corev1.ConfigMapKeySelector `json:"systemPromptFrom,omitempty"`

	// APIKeySecretRef is the key of a Secret that holds the provider's API key.
	// +optional
	APIKeySecretRef *corev1.SecretKeySelector `json:"apiKeySecretRef,omitempty"`

	// Fallbacks are asked in turn when the model does not answer.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Fallbacks []FallbackSpec `json:"fallbacks,omitempty"`

	// Timeout of one model, tries included; of a stream, for its first chunk and
	// between two. Default 2m.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`

	// Budget of tokens. Each of scaling.maxReplicas has the same part of it.
	// +optional
	Budget *TokenBudget `json:"budget,omitempty"`

	// Proxy: enabled, the default, puts the model proxy beside the agent; disabled
	// leaves calls, and the key, to the agent.
	// +optional
	// +kubebuilder:validation:Enum=enabled;disabled
	Proxy string `json:"proxy,omitempty"`
}

// FallbackSpec is a model that stands in for another.
type FallbackSpec struct {
	ModelSpec `json:",inline"`

	// APIKeySecretRef is the key of a Secret that holds the provider's API key.
	// Default: that of the agent's model, where provider and endpoint are the same.
	// +optional
	APIKeySecretRef *corev1.SecretKeySelector `json:"apiKeySecretRef,omitempty"`
}

// ModelSpec names a model.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !self.endpoint.contains('?') || (has(self.provider) && self.provider == 'azure-openai')",message="expected a URL without query: only azure-openai takes ?api-version=",fieldPath=".endpoint"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || !(self.provider in ['ollama', 'openai-compatible', 'azure-openai', 'bedrock']) || has(self.endpoint)",message="the provider has no endpoint of its own",fieldPath=".endpoint",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || self.provider == 'none' || has(self.model)",message="name the provider's model",fieldPath=".model",reason=FieldValueRequired
type ModelSpec struct {
	// Provider that serves the model.
	// +optional
	Provider Provider `json:"provider,omitempty"`

	// Endpoint is the provider's URL.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+(/[^?#]*)?([?]api-version=[A-Za-z0-9.-]+)?$')",message="expected a URL that begins with http:// or https://, without user info, query and fragment"
	Endpoint string `json:"endpoint,omitempty"`

	// Model is its name at the provider.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Model string `json:"model,omitempty"`
}

// TokenBudget bounds the tokens of a time window.
type TokenBudget struct {
	// Tokens of one window, input and output together.
	// +kubebuilder:validation:Minimum=1
	Tokens int64 `json:"tokens"`

	// Window of time.
	Window Duration `json:"window"`
}

// BehaviorSpec is an agent's behaviour in conversations.
type BehaviorSpec struct {
	// MaxContextMessages that the agent keeps in a conversation; 0 keeps none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxContextMessages *int32 `json:"maxContextMessages,omitempty"`

	// EmitEvents tells the agent to emit events of its own.
	// +optional
	EmitEvents *bool `json:"emitEvents,omitempty"`

	// SystemPrompt is the older place of ai.systemPrompt; only one of the two.
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	SystemPrompt string `json:"systemPrompt,omitempty"`

	// ConversationTTL is how long an idle conversation is kept.
	// +optional
	ConversationTTL *Duration `json:"conversationTTL,omitempty"`
}

// LambdaAgentList is a list of LambdaAgents.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type LambdaAgentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []LambdaAgent `json:"items"`
}

// GetGroupVersionKind implements kmeta.OwnerRefable.
func (*LambdaAgent) GetGroupVersionKind() schema.GroupVersionKind {
	return SchemeGroupVersion.WithKind("LambdaAgent")
}

// GetUntypedSpec implements apis.HasSpec.
func (a *LambdaAgent) GetUntypedSpec() interface{} { return a.Spec }

// GetStatus implements duckv1.KRShaped.
func (a *LambdaAgent) GetStatus() *duckv1.Status { return &a.Status.Status }
