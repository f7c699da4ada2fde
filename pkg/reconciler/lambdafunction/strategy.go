package lambdafunction

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
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
	result, err := l.layers.Build(key(p), l.request(p, b))
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
	case result.Reason == layer.ReasonNeedsPod:
		return l.inPod(ctx, p, b)
	case result.Reason == build.ReasonSecretNotFound && result.Fault == build.InfrastructureFault:
		p.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSecret, result.Message)
		return controller.NewRequeueAfter(secretPatience)
	}
	// What the last pass has written may not be in the cache yet.
	s.Strategy, s.Attempts, s.JobName = v1alpha1.BuildLayer, b.Attempt, ""
	s.StartTime, s.CompletionTime = seconds(result.Started), seconds(result.Ended)
	l.builds.ended(p, resultOf(result.Outcome), result.Ended.Sub(result.Started))
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

// inPod goes on with Kaniko: the source has shown what a pod has to do. The
// reference in the status remembers it.
func (l *layered) inPod(ctx context.Context, p *pass, b *resources.Build) pkgreconciler.Event {
	b.Recipe, b.Input.Layer = nil, false
	p.Status.Build = nil
	nameBuild(p, b)
	p.Status.Build = &v1alpha1.BuildStatus{Reference: b.Reference, Rebuild: b.Input.Salt, Settings: settings(p)}
	return l.strategyOf(b).reconcile(ctx, p, b)
}

func (l *layered) request(p *pass, b *resources.Build) *layer.Request {
	r := &layer.Request{
		Namespace: p.Namespace, Reference: b.Reference, Recipe: b.Recipe, Salt: b.Input.Salt,
		Files: layer.Inline(b.Files), Dependencies: b.Language.DependenciesFile,
		Handler: p.Spec.Runtime.Handler, File: b.Language.File,
		PushSecret: resources.PushSecret(p.LambdaFunction, p.cfg.Build), PullSecret: p.Spec.Build.ImagePullSecret,
		Insecure: p.cfg.Build.Insecure, Timeout: resources.Timeout(p.LambdaFunction, p.cfg.Build), Attempt: b.Attempt,
	}
	if b.Source != nil {
		r.Files, r.Fetch = nil, l.fetch(p.Namespace, p.Spec.Source.SecretRef(), b.Source)
	}
	return r
}

// fetch brings a resolved source into a folder, with the credentials of now.
func (l *layered) fetch(namespace string, ref *corev1.LocalObjectReference, from *source.Resolved) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error {
		var credentials source.Credentials
		if ref != nil {
			secret, err := secretReader(l.kube)(ctx, namespace, ref.Name)
			if apierrs.IsNotFound(err) {
				return &source.InvalidError{Reason: source.ReasonSecretNotFound, Message: fmt.Sprintf("Secret %s/%s does not exist; create it, or change secretRef in spec.source", namespace, ref.Name)}
			} else if err != nil {
				return err
			}
			credentials = secret.Data
		}
		return source.Fetch(ctx, from, credentials, dir, layer.MaxSource)
	}
}
