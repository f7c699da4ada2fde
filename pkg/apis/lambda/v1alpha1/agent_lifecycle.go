package v1alpha1

import (
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

const (
	// AgentConditionReady is True when the newest spec serves.
	AgentConditionReady = apis.ConditionReady
	// AgentConditionServiceReady is True when the Knative Service serves the
	// agent's image.
	AgentConditionServiceReady apis.ConditionType = "ServiceReady"
	// AgentConditionBrokerReady is True when the agent's broker takes events.
	AgentConditionBrokerReady apis.ConditionType = "BrokerReady"
	// AgentConditionRoutingReady is True when every route of the agent works.
	AgentConditionRoutingReady apis.ConditionType = "RoutingReady"
	// AgentConditionModelAvailable tells whether the model answers. It informs
	// and never blocks Ready.
	AgentConditionModelAvailable apis.ConditionType = "ModelAvailable"
	// AgentConditionPermissionsVerified says whether admission has verified that the
	// users who gave the agent its permissions hold them. It informs and never blocks
	// Ready.
	AgentConditionPermissionsVerified apis.ConditionType = "PermissionsVerified"
)

// ReasonNotVerified says that admission has not verified who gave an agent its
// permissions.
const ReasonNotVerified = "NotVerified"

// The reasons of agents that wait for what they refer to, and of models that have
// not been asked.
const (
	ReasonSecretNotFound       = "SecretNotFound"
	ReasonSecretKeyNotFound    = "SecretKeyNotFound"
	ReasonConfigMapNotFound    = "ConfigMapNotFound"
	ReasonConfigMapKeyNotFound = "ConfigMapKeyNotFound"
	ReasonModelNotAsked        = "NotAsked"
)

var agentConditions = apis.NewLivingConditionSet(
	AgentConditionServiceReady,
	AgentConditionBrokerReady,
	AgentConditionRoutingReady,
)

// GetConditionSet implements duckv1.KRShaped.
func (*LambdaAgent) GetConditionSet() apis.ConditionSet { return agentConditions }

// IsReady tells whether the newest spec serves.
func (a *LambdaAgent) IsReady() bool {
	return a.Status.ObservedGeneration == a.Generation && a.Status.GetCondition(AgentConditionReady).IsTrue()
}

// InitializeConditions makes every condition that is not there Unknown.
func (s *LambdaAgentStatus) InitializeConditions() {
	agentConditions.Manage(s).InitializeConditions()
}

// Summarize makes Ready say what the first condition says, in the order of the
// phases, that is not True.
func (s *LambdaAgentStatus) Summarize() {
	summarize(agentConditions.Manage(s), AgentConditionServiceReady, ConditionDomainsReady, AgentConditionBrokerReady, AgentConditionRoutingReady)
}

// MarkServiceWaiting says what the Knative Service waits for.
func (s *LambdaAgentStatus) MarkServiceWaiting(reason, message string) {
	agentConditions.Manage(s).MarkUnknown(AgentConditionServiceReady, reason, "%s", message)
}

// MarkServiceFailed says why there can be no Knative Service.
func (s *LambdaAgentStatus) MarkServiceFailed(reason, message string) {
	agentConditions.Manage(s).MarkFalse(AgentConditionServiceReady, reason, "%s", message)
}

// MarkModelAvailable says that the model answers.
func (s *LambdaAgentStatus) MarkModelAvailable() {
	agentConditions.Manage(s).MarkTrue(AgentConditionModelAvailable)
}

// MarkModelUnavailable says why the model does not answer.
func (s *LambdaAgentStatus) MarkModelUnavailable(reason, message string) {
	agentConditions.Manage(s).MarkFalse(AgentConditionModelAvailable, reason, "%s", message)
}

// MarkModelUnknown says why it is not known whether the model answers.
func (s *LambdaAgentStatus) MarkModelUnknown(reason, message string) {
	agentConditions.Manage(s).MarkUnknown(AgentConditionModelAvailable, reason, "%s", message)
}

// ClearModel says that nobody asks for a model.
func (s *LambdaAgentStatus) ClearModel() error {
	return agentConditions.Manage(s).ClearCondition(AgentConditionModelAvailable)
}

// MarkPermissionsVerified says that admission has verified who gave the permissions.
func (s *LambdaAgentStatus) MarkPermissionsVerified() {
	agentConditions.Manage(s).MarkTrue(AgentConditionPermissionsVerified)
}

// MarkPermissionsKept says that the agent keeps permissions that it has, although
// admission has not verified who gave them.
func (s *LambdaAgentStatus) MarkPermissionsKept(message string) {
	agentConditions.Manage(s).MarkTrueWithReason(AgentConditionPermissionsVerified, ReasonNotVerified, "%s", message)
}

// MarkPermissionsNotVerified says which permissions the agent does not get, as admission
// has not verified who gave them.
func (s *LambdaAgentStatus) MarkPermissionsNotVerified(message string) {
	agentConditions.Manage(s).MarkFalse(AgentConditionPermissionsVerified, ReasonNotVerified, "%s", message)
}

// ClearPermissions removes the condition of an agent without permissions.
func (s *LambdaAgentStatus) ClearPermissions() error {
	return agentConditions.Manage(s).ClearCondition(AgentConditionPermissionsVerified)
}

// PropagateService takes over what the Knative Service says of itself; its
// readiness only when it speaks of its newest generation.
func (s *LambdaAgentStatus) PropagateService(service *servingv1.Service) {
	s.URL = service.Status.URL
	s.Address = service.Status.Address
	s.LatestCreatedRevisionName = service.Status.LatestCreatedRevisionName
	s.LatestReadyRevisionName = service.Status.LatestReadyRevisionName
	propagateService(agentConditions.Manage(s), AgentConditionServiceReady, service)
}
