package v1alpha1

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// ProxyDisabled as AISpec.Proxy leaves calls of the model to the agent.
const ProxyDisabled = "disabled"

// Proxied reports whether the model proxy stands between the agent and its model.
func (a *AISpec) Proxied() bool {
	return a.hasModel() && a.Proxy != ProxyDisabled
}

func (a *AISpec) hasModel() bool { return a.Provider != "" && a.Provider != ProviderNone }

// DefaultModelTimeout of one model, where the agent names none.
const DefaultModelTimeout = 2 * time.Minute

// LongestCall is how long a call of the model may take: its timeout and those of its
// fallbacks, which are asked in turn. It is 0 without a model.
func (a *AISpec) LongestCall() time.Duration {
	if !a.hasModel() {
		return 0
	}
	timeout := DefaultModelTimeout
	if a.Timeout != nil {
		timeout = a.Timeout.Value()
	}
	return timeout * time.Duration(1+len(a.Fallbacks))
}

// KeyOf the i-th fallback: its own, or the agent's where it is at the same place.
func (a *AISpec) KeyOf(i int) *corev1.SecretKeySelector {
	f := &a.Fallbacks[i]
	if f.APIKeySecretRef == nil && f.Provider == a.Provider && f.Endpoint == a.Endpoint {
		return a.APIKeySecretRef
	}
	return f.APIKeySecretRef
}

// validateProxy tells what is wrong with what the model proxy does.
func (a *AISpec) validateProxy(replicas *int32) (errs *apis.FieldError) {
	switch a.Proxy {
	case "", "enabled", ProxyDisabled:
	default:
		errs = errs.Also(apis.ErrInvalidValue(a.Proxy, "ai.proxy", "expected enabled or disabled"))
	}
	if !a.Proxied() {
		for _, f := range []struct {
			set   bool
			field string
		}{{len(a.Fallbacks) > 0, "ai.fallbacks"}, {a.Budget != nil, "ai.budget"}, {a.Proxy == "enabled", "ai.proxy"}} {
			if f.set {
				errs = errs.Also(&apis.FieldError{Message: "goes with a model and its proxy", Paths: []string{f.field}})
			}
		}
	}
	for i := range a.Fallbacks {
		errs = errs.Also(a.validateFallback(i).ViaFieldIndex("fallbacks", i).ViaField("ai"))
	}
	if b := a.Budget; b != nil {
		errs = errs.Also(b.validate(replicas))
	}
	return errs
}

func (a *AISpec) validateFallback(i int) (errs *apis.FieldError) {
	f := &a.Fallbacks[i]
	if f.Provider == "" || f.Provider == ProviderNone {
		errs = errs.Also(apis.ErrMissingField("provider"))
	} else {
		errs = errs.Also(f.validate())
	}
	if r := f.APIKeySecretRef; r != nil {
		errs = errs.Also(checkKeyOf(r.Name, r.Key).ViaField("apiKeySecretRef"))
	}
	if hosted[f.Provider] && f.APIKeySecretRef == nil && (f.Provider != a.Provider || f.Endpoint != a.Endpoint) {
		errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{"apiKeySecretRef"},
			Details: fmt.Sprintf("apiKeySecretRef is required for provider %s", f.Provider)})
	}
	return errs
}

func (b *TokenBudget) validate(replicas *int32) (errs *apis.FieldError) {
	if b.Tokens < 1 {
		errs = errs.Also(apis.ErrInvalidValue(b.Tokens, "ai.budget.tokens", "must be at least 1"))
	}
	errs = errs.Also(checkDuration(b.Window, minTimeout, maxBudgetWindow, "ai.budget.window"))
	switch {
	case replicas == nil || *replicas == 0:
		errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{"scaling.maxReplicas"},
			Details: "the budget is shared out among so many replicas, so that no number of them exceeds it"})
	case b.Tokens >= 1 && b.Tokens < int64(*replicas):
		errs = errs.Also(apis.ErrInvalidValue(b.Tokens, "ai.budget.tokens", fmt.Sprintf("must be at least one for each of scaling.maxReplicas (%d)", *replicas)))
	}
	return errs
}
