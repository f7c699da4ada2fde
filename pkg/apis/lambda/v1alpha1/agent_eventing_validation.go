package v1alpha1

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
)

func (s *LambdaAgentSpec) validateEventing(ctx context.Context) (errs *apis.FieldError) {
	e := s.Eventing
	if e == nil {
		return nil
	}
	agent := apis.ParentMeta(ctx)
	if e.Enabled && len(agent.Name) > MaxBrokerName {
		errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("an agent with a broker has a name of at most %d characters", MaxBrokerName), "enabled"))
	}
	if !e.Enabled && (len(e.Subscriptions) > 0 || len(e.Intents) > 0 || len(e.Forwards) > 0 || e.DLQ != nil || e.RabbitMQ != nil || len(e.AllowedSourceNamespaces) > 0 || e.isSet()) {
		errs = errs.Also(apis.ErrGeneric("is not true, so that nothing else of eventing does anything", "enabled").At(apis.WarningLevel))
	}
	if u, err := url.Parse(e.EventSource); err != nil || strings.ContainsAny(u.String(), " \t\n") {
		errs = errs.Also(apis.ErrInvalidValue(e.EventSource, "eventSource", "expected a URI reference such as /team/agent"))
	}
	for i, intent := range e.Intents {
		switch {
		case !eventTypePattern.MatchString(intent):
			errs = errs.Also(apis.ErrInvalidValue(intent, apis.CurrentField, expectedEventType).ViaFieldIndex("intents", i))
		case slices.Contains(e.Intents[:i], intent):
			errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("%q is there twice", intent), apis.CurrentField).ViaFieldIndex("intents", i))
		}
	}
	own := (&LambdaAgent{ObjectMeta: agent, Spec: *s}).EventSource()
	if err := e.checkFilterSize(); err != nil {
		return errs.Also(err) // what follows copies and compares
	}
	for i := range e.Subscriptions {
		errs = errs.Also(e.Subscriptions[i].validate(e.Intents, own).ViaFieldIndex("subscriptions", i))
		if schedules := ScheduleSource("agent", agent.Namespace, agent.Name); e.Subscriptions[i].Source == schedules {
			errs = errs.Also(apis.ErrGeneric("the source "+schedules+" is that of this agent's schedules, whose events it gets without a subscription: remove the subscription", "source").ViaFieldIndex("subscriptions", i))
		}
	}
	errs = errs.Also(s.validateForwards(agent.Namespace, agent.Name))
	errs = errs.Also(validateNamespaces(e.AllowedSourceNamespaces).ViaField("allowedSourceNamespaces"))
	errs = errs.Also(e.RabbitMQ.validate().ViaField("rabbitmq"))
	errs = errs.Also(e.validate(ctx, "LambdaAgent", agent.Name))
	errs = errs.Also(e.warnTimeout(s.AI.LongestCall(), "ai.timeout and ai.fallbacks"))
	return errs.Also(e.DLQ.validate().ViaField("dlq"))
}

func (s *AgentSubscription) validate(intents []string, own string) (errs *apis.FieldError) {
	if eventType := strings.TrimSuffix(strings.TrimSuffix(s.EventType, "*"), "."); !eventTypePattern.MatchString(eventType) || eventType+"." == s.EventType {
		errs = errs.Also(apis.ErrInvalidValue(s.EventType, "eventType", expectedEventType+", or a prefix of types such as io.example.*"))
	}
	if i := strings.Index(s.Source, "*"); i >= 0 && i < len(s.Source)-1 {
		errs = errs.Also(apis.ErrInvalidValue(s.Source, "source", "expected one source, a prefix of sources such as /team/*, or * for any"))
	}
	for j := range s.Filters {
		if err := validateFilter(&s.Filters[j].SubscriptionsAPIFilter); err != nil {
			errs = errs.Also(err.ViaFieldIndex("filters", j))
			continue
		}
		so := *s
		so.Filters = s.Filters[:j+1]
		if so.contradicts() && errs == nil {
			errs = errs.Also(apis.ErrGeneric("contradicts eventType, source or a filter before it: no event has both", apis.CurrentField).ViaFieldIndex("filters", j))
		}
	}
	exact, _ := s.Split()
	if exact["source"] != own {
		return errs
	}
	for _, intent := range intents {
		if MatchesIntent(intent, s.EventType) {
			return errs.Also(warnOwnEvents(s.EventType, intent))
		}
	}
	return errs
}

