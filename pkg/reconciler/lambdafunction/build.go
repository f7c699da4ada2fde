package lambdafunction

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
)

// reconcileBuild makes the image of the source be in the registry: found there,
// or built. What was found out is in status.build, so nothing is asked twice.
func (r *Reconciler) reconcileBuild(ctx context.Context, p *pass) pkgreconciler.Event {
	if p.Spec.Source.Image != nil {
		p.Status.Build = nil
		p.Status.MarkBuildNotRequested()
		return r.cancelBuilds(ctx, p, "")
	}
	if p.language == nil {
		p.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSource, "The source is not resolved.")
		return r.cancelBuilds(ctx, p, "")
	}
	b, err := desiredBuild(p)
	var notAllowed *v1alpha1.RepositoryNotAllowedError
	switch {
	case errors.As(err, &notAllowed):
		p.Status.MarkBuildFailed(v1alpha1.ReasonRepositoryNotAllowed, "spec.build: "+err.Error())
		return r.cancelBuilds(ctx, p, "")
	case err != nil:
		p.Status.MarkBuildFailed(v1alpha1.ReasonInvalidConfiguration, err.Error())
		return controller.NewPermanentError(err)
	}
	status := p.Status.Build
	rebuild := p.Annotations[lambda.RebuildAnnotationKey]
	if status == nil || status.Reference != b.Reference || status.Rebuild != rebuild || (status.Image == "" && status.Settings != settings(p)) {
		status = &v1alpha1.BuildStatus{Reference: b.Reference, Rebuild: rebuild, Settings: settings(p)}
		p.Status.Build = status
	}
	switch {
	case status.Image != "":
		p.image = status.Image
		p.Status.MarkBuildSucceeded()
		return r.cancelBuilds(ctx, p, "")
	case p.Annotations[lambda.CancelBuildAnnotationKey] == tag(b.Reference):
		return r.cancelBuild(ctx, p)
	case status.Failure != nil && !status.Failure.Retryable:
		p.Status.MarkBuildFailed(status.Failure.Reason, status.Failure.Message)
		return r.cancelBuilds(ctx, p, status.JobName)
	case status.Failure != nil:
		if wait := r.retryIn(status, p.cfg.Build); wait > 0 {
			markRetrying(p)
			return controller.NewRequeueAfter(wait)
		}
	}
	return r.strategyOf(b).reconcile(ctx, p, b)
}

// cancelBuild ends the build because somebody asked for it.
func (r *Reconciler) cancelBuild(ctx context.Context, p *pass) pkgreconciler.Event {
	status := p.Status.Build
	if status.Failure == nil || status.Failure.Reason != v1alpha1.ReasonBuildCancelled {
		status.Failure = &v1alpha1.BuildFailure{Reason: v1alpha1.ReasonBuildCancelled, Message: "The build was cancelled. A new value of the annotation " + lambda.RebuildAnnotationKey + " starts another."}
		if status.JobName != "" {
			status.CompletionTime = r.now()
			r.builds.ended(p, "cancelled", r.sinceStart(status))
		}
	}
	p.Status.MarkBuildFailed(status.Failure.Reason, status.Failure.Message)
	return r.cancelBuilds(ctx, p, "")
}

// registryImage is the image of a build, as the function's namespace sees it.
func registryImage(p *pass, b *resources.Build) registry.Image {
	return registry.Image{Namespace: p.Namespace, Reference: b.Reference, Insecure: p.cfg.Build.Insecure(b.Registry),
		PushSecret: resources.PushSecret(p.LambdaFunction, p.cfg.Build), PullSecret: p.Spec.Build.ImagePullSecret}
}

// findOrStart asks the registry for the image, signed by the operator, and builds it
// where it is not there, unless another function does just now.
func (r *kaniko) findOrStart(ctx context.Context, p *pass, b *resources.Build) pkgreconciler.Event {
	switch digest, err := r.registry.Find(key(p), registryImage(p, b)); {
	case errors.Is(err, registry.ErrPending):
		p.Status.MarkBuildPending(v1alpha1.ReasonCheckingRegistry, "Asking the registry whether it has "+b.Reference+".")
		return nil // the answer enqueues
	case err == nil:
		return r.built(ctx, p, b, digest)
	}
	// Not there, or not to be known: a build can tell.
	return r.startBuild(ctx, p, b)
}

// built records the image and removes what made it.
func (r *Reconciler) built(ctx context.Context, p *pass, b *resources.Build, digest string) pkgreconciler.Event {
	s := p.Status.Build
	s.Image = strings.TrimSuffix(b.Reference, ":"+tag(b.Reference)) + "@" + digest
	s.Failure = nil
	if s.JobName != "" && s.CompletionTime == nil {
		// The Job is gone and this status is from before it ended: the cache lags
		// behind what the last pass has recorded.
		s.CompletionTime = r.now()
	}
	p.image = s.Image
	p.Status.MarkBuildSucceeded()
	controller.GetEventRecorder(ctx).Eventf(p.LambdaFunction, corev1.EventTypeNormal, "BuildSucceeded", "Image %s", p.image)
	// Should recording fail now, the registry still knows the image.
	return r.cancelBuilds(ctx, p, "")
}

func tag(reference string) string {
	return reference[strings.LastIndexByte(reference, ':')+1:]
}

// markRetrying says that a build is tried again: after so many attempts it counts as
// failed until one succeeds.
func markRetrying(p *pass) {
	s := p.Status.Build
	if int(s.Attempts) < p.cfg.Build.MaxAttempts {
		p.Status.MarkBuildPending(v1alpha1.ReasonRetrying, fmt.Sprintf("Attempt %d of %d failed: %s", s.Attempts, p.cfg.Build.MaxAttempts, s.Failure.Message))
	} else {
		p.Status.MarkBuildFailed(s.Failure.Reason, s.Failure.Message)
	}
}

// mostRetryDelay is how long the infrastructure has been back at most before a build
// that failed by it is tried again.
const mostRetryDelay = 5 * time.Minute

// retryIn is how long the next attempt waits; the delay doubles each time.
func (r *Reconciler) retryIn(s *v1alpha1.BuildStatus, cfg *config.Build) time.Duration {
	if s.CompletionTime == nil {
		return 0
	}
	delay := cfg.RetryDelay
	for i := int32(1); i < s.Attempts && delay < mostRetryDelay; i++ {
		delay *= 2
	}
	delay = max(cfg.RetryDelay, min(delay, mostRetryDelay))
	return s.CompletionTime.Add(delay).Sub(r.clock.Now())
}

func key(p *pass) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// now is the injected clock's, with the seconds that the API keeps.
func (r *Reconciler) now() *metav1.Time {
	return seconds(r.clock.Now())
}

// finished tells whether a Job has ended, and with which condition.
func finished(job *batchv1.Job) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}
