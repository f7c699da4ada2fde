package v1alpha1

// Reasons of an agent's BrokerReady and RoutingReady, besides those of a function's
// EventingReady, and of its routes.
const (
	// ReasonBrokerNotOwned says that a broker of the agent's name is somebody else's.
	ReasonBrokerNotOwned = "BrokerNotOwned"
	// ReasonWaitingForTarget says that the agent at the other end of a route is not
	// there (yet), or has no broker. It does not hold up the agent.
	ReasonWaitingForTarget = "WaitingForTarget"
	// ReasonTargetNotFound says that there is no such agent, or that it has no broker.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonTargetNotReady says that the agent is there, and its broker takes no
	// events yet. They wait in the route's queue.
	ReasonTargetNotReady = "TargetNotReady"
	// ReasonTargetGone says that the agent has gone: what waited for it becomes dead
	// letters.
	ReasonTargetGone = "TargetGone"
	// ReasonTargetNotAllowed says that permissions.allowedTargetNamespaces does not
	// list the agent's namespace: of a forward, or of an agent that subscribes to
	// this one's events by their source.
	ReasonTargetNotAllowed = "TargetNotAllowed"
	// ReasonSourceNotAllowed says that the agent of another namespace does not exist, has
	// no broker, or does not list this agent's namespace in
	// eventing.allowedSourceNamespaces. It does not hold up the agent.
	ReasonSourceNotAllowed = "SourceNotAllowed"
	// ReasonSameEventSource says that both agents emit with one eventSource, so that
	// neither could tell its own events from the other's.
	ReasonSameEventSource = "SameEventSource"
	// ReasonRelayCircle says that relays would pass an event round for ever.
	ReasonRelayCircle = "RelayCircle"
)

// Kinds of routes.
const (
	RouteSubscription = "subscription"
	RouteIntent       = "intent"
	RouteForward      = "forward"
)

// MarkEventingNotRequested says that the spec asks for no broker and no routes.
func (s *LambdaAgentStatus) MarkEventingNotRequested() {
	const message = "The spec asks for no eventing."
	agentConditions.Manage(s).MarkTrueWithReason(AgentConditionBrokerReady, ReasonNotRequested, message)
	agentConditions.Manage(s).MarkTrueWithReason(AgentConditionRoutingReady, ReasonNotRequested, message)
}

// MarkBrokerReady says that the agent's broker takes events.
func (s *LambdaAgentStatus) MarkBrokerReady() {
	agentConditions.Manage(s).MarkTrue(AgentConditionBrokerReady)
}

// MarkBrokerPending says what the broker waits for.
func (s *LambdaAgentStatus) MarkBrokerPending(reason, message string) {
	agentConditions.Manage(s).MarkUnknown(AgentConditionBrokerReady, reason, "%s", message)
}

// MarkBrokerFailed says why there is no broker, or why it does not work.
func (s *LambdaAgentStatus) MarkBrokerFailed(reason, message string) {
	agentConditions.Manage(s).MarkFalse(AgentConditionBrokerReady, reason, "%s", message)
}

// MarkRoutingReady says that every subscription and route works.
func (s *LambdaAgentStatus) MarkRoutingReady() {
	agentConditions.Manage(s).MarkTrue(AgentConditionRoutingReady)
}

// MarkRoutingReadyBut says that all works that can, and what is not there yet: an
// agent is not held up by others that come and go.
func (s *LambdaAgentStatus) MarkRoutingReadyBut(reason, message string) {
	agentConditions.Manage(s).MarkTrueWithReason(AgentConditionRoutingReady, reason, "%s", message)
}

// MarkRoutingPending says which subscription or route is on its way.
func (s *LambdaAgentStatus) MarkRoutingPending(reason, message string) {
	agentConditions.Manage(s).MarkUnknown(AgentConditionRoutingReady, reason, "%s", message)
}

// MarkRoutingFailed says which subscription or route does not work, and why.
func (s *LambdaAgentStatus) MarkRoutingFailed(reason, message string) {
	agentConditions.Manage(s).MarkFalse(AgentConditionRoutingReady, reason, "%s", message)
}
