package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"knative.dev/pkg/apis"
)

// What an approval is where the spec says nothing.
const (
	defaultApprovalTimeout = time.Hour
	maxApprovalTimeout     = 720 * time.Hour
)

// What is done with a request without a decision before the timeout.
const (
	ApprovalTimeoutDeny    = "deny"
	ApprovalTimeoutApprove = "approve"
)

// The providers of approvals.
const (
	ApprovalBySlack  ApprovalProvider = "slack"
	ApprovalByCustom ApprovalProvider = "custom"
)

// configured are the providers that have settings.
func (a *ApprovalSpec) configured() (all []ApprovalProvider) {
	if a.Slack != nil {
		all = append(all, ApprovalBySlack)
	}
	if a.Custom != nil {
		all = append(all, ApprovalByCustom)
	}
	return all
}

func (a *ApprovalSpec) validate() (errs *apis.FieldError) {
	if a == nil {
		return nil
	}
	if len(a.Providers) == 0 && len(a.configured()) == 0 {
		errs = errs.Also(apis.ErrGeneric("expected at least one of slack, custom", "providers"))
	}
	for i, p := range a.Providers {
		switch {
		case p != ApprovalBySlack && p != ApprovalByCustom:
			errs = errs.Also(apis.ErrInvalidValue(string(p), apis.CurrentField, "expected slack or custom").ViaFieldIndex("providers", i))
		case slices.Contains(a.Providers[:i], p):
			errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("%q is there twice", p), apis.CurrentField).ViaFieldIndex("providers", i))
		case !slices.Contains(a.configured(), p):
			errs = errs.Also(apis.ErrMissingField(string(p)))
		}
	}
	if s := a.Slack; s != nil {
		errs = errs.Also(checkKeyOf(s.WebhookSecretRef.Name, s.WebhookSecretRef.Key).ViaField("webhookSecretRef").ViaField("slack"))
	}
	if c := a.Custom; c != nil {
		errs = errs.Also(checkURL(c.Endpoint, "custom.endpoint", "http", "https"))
		if c.SecretRef != nil {
			errs = errs.Also(checkKeyOf(c.SecretRef.Name, c.SecretRef.Key).ViaField("secretRef").ViaField("custom"))
		}
	}
	if a.Timeout != nil {
		errs = errs.Also(checkDuration(*a.Timeout, minTimeout, maxApprovalTimeout, "timeout"))
	}
	switch a.TimeoutAction {
	case "", ApprovalTimeoutDeny, ApprovalTimeoutApprove:
	default:
		errs = errs.Also(apis.ErrInvalidValue(a.TimeoutAction, "timeoutAction", "expected deny or approve"))
	}
	return errs
}

// needsBroker: what a field asks for needs the agent's broker.
func (s *LambdaAgentSpec) needsBroker(field, why string) *apis.FieldError {
	if s.Eventing != nil && s.Eventing.Enabled {
		return nil
	}
	return &apis.FieldError{Message: "expected eventing.enabled to be true", Paths: []string{field}, Details: why}
}

func (p *PermissionsSpec) validate() (errs *apis.FieldError) {
	if p == nil || p.EventControls == nil {
		return nil
	}
	c := p.EventControls
	for i, t := range c.ControlEventTypes {
		if !eventTypePattern.MatchString(t) {
			errs = errs.Also(apis.ErrInvalidValue(t, apis.CurrentField, expectedEventType).ViaFieldIndex("controlEventTypes", i))
		}
	}
	for i, s := range c.AllowedControlSources {
		if strings.Trim(s, "*") == "" {
			errs = errs.Also(apis.ErrInvalidValue(s, apis.CurrentField, "expected a source, with * for any run of characters; not all of them").ViaFieldIndex("allowedControlSources", i))
		}
	}
	return errs.ViaField("eventControls")
}
