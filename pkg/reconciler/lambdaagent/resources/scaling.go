package resources

import (
	"math"
	"time"

	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// scaling of the agent: what the spec says, and what suits conversations where it
// says nothing. It is not written into the spec: a default there would stand in the
// way of another metric that the user names later.
func scaling(a *v1alpha1.LambdaAgent, d *config.Defaults) *v1alpha1.ScalingSpec {
	s := a.Spec.Scaling.DeepCopy()
	if s.Metric == "cpu" || s.Metric == "memory" { // Kubernetes' autoscaler knows nothing of the rest
		return s
	}
	if n := d.AgentScaling.TargetConcurrency; n > 0 && n <= math.MaxInt32 && s.Metric != "rps" && s.Target == nil && s.TargetConcurrency == nil {
		s.TargetConcurrency = ptr.Int32(int32(n))
		if c := s.Concurrency; c != nil {
			*s.TargetConcurrency = min(*s.TargetConcurrency, *c)
		}
	}
	unlessSaid(&s.Window, d.AgentScaling.Window)
	unlessSaid(&s.ScaleDownDelay, d.AgentScaling.ScaleDownDelay)
	if s.MinReplicas != nil && *s.MinReplicas == 0 {
		unlessSaid(&s.ScaleToZeroGracePeriod, d.AgentScaling.ScaleToZeroRetention)
	}
	return s
}

func unlessSaid(field **v1alpha1.Duration, d time.Duration) {
	if *field == nil && d > 0 {
		*field = v1alpha1.NewDuration(d)
	}
}
