package v1alpha1

import "knative.dev/pkg/apis"

// notYet refuses a feature that the API has and this version of the operator
// does not act on: better than to accept and ignore it. Whatever builds a
// feature deletes its lines here.
func notYet(field string) *apis.FieldError {
	return &apis.FieldError{
		Message: "not supported by this version of the operator yet",
		Paths:   []string{field},
	}
}

// unsupported lists what of an agent's spec is refused, and what is kept with a
// warning.
func (s *LambdaAgentSpec) unsupported() (errs *apis.FieldError) {
	for _, f := range []struct {
		set   bool
		field string
	}{
		{len(s.AI.Fallbacks) > 0, "ai.fallbacks"},
		{s.AI.Budget != nil, "ai.budget"},
		{s.AI.Proxy != "" && s.AI.Proxy != "disabled", "ai.proxy"},
		{s.OperationMode == ModeSupervised, "operationMode"},
		{s.Approval != nil, "approval"},
		{s.Memory != nil && s.Memory.Enabled, "memory.enabled"},
		{s.Permissions != nil, "permissions"},
		{s.Eventing != nil && len(s.Eventing.Intents) > 0, "eventing.intents"},
		{s.Eventing != nil && len(s.Eventing.Forwards) > 0, "eventing.forwards"},
		{s.Eventing != nil && s.Eventing.DLQ != nil, "eventing.dlq"},
		{s.Eventing != nil && s.Eventing.RabbitMQ != nil, "eventing.rabbitmq"},
	} {
		if f.set {
			errs = errs.Also(notYet(f.field))
		}
	}
	if s.Eventing != nil && s.Eventing.Enabled {
		errs = errs.Also(apis.ErrGeneric("kept, but this version of the operator makes no broker and no routes for agents yet", "eventing.enabled").At(apis.WarningLevel))
	}
	return errs
}
