package lambdafunction

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

// strategy is a way to make an image.
type strategy interface {
	// reconcile begins the build or takes over how far it is. It ends with built,
	// with buildFailed, or with a condition that says what the build waits for
	// and something that will enqueue the function. It never waits itself, and it
	// may be called for a build that an earlier process has begun.
	reconcile(ctx context.Context, p *pass, b *resources.Build) pkgreconciler.Event
}

// strategyOf a build.
func (r *Reconciler) strategyOf(b *resources.Build) strategy {
	if b.Recipe != nil {
		return &layered{r}
	}
	return &kaniko{r}
}

// layered makes the image in this process, as layers on the base image.
type layered struct{ *Reconciler }

// secretPatience is how long it takes until it is looked again for a Secret that
// is not there.
const secretPatience = 15 * time.Second

func (l *layered) reconcile(ctx context.Context, p *pass, b *resources.Build) pkgreconciler.Event {
	s := p.Status.Build
	result, err := l.layers.Build(key(p), layerRequest(p, b))
	switch {
	case errors.Is(err, layer.ErrPending):
		if s.StartTime == nil || s.Failure != nil {
			s.StartTime = l.now()
		}
		s.Strategy, s.Attempts, s.JobName, s.CompletionTime, s.Failure = v1alpha1.BuildLayer, b.Attempt, "", nil, nil
		p.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "The image is made and pushed to "+b.Reference+".")
		return l.cancelBuilds(ctx, p, "") // the result enqueues
	case err != nil:
		return err
	case result.Found:
		s.Strategy, s.Attempts, s.StartTime, s.CompletionTime = "", 0, nil, nil
		return l.built(ctx, p, b, result.Digest)
	case result.Reason == build.ReasonSecretNotFound:
		p.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSecret, result.Message)
		return controller.NewRequeueAfter(secretPatience)
	}
	// What the last pass has written may not be in the cache yet.
	s.Strategy, s.Attempts, s.JobName = v1alpha1.BuildLayer, b.Attempt, ""
	s.StartTime, s.CompletionTime = seconds(result.Started), seconds(result.Ended)
	if result.Succeeded() {
		return l.built(ctx, p, b, result.Digest)
	}
	return l.buildFailed(ctx, p, b, result.Outcome)
}

// seconds are what the API keeps of a time.
func seconds(t time.Time) *metav1.Time {
	rounded := metav1.NewTime(t).Rfc3339Copy()
	return &rounded
}

func layerRequest(p *pass, b *resources.Build) *layer.Request {
	return &layer.Request{
		Namespace: p.Namespace, Reference: b.Reference, Recipe: b.Recipe, Salt: b.Input.Salt,
		Files:   func(context.Context) ([]layer.File, error) { return layer.Inline(b.Files), nil },
		Handler: p.Spec.Runtime.Handler, File: b.Language.File,
		PushSecret: resources.PushSecret(p.LambdaFunction, p.cfg.Build), PullSecret: p.Spec.Build.ImagePullSecret,
		Insecure: p.cfg.Build.Insecure, Timeout: resources.Timeout(p.LambdaFunction, p.cfg.Build), Attempt: b.Attempt,
	}
}
