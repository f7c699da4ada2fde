package lambdaagent

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// markRoutes says that all works that can, and what does not: subscriptions that the
// broker does not support, and routes to agents that do not allow them or are missing.
func (e *eventing) markRoutes() {
	var refused, waiting []v1alpha1.RouteStatus
	for _, r := range e.routes {
		switch r.Reason {
		case v1alpha1.ReasonSourceNotAllowed:
			refused = append(refused, r)
		case v1alpha1.ReasonTargetNotFound, v1alpha1.ReasonTargetNotReady, v1alpha1.ReasonTargetGone:
			waiting = append(waiting, r)
		}
	}
	var reason string
	var sentences []string
	if len(e.unsupported) > 0 {
		reason = v1alpha1.ReasonFilterNotSupported
		sentences = append(sentences, e.unsupportedMessage())
	}
	if len(refused) > 0 {
		reason = cmp.Or(reason, v1alpha1.ReasonSourceNotAllowed)
		sentences = append(sentences, e.refusedMessage(refused))
	}
	if len(waiting) > 0 {
		reason = cmp.Or(reason, v1alpha1.ReasonWaitingForTarget)
		sentences = append(sentences, waitingMessage(waiting))
	}
	if e.Unbound != "" {
		reason = cmp.Or(reason, v1alpha1.ReasonDeadLetterBoundsNotSet)
		sentences = append(sentences, e.Unbound)
	}
	if reason == "" {
		e.Status.MarkRoutingReady()
		return
	}
	e.Status.MarkRoutingReadyBut(reason, strings.Join(sentences, " "))
}

func (e *eventing) unsupportedMessage() string {
	i := e.unsupported[0]
	s := &e.Spec.Eventing.Subscriptions[i]
	text := fmt.Sprintf("eventing.subscriptions[%d] (eventType %s", i, s.EventType)
	if s.Source != "" {
		text += ", source " + s.Source
	}
	text += ") delivers no events: brokers of class " + config.RabbitMQBrokerClass + " filter by exact attributes only. Name exact types and sources."
	if more := len(e.unsupported) - 1; more > 0 {
		text += fmt.Sprintf(" The same holds for %d more.", more)
	}
	return text
}

// refusedMessage is the same for a missing agent and one that does not consent.
func (e *eventing) refusedMessage(refused []v1alpha1.RouteStatus) string {
	r := refused[0]
	text := fmt.Sprintf("The route of %s to agent %s/%s is not made: the agent does not exist, has no broker, or does not list namespace %q in its eventing.allowedSourceNamespaces, which its owner has to set.",
		r.EventType, r.Namespace, r.Agent, e.Namespace)
	if more := len(refused) - 1; more > 0 {
		text += fmt.Sprintf(" The same holds for %d more.", more)
	}
	return text
}

func waitingMessage(waiting []v1alpha1.RouteStatus) string {
	first := fmt.Sprintf("%s to agent %s/%s", waiting[0].EventType, waiting[0].Namespace, waiting[0].Agent)
	if len(waiting) == 1 {
		return "The route of " + first + " waits for that agent and its broker."
	}
	return fmt.Sprintf("%d routes wait for agents and their brokers, the first of them that of %s.", len(waiting), first)
}
