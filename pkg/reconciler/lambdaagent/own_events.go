package lambdaagent

import (
	"fmt"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// ownIntent is the intent by which the agent itself emits events with the attributes.
func (e *eventing) ownIntent(exact map[string]string) string {
	return e.Spec.Eventing.OwnIntent(exact, e.EventSource())
}

// attributes of the Trigger that delivers what is asked for: those of the widest
// subscription that includes it, without those that would deliver the agent's own events.
func (e *eventing) attributes(exact map[string]string) map[string]string {
	if wide := e.covering(exact); e.ownIntent(wide) == "" {
		return wide
	}
	return exact
}

// markOwnEvents says which subscription is not made, as it would deliver the agent's own
// events.
func (e *eventing) markOwnEvents() {
	for i := range e.Spec.Eventing.Subscriptions {
		s := &e.Spec.Eventing.Subscriptions[i]
		exact, _ := s.Split()
		if intent := e.ownIntent(exact); intent != "" {
			e.Status.MarkRoutingReadyBut(v1alpha1.ReasonOwnEvents, fmt.Sprintf(
				"eventing.subscriptions[%d] to %s delivers no events: the agent emits them itself (intent %q) and would get its own. Set its source.", i, s.EventType, intent))
			return
		}
	}
}
