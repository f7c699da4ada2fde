package layer

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// stepError is an error with the step of the build in which it came.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

func in(step string, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{step, err}
}

// outcome says whose fault an error is, with the same reasons as a build in a
// pod.
func outcome(err error) build.Outcome {
	o := build.Outcome{Step: build.StepBuild, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault,
		Message: build.AdviceRegistryUnreachable + " " + err.Error()}
	var at *stepError
	if errors.As(err, &at) {
		o.Step = at.step
	}
	var (
		secret   *secretError
		invalid  *source.InvalidError
		missing  *missingError
		answered *transport.Error
		guarded  *egress.ForbiddenError

		unconfirmed *unconfirmedError
	)
	switch {
	case errors.As(err, &unconfirmed):
		o.Reason, o.Message = build.ReasonImageNotConfirmed, unconfirmed.Error()
	case errors.As(err, &secret):
		o.Reason, o.Message = build.ReasonSecretNotFound, secret.Error()
	case errors.Is(err, errNeedsPod):
		o.Reason, o.Message = ReasonNeedsPod, err.Error()
	case errors.As(err, &invalid):
		o.Reason, o.Fault, o.Message = invalid.Reason, build.UserFault, invalid.Error()
	case errors.As(err, &missing):
		o.Reason, o.Fault, o.Message = build.ReasonBaseImageNotFound, build.ConfigurationFault, "The runtime cannot be taken out of its image: "+missing.Error()
	case errors.As(err, &guarded):
		o.Reason, o.Fault, o.Message = build.ReasonRegistryForbidden, build.ConfigurationFault, build.AdviceRegistryForbidden+" "+guarded.Error()
	case o.Step == build.StepSource:
		o.Reason, o.Message = source.ReasonUnreachable, err.Error()
	case errors.As(err, &answered):
		refused(&o, answered, err)
	case errors.Is(err, context.DeadlineExceeded):
		o.Message = "A registry did not answer within the build's timeout: " + err.Error()
	}
	return o
}

// refused is what a registry's answer means for the step.
func refused(o *build.Outcome, answered *transport.Error, err error) {
	push := o.Step == build.StepPush
	var advice string
	switch status := answered.StatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden, push && status == http.StatusNotFound:
		// Some registries say of a repository that is not there that they do not
		// know it, instead of making it.
		o.Reason, o.Fault, advice = build.ReasonPullDenied, build.ConfigurationFault, build.AdvicePullDenied
		if push {
			o.Reason, advice = build.ReasonPushDenied, build.AdvicePushDenied
		}
	case status == http.StatusNotFound:
		o.Reason, o.Fault, advice = build.ReasonBaseImageNotFound, build.ConfigurationFault, build.AdviceBaseImageNotFound
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		advice = build.AdviceRegistryUnreachable
	default:
		o.Reason, advice = build.ReasonBuildFailed, "The registry refused the image."
	}
	o.Message = advice + " " + err.Error()
}
