package v1alpha1

import (
	"fmt"
	"slices"

	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// validateConcurrency of functions and agents.
func (s *ScalingSpec) validateConcurrency() (errs *apis.FieldError) {
	if c := s.Concurrency; c != nil && (*c < 1 || *c > MaxConcurrency) {
		errs = errs.Also(apis.ErrOutOfBoundsValue(*c, 1, MaxConcurrency, "concurrency"))
	}
	old := s.ContainerConcurrency
	switch {
	case old == nil:
		return errs
	case s.Concurrency != nil:
		return errs.Also(apis.ErrMultipleOneOf("concurrency", "containerConcurrency"))
	case *old < 0 || *old > MaxConcurrency:
		return errs.Also(apis.ErrOutOfBoundsValue(*old, 0, MaxConcurrency, "containerConcurrency"))
	}
	return errs.Also(apis.ErrGeneric("is deprecated: use concurrency", "containerConcurrency").At(apis.WarningLevel))
}

// validateTarget: the autoscaler cannot have more calls per pod than the pod takes.
func (s *ScalingSpec) validateTarget(calls *int32) *apis.FieldError {
	if calls == nil {
		return nil
	}
	why := fmt.Sprintf("must be no more than a pod takes at once (%d): set scaling.concurrency to at least this number", *calls)
	switch {
	case s.TargetConcurrency != nil && *s.TargetConcurrency > *calls:
		return apis.ErrInvalidValue(*s.TargetConcurrency, "targetConcurrency", why)
	case s.Target != nil && *s.Target > *calls && (s.Metric == "" || s.Metric == "concurrency"):
		return apis.ErrInvalidValue(*s.Target, "target", why)
	}
	return nil
}

// validateCalls: how many calls a function takes at once, and how.
func (s *LambdaFunctionSpec) validateCalls(cfg *config.Config) (errs *apis.FieldError) {
	r := &s.Runtime
	if w := r.Workers; w != nil && (*w < 1 || *w > MaxWorkers) {
		errs = errs.Also(apis.ErrOutOfBoundsValue(*w, 1, MaxWorkers, "workers"))
	}
	if !slices.Contains([]Isolation{"", IsolationShared, IsolationExclusive}, r.Isolation) {
		errs = errs.Also(apis.ErrInvalidValue(r.Isolation, "isolation", "expected shared or exclusive"))
	}
	if r.Interface != "" && !slices.Contains(runtimeconfig.Interfaces(), string(r.Interface)) {
		errs = errs.Also(apis.ErrInvalidValue(r.Interface, "interface", "expected auto, handler, asgi, wsgi, listener or fetch"))
	}
	if !slices.Contains([]HTTPEvent{"", HTTPEventDecoded, HTTPEventAWS}, r.HTTPEvent) {
		errs = errs.Also(apis.ErrInvalidValue(r.HTTPEvent, "httpEvent", "expected decoded or aws-v2"))
	}
	if s.Source.Image != nil {
		errs = errs.Also(s.validateImageCalls())
	}
	errs = errs.ViaField("runtime").Also(s.validateIsolation(s.languageOf(cfg)))
	return errs.Also(s.Scaling.validateTarget(s.effectiveLimits(cfg).calls).ViaField("scaling"))
}

// validateImageCalls: what the runtime would do, a ready-made image does itself or not.
func (s *LambdaFunctionSpec) validateImageCalls() (errs *apis.FieldError) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"workers", s.Runtime.Workers != nil}, {"isolation", s.Runtime.Isolation != ""},
		{"interface", s.Runtime.Interface != ""}, {"httpEvent", s.Runtime.HTTPEvent != ""},
	} {
		if f.set {
			errs = errs.Also(imageAnswers(f.name))
		}
	}
	return errs
}

func imageAnswers(field string) *apis.FieldError {
	return &apis.FieldError{Message: "must not set the field(s)", Paths: []string{field}, Details: "a ready-made image answers requests itself"}
}

// validateIsolation: with exclusive isolation, calls and workers are one number.
func (s *LambdaFunctionSpec) validateIsolation(language *config.Language) *apis.FieldError {
	r := &s.Runtime
	switch {
	case language == nil:
		return nil
	case len(language.Worker) == 0 && r.Workers != nil && *r.Workers != 1:
		return apis.ErrInvalidValue(*r.Workers, "runtime.workers", r.Language+" runs all calls in one process: expected 1, or nothing")
	case r.Isolation == IsolationShared && language.OneCallAtATime():
		return apis.ErrInvalidValue(r.Isolation, "runtime.isolation", "workers of "+r.Language+" take one call at a time: expected exclusive, or nothing")
	}
	l, calls := s.limits(language), s.Scaling.Concurrency // the older name promises nothing of the workers
	switch {
	case l.isolation != IsolationExclusive || calls == nil || *calls == *l.calls:
		return nil
	case len(language.Worker) == 0:
		return apis.ErrInvalidValue(*calls, "scaling.concurrency", r.Language+" runs all calls in one process, and with isolation exclusive one at a time: expected 1, or isolation shared")
	case r.Workers != nil:
		return apis.ErrInvalidValue(*r.Workers, "runtime.workers", fmt.Sprintf("each worker takes one call at a time: expected the number of spec.scaling.concurrency (%d), or only one of the two", *calls))
	}
	return apis.ErrInvalidValue(*calls, "scaling.concurrency", fmt.Sprintf("each worker takes one call at a time, and a pod has at most %d: expected %d or less, or runtime.isolation shared where the language allows it", MaxWorkers, MaxWorkers))
}
