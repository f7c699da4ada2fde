package v1alpha1

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// SetDefaults implements apis.Defaultable. What depends on the cluster comes
// from the configuration on the context.
func (a *LambdaAgent) SetDefaults(ctx context.Context) {
	a.Spec.SetDefaults(apis.WithinSpec(ctx))
	if e := a.Spec.Eventing; e != nil && e.Enabled && e.EventSource == "" && a.Namespace != "" && a.Name != "" {
		e.EventSource = "/" + a.Namespace + "/" + a.Name
	}
	if old, ok := apis.GetBaseline(ctx).(*LambdaAgent); ok && old != nil {
		recordUser(ctx, a, old, !equality.Semantic.DeepEqual(old.Spec, a.Spec))
	} else {
		recordUser(ctx, a, nil, true)
	}
}

// SetDefaults fills in what the spec leaves out.
func (s *LambdaAgentSpec) SetDefaults(ctx context.Context) {
	cfg := config.FromContextOrDefaults(ctx)
	s.Image.setDefaults()
	if s.OperationMode == "" {
		s.OperationMode = ModeAgentic
	}
	s.Approval.setDefaults()
	if s.AI.Provider == "" {
		s.AI.Provider = ProviderNone
	}
	if s.Scaling.MinReplicas == nil {
		s.Scaling.MinReplicas = atLeast(cfg.Defaults.AgentMinReplicas, 0)
		if most := s.Scaling.MaxReplicas; most != nil && *most > 0 {
			*s.Scaling.MinReplicas = min(*s.Scaling.MinReplicas, *most)
		}
	}
	if s.Scaling.MaxReplicas == nil && cfg.Defaults.AgentMaxReplicas > 0 {
		s.Scaling.MaxReplicas = atLeast(cfg.Defaults.AgentMaxReplicas, *s.Scaling.MinReplicas)
	}
	if e := s.Eventing; e != nil {
		e.RabbitMQ.setDefaults()
	}
	defaultResources(&s.Resources, cfg.Defaults.AgentResources)
	s.SecurityContext = Restricted(s.SecurityContext)
	s.Memory.setDefaults()
}
