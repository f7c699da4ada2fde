package v1alpha1

import (
	"knative.dev/pkg/apis"
)

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
	if l := o.Logging; l != nil && l.Format == "text" && l.TraceContext != nil && *l.TraceContext {
		noEffect("logging.traceContext", "lines of logging.format text have no fields; use json")
	}
	return warnings
}
