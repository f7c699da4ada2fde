package v1alpha1

import "knative.dev/pkg/apis"

// ConditionDomainsReady of functions and agents with spec.domains is True when all
// domains answer.
const ConditionDomainsReady apis.ConditionType = "DomainsReady"

// Reasons of DomainsReady, besides those of Knative Serving's DomainMappings.
const (
	// ReasonDomainNotOwned says that the namespace has a DomainMapping for the domain that
	// is another object's.
	ReasonDomainNotOwned = "DomainNotOwned"
	// ReasonDomainRejected says that Knative Serving refused the DomainMapping.
	ReasonDomainRejected = "DomainRejected"
	// ReasonDomainAlreadyClaimed says that another namespace has the domain. It is Knative
	// Serving's word.
	ReasonDomainAlreadyClaimed = "DomainAlreadyClaimed"
	// ReasonDomainClaimFailed says that no ClusterDomainClaim allows the namespace to use
	// the domain. It is Knative Serving's word.
	ReasonDomainClaimFailed = "DomainClaimFailed"
	// ReasonDomainNotReconciled says that Knative Serving has not yet seen the newest
	// DomainMapping.
	ReasonDomainNotReconciled = "DomainNotReconciled"
	// ReasonClusterLocal says that domains would publish what is cluster-local.
	ReasonClusterLocal = "ClusterLocal"
	// ReasonFeatureDisabled says that Knative Serving's config-features does not allow a
	// field of the spec. The message names its flag.
	ReasonFeatureDisabled = "FeatureDisabled"
)

// MarkDomainsReady says that all domains answer.
func (s *LambdaFunctionStatus) MarkDomainsReady() {
	functionConditions.Manage(s).MarkTrue(ConditionDomainsReady)
}

// MarkDomainsPending says what a domain waits for.
func (s *LambdaFunctionStatus) MarkDomainsPending(reason, message string) {
	functionConditions.Manage(s).MarkUnknown(ConditionDomainsReady, reason, "%s", message)
}

// MarkDomainsFailed says why a domain does not answer.
func (s *LambdaFunctionStatus) MarkDomainsFailed(reason, message string) {
	functionConditions.Manage(s).MarkFalse(ConditionDomainsReady, reason, "%s", message)
}

// ClearDomains says that there are none.
func (s *LambdaFunctionStatus) ClearDomains() error {
	s.Domains = nil
	return functionConditions.Manage(s).ClearCondition(ConditionDomainsReady)
}

// SetDomains says what became of each.
func (s *LambdaFunctionStatus) SetDomains(domains []DomainStatus) { s.Domains = domains }

// MarkDomainsReady says that all domains answer.
func (s *LambdaAgentStatus) MarkDomainsReady() {
	agentConditions.Manage(s).MarkTrue(ConditionDomainsReady)
}

// MarkDomainsPending says what a domain waits for.
func (s *LambdaAgentStatus) MarkDomainsPending(reason, message string) {
	agentConditions.Manage(s).MarkUnknown(ConditionDomainsReady, reason, "%s", message)
}

// MarkDomainsFailed says why a domain does not answer.
func (s *LambdaAgentStatus) MarkDomainsFailed(reason, message string) {
	agentConditions.Manage(s).MarkFalse(ConditionDomainsReady, reason, "%s", message)
}

// ClearDomains says that there are none.
func (s *LambdaAgentStatus) ClearDomains() error {
	s.Domains = nil
	return agentConditions.Manage(s).ClearCondition(ConditionDomainsReady)
}

// SetDomains says what became of each.
func (s *LambdaAgentStatus) SetDomains(domains []DomainStatus) { s.Domains = domains }
