package lambdaagent

import (
	"fmt"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// ownIntent is the intent by which the agent itself emits events with the attributes.
func (e *eventing) ownIntent(exact map[string]string) string {
	return e.Spec.Eventing.OwnIntent(exact, e.EventSource())
}

// onlyOwn reports whether the selection has nothing but events that the agent emits.
func (e *eventing) onlyOwn(s selection) bool {
	return s.exact["source"] == e.EventSource() && e.ownIntent(s.exact) != ""
}

// mayBeOwn reports whether events that the agent emits may be selected, too.
func (e *eventing) mayBeOwn(s selection) bool {
	switch _, typed := s.exact["type"]; {
	case s.exact["source"] != "":
		return false // that of another, or onlyOwn
	case typed:
		return e.ownIntent(s.exact) != ""
	}
	return len(e.Spec.Eventing.Intents) > 0
}

// markOwnEvents says which subscription is not made, as it would deliver the agent's own
// events.
func (e *eventing) markOwnEvents() {
	for i := range e.Spec.Eventing.Subscriptions {
		s := &e.Spec.Eventing.Subscriptions[i]
		if _, reason := e.subscriptionTrigger(s); reason == v1alpha1.ReasonOwnEvents {
			exact, _ := s.Split()
			e.Status.MarkRoutingReadyBut(v1alpha1.ReasonOwnEvents, fmt.Sprintf(
				"eventing.subscriptions[%d] to %s delivers no events: the agent emits them itself (intent %q) and would get its own. Set its source.", i, s.EventType, e.ownIntent(exact)))
			return
		}
	}
}
