package v1alpha1

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

const (
	// DefaultConcurrency of functions whose workers take many calls at once.
	DefaultConcurrency = runtimeconfig.DefaultConcurrency
	// MaxConcurrency is the most calls that a pod can have in hand.
	MaxConcurrency = runtimeconfig.MaxConcurrency
	// MaxWorkers of a pod.
	MaxWorkers = runtimeconfig.MaxWorkers

	// exclusiveWorkers of a pod without a CPU limit.
	exclusiveWorkers = 2
	// targetUtilization is the part of its target that Knative Serving's autoscaler aims
	// at by default, in percent.
	targetUtilization = 70
	// limitedByDefault says that no field bounds concurrency.
	limitedByDefault = "default"
)

// limits of a pod, and the field that sets the number of calls.
type limits struct {
	isolation Isolation
	// calls at once; nil is no bound.
	calls *int32
	// workers; nil is for the pod to decide.
	workers *int32
	by      string
}

// limits of the spec. The language is nil for ready-made images, and where the cluster
// does not offer it.
func (s *LambdaFunctionSpec) limits(language *config.Language) limits {
	calls, by := s.Scaling.calls()
	if language == nil {
		return limits{calls: calls, by: by}
	}
	l := limits{isolation: cmp.Or(s.Runtime.Isolation, defaultIsolation(language)), workers: s.Runtime.Workers}
	switch {
	case l.isolation == IsolationExclusive:
		l.workers, l.by = s.exclusiveWorkers(language)
		l.calls = l.workers
	case calls == nil && s.Scaling.ContainerConcurrency == nil:
		l.calls, l.by = ptr.To[int32](DefaultConcurrency), limitedByDefault
	default:
		l.calls, l.by = calls, by
	}
	return l
}

// exclusiveWorkers is the number of workers with one call each, and the field it is from.
func (s *LambdaFunctionSpec) exclusiveWorkers(language *config.Language) (*int32, string) {
	calls, by := s.Scaling.calls()
	cpu := s.Resources.Limits[corev1.ResourceCPU]
	switch {
	case len(language.Worker) == 0: // one process, whose calls are goroutines or threads
		return ptr.To[int32](1), "spec.runtime.isolation"
	case s.Runtime.Workers != nil:
		return s.Runtime.Workers, "spec.runtime.workers"
	case calls != nil:
		return ptr.To(min(*calls, MaxWorkers)), by
	case !cpu.IsZero():
		return ptr.To(int32(min(max((cpu.MilliValue()+999)/1000, 1), MaxWorkers))), "spec.resources.limits.cpu" //nolint:gosec // bounded
	}
	return ptr.To[int32](exclusiveWorkers), limitedByDefault
}

// calls that the user allows at once, by either name of the field, and which it is. Nil
// where there is no bound.
func (s *ScalingSpec) calls() (*int32, string) {
	switch old := s.ContainerConcurrency; {
	case s.Concurrency != nil:
		return s.Concurrency, "spec.scaling.concurrency"
	case old != nil && *old > 0:
		return ptr.To(int32(min(*old, MaxConcurrency))), "spec.scaling.containerConcurrency" //nolint:gosec // bounded
	}
	return nil, ""
}

// ContainerLimit is the number of requests that Knative Serving lets into a pod at once;
// 0 is no bound.
func (s *ScalingSpec) ContainerLimit() *int64 {
	calls, _ := s.calls()
	return ptr.To(int64(ptr.Deref(calls, 0)))
}

func defaultIsolation(language *config.Language) Isolation {
	if language.OneCallAtATime() {
		return IsolationExclusive
	}
	return IsolationShared
}

// setEffectiveCalls sets what follows from the language and its workers.
func (s *LambdaFunctionSpec) setEffectiveCalls(language *config.Language) {
	l := s.limits(language)
	s.Runtime.Isolation, s.Scaling.Concurrency, s.Runtime.Workers = l.isolation, l.calls, l.workers
	if l.calls != nil {
		s.Scaling.ContainerConcurrency = nil
	}
	if language == nil {
		return
	}
	s.Runtime.Interface = cmp.Or(s.Runtime.Interface, InterfaceAuto)
	s.Runtime.HTTPEvent = cmp.Or(s.Runtime.HTTPEvent, defaultHTTPEvent(language))
}

func defaultHTTPEvent(language *config.Language) HTTPEvent {
	if language.Protocol == config.ProtocolAWS {
		return HTTPEventAWS
	}
	return HTTPEventDecoded
}

// languageOf the source; nil for ready-made images, and where the cluster does not offer
// it.
func (s *LambdaFunctionSpec) languageOf(cfg *config.Config) *config.Language {
	if s.Source.Image != nil || cfg.Runtimes == nil {
		return nil
	}
	return cfg.Runtimes.Languages[s.Runtime.Language]
}

// effectiveLimits are those of a spec that the user has written.
func (s *LambdaFunctionSpec) effectiveLimits(cfg *config.Config) limits {
	with := s.DeepCopy()
	setEffectiveResources(&with.Resources, cfg.Defaults.FunctionResources)
	return with.limits(s.languageOf(cfg))
}

// ConcurrencyStatus shows how many calls a pod takes at once. The spec is the user's: the
// effective one does not know which field was set.
func (s *LambdaFunctionSpec) ConcurrencyStatus(cfg *config.Config) *ConcurrencyStatus {
	l := s.effectiveLimits(cfg)
	return &ConcurrencyStatus{PerPod: l.calls, WorkersPerPod: l.workers, Isolation: l.isolation, LimitedBy: l.by,
		AutoscalerTarget: s.Scaling.autoscalerTarget(l.calls)}
}

// autoscalerTarget is what the autoscaler aims at; nil where it watches another metric.
func (s *ScalingSpec) autoscalerTarget(calls *int32) *Number {
	if s.Metric != "" && s.Metric != "concurrency" {
		return nil
	}
	most := ptr.Deref(calls, DefaultConcurrency) // as Knative Serving has it by default
	target := ptr.Deref(s.TargetConcurrency, ptr.Deref(s.Target, most))
	if calls != nil {
		target = min(target, most)
	}
	return NewNumber(float64(target) * targetUtilization / 100)
}