// contradicts reports whether exact attributes are left that no event has besides the others.
func (s *AgentSubscription) contradicts() bool {
	_, rest := s.Split()
	return slices.ContainsFunc(rest, func(f eventingv1.SubscriptionsAPIFilter) bool { return len(f.Exact) > 0 })
}

func (s *LambdaAgentSpec) validateForwards(namespace, name string) (errs *apis.FieldError) {
	type route struct{ eventType, namespace, agent string }
	seen := map[route]int{}
	for i := range s.Eventing.Forwards {
		f := &s.Eventing.Forwards[i]
		ferrs := f.validate()
		target := f.Namespace(namespace)
		switch {
		case target == namespace && f.TargetAgent == name && name != "":
			ferrs = ferrs.Also(apis.ErrGeneric("is this agent itself: it would get its own events", "targetAgent"))
		case !s.AllowsTargetNamespace(namespace, target):
			ferrs = ferrs.Also(apis.ErrGeneric(fmt.Sprintf("nothing is forwarded to namespace %s: list it in permissions.allowedTargetNamespaces", target), "targetNamespace").At(apis.WarningLevel))
		}
		for j, eventType := range f.EventTypes {
			r := route{eventType, target, f.TargetAgent}
			if first, ok := seen[r]; ok {
				ferrs = ferrs.Also(apis.ErrGeneric(fmt.Sprintf("forwards[%d] forwards %s to the same agent already", first, eventType), apis.CurrentField).ViaFieldIndex("eventTypes", j))
			} else {
				seen[r] = i
			}
		}
		errs = errs.Also(ferrs.ViaFieldIndex("forwards", i))
	}
	return errs
}

func (f *AgentForward) validate() (errs *apis.FieldError) {
	if len(f.EventTypes) == 0 {
		errs = errs.Also(apis.ErrMissingField("eventTypes"))
	}
	for j, eventType := range f.EventTypes {
		if !eventTypePattern.MatchString(eventType) {
			errs = errs.Also(apis.ErrInvalidValue(eventType, apis.CurrentField, expectedEventType).ViaFieldIndex("eventTypes", j))
		}
	}
	if f.TargetAgent == "" {
		errs = errs.Also(apis.ErrMissingField("targetAgent"))
	} else if problems := validation.IsDNS1035Label(f.TargetAgent); len(problems) > 0 {
		errs = errs.Also(apis.ErrInvalidValue(f.TargetAgent, "targetAgent", "expected the name of an agent: "+strings.Join(problems, "; ")))
	}
	if f.TargetNamespace != "" {
		errs = errs.Also(checkLabel(f.TargetNamespace, "targetNamespace"))
	}
	return errs
}

// validateTargets checks the namespaces that routes may lead to.
func (p *PermissionsSpec) validateTargets() *apis.FieldError {
	if p == nil {
		return nil
	}
	return validateNamespaces(p.AllowedTargetNamespaces).ViaField("allowedTargetNamespaces")
}

// validateNamespaces checks a list of allowed namespaces.
func validateNamespaces(allowed []string) (errs *apis.FieldError) {
	for i, n := range allowed {
		switch {
		case n != AnyNamespace && len(validation.IsDNS1123Label(n)) > 0:
			errs = errs.Also(apis.ErrInvalidValue(n, apis.CurrentField, `expected the name of a namespace, or "*" for all`).ViaIndex(i))
		case slices.Contains(allowed[:i], n):
			errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("duplicate value %q", n), apis.CurrentField).ViaIndex(i))
		}
	}
	return errs
}
