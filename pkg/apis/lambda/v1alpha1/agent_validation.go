package v1alpha1

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// eventTypePattern is what this project takes for a CloudEvents type or a
// dotted suffix of one.
var eventTypePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$`)

const expectedEventType = "expected an event type such as io.example.order.created"

// Validate implements apis.Validatable: what is wrong, by field, with what
// would be right.
func (a *LambdaAgent) Validate(ctx context.Context) *apis.FieldError {
	if apis.IsInStatusUpdate(ctx) || apis.IsInDelete(ctx) {
		return nil
	}
	errs := validateName(a.Name)
	if _, err := a.Withdrawals(); err != nil {
		errs = errs.Also(apis.ErrInvalidValue(a.Annotations[lambda.WithdrawnAnnotationKey], "metadata.annotations["+lambda.WithdrawnAnnotationKey+"]", err.Error()))
	}
	if old, ok := apis.GetBaseline(ctx).(*LambdaAgent); ok && apis.IsInUpdate(ctx) && equality.Semantic.DeepEqual(old.Spec, a.Spec) {
		return errs // labels, annotations or finalizers of a spec that was admitted once
	}
	return errs.Also(a.Spec.Validate(apis.WithinSpec(apis.WithinParent(ctx, a.ObjectMeta))).ViaField("spec"))
}

// Validate tells what is wrong with the spec.
func (s *LambdaAgentSpec) Validate(ctx context.Context) *apis.FieldError {
	cfg := config.FromContextOrDefaults(ctx)
	errs := s.Image.validate().ViaField("image")
	errs = errs.Also(s.AI.validate(cfg).ViaField("ai"))
	scaling := s.Scaling.DeepCopy()
	scaling.setEffectiveAgent(cfg.Defaults)
	errs = errs.Also(s.AI.validateProxy(scaling.MaxReplicas))
	if b := s.Behavior; b != nil {
		switch {
		case b.SystemPrompt == "":
		case s.AI.SystemPrompt != "":
			errs = errs.Also(apis.ErrMultipleOneOf("ai.systemPrompt", "behavior.systemPrompt"))
		case s.AI.SystemPromptFrom != nil:
			errs = errs.Also(apis.ErrMultipleOneOf("ai.systemPromptFrom", "behavior.systemPrompt"))
		}
		if b.MaxContextMessages != nil && *b.MaxContextMessages < 0 {
			errs = errs.Also(apis.ErrInvalidValue(*b.MaxContextMessages, "behavior.maxContextMessages", "must be at least 0"))
		}
		if b.ConversationTTL != nil {
			errs = errs.Also(checkDuration(*b.ConversationTTL, minTimeout, maxConversation, "behavior.conversationTTL"))
		}
	}
	switch s.OperationMode {
	case "", ModeAgentic:
	case ModeSupervised:
		if s.Approval == nil {
			errs = errs.Also(apis.ErrMissingField("approval"))
		}
		errs = errs.Also(s.needsBroker("operationMode", "an agent asks for approval through its broker"))
	default:
		errs = errs.Also(apis.ErrInvalidValue(s.OperationMode, "operationMode", "expected agentic or supervised"))
	}
	errs = errs.Also(s.Approval.validate().ViaField("approval"))
	errs = errs.Also(s.Permissions.validate().ViaField("permissions"))
	if s.ActiveControls() != nil {
		errs = errs.Also(s.needsBroker("permissions.eventControls.allowEventDisable", "controls come through the agent's broker"))
	}
	errs = errs.Also(s.validateEventing(ctx).ViaField("eventing"))
	errs = errs.Also(validateSchedules(s.Schedules, s.ActiveEventing() != nil))
	errs = errs.Also(s.Permissions.validateTargets().ViaField("permissions"))
	errs = errs.Also(s.Memory.validate().ViaField("memory"))
	calls, _ := s.Scaling.calls()
	errs = errs.Also(s.Scaling.validate().Also(s.Scaling.validateTarget(calls)).ViaField("scaling"))
	errs = errs.Also(validateEnv(s.Env, s.EnvFrom, func(name string) bool {
		return name == "PORT" || (strings.HasPrefix(name, "K_") && name != "K_SINK") || strings.HasPrefix(name, "LAMBDA_")
	}))
	if s.ServiceAccountName != "" {
		errs = errs.Also(checkObjectName(s.ServiceAccountName, "serviceAccountName"))
	}
	errs = errs.Also(validateSecurity(s.SecurityContext).ViaField("securityContext"))
	errs = errs.Also(validateResources(&s.Resources).ViaField("resources"))
	errs = errs.Also(s.validateSettings(s.ServiceAccountName, AgentConfigVolume, ModelProxyVolume, AgentConfigDir))
	errs = errs.Also(s.validateExposure(ctx))
	errs = errs.Also(s.Observability.validate().Also(s.Observability.warn()).ViaField("observability"))
	return errs
}

// hosted providers require a key.
var hosted = map[Provider]bool{
	ProviderOpenAI: true, ProviderAnthropic: true, ProviderAzureOpenAI: true, ProviderGoogle: true, ProviderBedrock: true,
}

// needsEndpoint are providers that have no endpoint of their own.
var needsEndpoint = map[Provider]bool{
	ProviderOllama: true, ProviderOpenAICompatible: true, ProviderAzureOpenAI: true, ProviderBedrock: true,
}

func (a *AISpec) validate(*config.Config) (errs *apis.FieldError) {
	errs = errs.Also(a.ModelSpec.validate())
	if hosted[a.Provider] && a.APIKeySecretRef == nil {
		errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{"apiKeySecretRef"},
			Details: fmt.Sprintf("apiKeySecretRef is required for provider %s", a.Provider)})
	}
	if r := a.APIKeySecretRef; r != nil {
		errs = errs.Also(checkKeyOf(r.Name, r.Key).ViaField("apiKeySecretRef"))
	}
	if r := a.SystemPromptFrom; r != nil {
		errs = errs.Also(checkKeyOf(r.Name, r.Key).ViaField("systemPromptFrom"))
	}
	if a.Temperature != nil {
		errs = errs.Also(checkNumber(*a.Temperature, 2, "temperature"))
	}
	if a.TopP != nil {
		errs = errs.Also(checkNumber(*a.TopP, 1, "topP"))
	}
	if a.MaxTokens != nil && *a.MaxTokens < 1 {
		errs = errs.Also(apis.ErrInvalidValue(*a.MaxTokens, "maxTokens", "must be at least 1"))
	}
	if a.SystemPrompt != "" && a.SystemPromptFrom != nil {
		errs = errs.Also(apis.ErrMultipleOneOf("systemPrompt", "systemPromptFrom"))
	}
	if a.Timeout != nil {
		errs = errs.Also(checkDuration(*a.Timeout, minTimeout, maxWindow, "timeout"))
	}
	return errs
}

// checkKeyOf: a key of a Secret or ConfigMap is told by both names.
func checkKeyOf(name, key string) (errs *apis.FieldError) {
	if name == "" {
		errs = errs.Also(apis.ErrMissingField("name"))
	}
	if key == "" {
		errs = errs.Also(apis.ErrMissingField("key"))
	}
	return errs
}

// azureVersion is the only query that an endpoint may have.
var azureVersion = regexp.MustCompile(`\?api-version=[A-Za-z0-9.-]+$`)

func (m *ModelSpec) validate() (errs *apis.FieldError) {
	if m.Endpoint != "" {
		endpoint := m.Endpoint
		if m.Provider == ProviderAzureOpenAI { // its API is versioned by a query
			endpoint = azureVersion.ReplaceAllString(endpoint, "")
		}
		errs = errs.Also(checkURL(endpoint, "endpoint", "http", "https"))
	}
	switch m.Provider {
	case "", ProviderNone:
		if m.Model != "" || m.Endpoint != "" {
			errs = errs.Also(apis.ErrGeneric("model and endpoint go with a provider other than none", "provider"))
		}
		return errs
	case ProviderOllama, ProviderOpenAI, ProviderAnthropic, ProviderAzureOpenAI, ProviderGoogle, ProviderBedrock, ProviderOpenAICompatible:
	default:
		return errs.Also(apis.ErrInvalidValue(m.Provider, "provider", "expected ollama, openai, anthropic, azure-openai, google, bedrock, openai-compatible or none"))
	}
	if m.Model == "" {
		errs = errs.Also(apis.ErrMissingField("model"))
	}
	if needsEndpoint[m.Provider] && m.Endpoint == "" {
		errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{"endpoint"},
			Details: fmt.Sprintf("provider %s has no endpoint of its own", m.Provider)})
	}
	return errs
}
