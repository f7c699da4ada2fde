package v1alpha1

import (
	"knative.dev/pkg/apis"
)

// warn says which settings have no effect on functions and agents alike.
func (o *ObservabilitySpec) warn() *apis.FieldError {
	if o == nil || o.Metrics == nil || !o.Metrics.Exemplars {
		return nil
	}
	switch {
	case o.Metrics.Enabled != nil && !*o.Metrics.Enabled:
		return apis.ErrGeneric("has no effect: observability.metrics.enabled is false", "metrics.exemplars").At(apis.WarningLevel)
	case o.Tracing == nil || !o.Tracing.Enabled:
		return apis.ErrGeneric("has an effect only for requests that carry a sampled traceparent: set observability.tracing.enabled to sample others", "metrics.exemplars").At(apis.WarningLevel)
	}
	return nil
}

// warnObservability says which settings of a function's observability have no effect.
func (s *LambdaFunctionSpec) warnObservability() (warnings *apis.FieldError) {
	o := s.Observability
	if o == nil {
		return nil
	}
	noEffect := func(field, why string) {
		warnings = warnings.Also(apis.ErrGeneric("has no effect: "+why, field).At(apis.WarningLevel))
	}
	if s.Source.Image != nil {
		const why = "a source of type image does not get its log and metrics settings from this field; use env"
		if o.Logging != nil {
			noEffect("logging", why)
		}
		if o.Metrics != nil {
			noEffect("metrics", why)
		}
		return warnings
	}
	warnings = o.warn()
	if l := o.Logging; l != nil && l.Format == "text" && l.TraceContext != nil && *l.TraceContext {
		noEffect("logging.traceContext", "lines of logging.format text have no fields; use json")
	}
	return warnings
}
