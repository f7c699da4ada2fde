package v1alpha1

import (
	"fmt"

	"knative.dev/pkg/apis"
)

// ReasonOwnEvents says that a subscription would deliver the agent's own events to it,
// which it could answer with more of them for ever. No such subscription is made. It
// does not hold up the agent.
const ReasonOwnEvents = "OwnEvents"

// OwnIntent returns the intent by which an agent that emits with the source emits events
// with the attributes itself; empty where it does not.
func (e *AgentEventing) OwnIntent(exact map[string]string, source string) string {
	if from := exact["source"]; from != "" && from != source {
		return ""
	}
	for _, intent := range e.Intents {
		if MatchesIntent(intent, exact["type"]) {
			return intent
		}
	}
	return ""
}

func warnOwnEvents(eventType, intent string) *apis.FieldError {
	return apis.ErrGeneric(fmt.Sprintf("the agent emits %s itself (intent %q): the subscription delivers no events, because it would deliver the agent's own; set source to the one whose events are meant", eventType, intent), "source").At(apis.WarningLevel)
}
