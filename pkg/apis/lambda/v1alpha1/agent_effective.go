package v1alpha1

import (
	"cmp"
	"context"

	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// EffectiveSpec is a copy of the spec in which each field that the user left out has
// its default. It is the only place that knows the defaults of agents: every reader of
// a default uses it, one of the methods that it uses, or the status, which publishes
// it. The result is never stored.
func (a *LambdaAgent) EffectiveSpec(cfg *config.Config) LambdaAgentSpec {
	s := a.Spec.DeepCopy()
	s.Image.setEffective()
	s.OperationMode = cmp.Or(s.OperationMode, ModeAgentic)
	s.Approval = s.Approval.Effective()
	s.AI.Provider = cmp.Or(s.AI.Provider, ProviderNone)
	s.Scaling.setEffectiveAgent(cfg.Defaults)
	if e := s.Eventing; e != nil {
		if e.Enabled {
			e.EventSource = a.EventSource()
		}
		e.RabbitMQ.setEffective()
		e.setEffective(apis.WithinParent(context.Background(), a.ObjectMeta))
	}
	setEffectiveResources(&s.Resources, cfg.Defaults.AgentResources)
	s.SecurityContext = Restricted(s.SecurityContext)
	s.Visibility = s.effectiveVisibility(a.ObjectMeta, cfg.Defaults)
	s.Memory.setEffective()
	return *s
}

// setEffectiveAgent keeps agents warm within the bound that the user wrote.
func (s *ScalingSpec) setEffectiveAgent(d *config.Defaults) {
	if s.Concurrency, _ = s.calls(); s.Concurrency != nil {
		s.ContainerConcurrency = nil
	}
	if s.MinReplicas == nil {
		s.MinReplicas = atLeast(d.AgentMinReplicas, 0)
		if most := s.MaxReplicas; most != nil && *most > 0 {
			*s.MinReplicas = min(*s.MinReplicas, *most)
		}
	}
	if s.MaxReplicas == nil && d.AgentMaxReplicas > 0 {
		s.MaxReplicas = atLeast(d.AgentMaxReplicas, *s.MinReplicas)
	}
}

// Effective is a copy in which each field that the user left out has its default.
func (a *ApprovalSpec) Effective() *ApprovalSpec {
	if a == nil {
		return nil
	}
	a = a.DeepCopy()
	if len(a.Providers) == 0 {
		a.Providers = a.configured()
	}
	if a.Timeout == nil {
		a.Timeout = NewDuration(defaultApprovalTimeout)
	}
	a.TimeoutAction = cmp.Or(a.TimeoutAction, ApprovalTimeoutDeny)
	return a
}

func (m *MemorySpec) setEffective() {
	if m.KeepsShortTerm() {
		m.ShortTerm.Backend = cmp.Or(m.ShortTerm.Backend, MemoryRedis)
	}
	if m.KeepsLongTerm() {
		m.LongTerm.Backend = cmp.Or(m.LongTerm.Backend, MemoryPostgres)
	}
}

// Status shows the bounds that are in force.
func (s *ScalingSpec) Status() *ScalingStatus {
	return &ScalingStatus{MinReplicas: s.MinReplicas, MaxReplicas: s.MaxReplicas}
}

// PropagateSpec shows what of an effective spec the user may have left out.
func (s *LambdaAgentStatus) PropagateSpec(effective *LambdaAgentSpec) {
	s.Image, s.Scaling = effective.Image.Reference(), effective.Scaling.Status()
	s.EventSource, s.Approval, s.Visibility = "", nil, effective.Visibility
	if e := effective.ActiveEventing(); e != nil {
		s.EventSource = e.EventSource
	}
	if a := effective.Approval; a != nil && effective.OperationMode == ModeSupervised {
		s.Approval = &ApprovalStatus{Providers: a.Providers, Timeout: a.Timeout, TimeoutAction: a.TimeoutAction}
	}
}
