package lambdaagent

import (
	"context"
	"slices"
	"strings"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
)

// selection is what a subscription selects: events with these attributes that pass the
// other filters as well.
type selection struct {
	exact map[string]string
	rest  []eventingv1.SubscriptionsAPIFilter
}

func selectionOf(s *v1alpha1.AgentSubscription) selection {
	exact, rest := s.Split()
	return selection{exact, rest}
}

// covers reports whether all events of the other are its own, too.
func (s selection) covers(other selection) bool {
	for name, value := range s.exact {
		if other.exact[name] != value {
			return false
		}
	}
	for i := range s.rest {
		if len(s.rest[i].Prefix) == 0 {
			return false // such filters are not compared
		}
		for name, prefix := range s.rest[i].Prefix {
			if !other.begins(name, prefix) {
				return false
			}
		}
	}
	return true
}

// begins reports whether an attribute of each event begins so.
func (s selection) begins(name, prefix string) bool {
	if value, ok := s.exact[name]; ok && strings.HasPrefix(value, prefix) {
		return true
	}
	return slices.ContainsFunc(s.rest, func(f eventingv1.SubscriptionsAPIFilter) bool {
		longer, ok := f.Prefix[name]
		return ok && strings.HasPrefix(longer, prefix)
	})
}

// widest selection of the agent that has all events of this one: with two Triggers they
// would be delivered twice. usable excludes selections without a Trigger.
func (e *eventing) widest(s selection, usable func(selection) bool) selection {
	for i := range e.Spec.Eventing.Subscriptions {
		other := selectionOf(&e.Spec.Eventing.Subscriptions[i])
		if usable(other) && other.covers(s) && !s.covers(other) {
			s = other
		}
	}
	return s
}

// subscriptionTrigger is the Trigger that delivers what is asked for, or the reason why
// there is none.
func (e *eventing) subscriptionTrigger(s *v1alpha1.AgentSubscription) (t *eventingv1.Trigger, reason string) {
	selected := selectionOf(s)
	if e.maker.Class == config.RabbitMQBrokerClass {
		return e.exactTrigger(selected)
	}
	if e.onlyOwn(selected) {
		return nil, v1alpha1.ReasonOwnEvents
	}
	selected = e.widest(selected, func(other selection) bool { return !e.onlyOwn(other) })
	filters := selected.rest
	if e.mayBeOwn(selected) {
		filters = append(slices.Clone(filters), sharedresources.NotFrom(e.EventSource()))
	}
	if e.mayBeScheduled(selected) {
		filters = append(slices.Clone(filters), sharedresources.NotFrom(resources.ScheduleSource(e.LambdaAgent)))
	}
	if e.maker.MayBeCalls(selected.exact, selected.rest) {
		filters = append(slices.Clone(filters), e.maker.NotCalls())
	}
	return e.maker.Subscription(selected.exact, filters), ""
}

// exactTrigger is for Brokers that evaluate exact attributes only. A Trigger on the exact
// part of a subscription would deliver more than is asked for.
func (e *eventing) exactTrigger(selected selection) (t *eventingv1.Trigger, reason string) {
	if e.ownIntent(selected.exact) != "" {
		return nil, v1alpha1.ReasonOwnEvents
	}
	usable := func(other selection) bool { return len(other.rest) == 0 && e.ownIntent(other.exact) == "" }
	if selected = e.widest(selected, usable); len(selected.rest) > 0 {
		return nil, v1alpha1.ReasonFilterNotSupported
	}
	return e.maker.Subscription(selected.exact, nil), ""
}

// subscribe makes the Triggers that deliver what the agent subscribes to, and records each
// subscription. Their filters are edited in place where the Broker allows that, so that
// they keep their queues. It returns the names of the Triggers; others have names of their
// own.
func (e *eventing) subscribe(ctx context.Context, existing, others []*eventingv1.Trigger) (current map[string]bool, err error) {
	var desired []*eventingv1.Trigger
	var told []v1alpha1.RouteStatus
	seen := map[string]bool{}
	for i := range e.Spec.Eventing.Subscriptions {
		s := &e.Spec.Eventing.Subscriptions[i]
		t, reason := e.subscriptionTrigger(s)
		status := v1alpha1.RouteStatus{Kind: v1alpha1.RouteSubscription, EventType: s.EventType, Reason: reason}
		switch {
		case t == nil:
			if reason == v1alpha1.ReasonFilterNotSupported {
				e.unsupported = append(e.unsupported, i)
			}
			e.tell(status)
			continue
		case seen[t.Name]:
			continue
		}
		seen[t.Name] = true
		desired, told = append(desired, t), append(told, status)
	}
	if e.maker.Class != config.RabbitMQBrokerClass {
		sharedresources.Adopt(desired, e.subscriptionsOf(existing, others))
	}
	current = map[string]bool{}
	for i, t := range desired {
		made, why, err := e.ensure(ctx, t)
		if err != nil {
			return nil, err
		}
		told[i].Ready, told[i].Reason = why == "", why
		e.tell(told[i])
		if made {
			current[t.Name] = true
		}
	}
	return current, nil
}

// subscriptionsOf the existing Triggers are those that deliver to the agent and are not
// among the others.
func (e *eventing) subscriptionsOf(existing, others []*eventingv1.Trigger) []*eventingv1.Trigger {
	taken := map[string]bool{}
	for _, t := range others {
		taken[t.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(existing), func(t *eventingv1.Trigger) bool {
		return taken[t.Name] || !resources.DeliversTo(e.LambdaAgent, t)
	})
}
