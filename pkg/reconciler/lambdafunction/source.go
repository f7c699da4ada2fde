package lambdafunction

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// reconcileSource finds out what the source is, by its digest.
func (r *Reconciler) reconcileSource(ctx context.Context, p *pass) pkgreconciler.Event {
	if p.Spec.Source.Image != nil || p.Spec.Source.Inline != nil {
		r.sources.Forget(key(p)) // what it was before
	}
	if image := p.Spec.Source.Image; image != nil {
		p.image = image.Reference()
		p.Status.Source = &v1alpha1.SourceStatus{Type: v1alpha1.SourceImage, Digest: image.Digest}
		p.Status.Runtime = &v1alpha1.RuntimeStatus{Language: p.Spec.Runtime.Language, Timeout: p.Spec.Runtime.Timeout}
		p.Status.MarkSourceResolved()
		return nil
	}
	if p.cfg.Runtimes == nil {
		return errors.New("config-runtimes has not been read yet")
	}
	language, version, err := p.cfg.Runtimes.Language(p.Spec.Runtime.Language, string(p.Spec.Runtime.Version))
	if err != nil {
		p.notOffered(err)
		return nil
	}
	p.Status.Runtime = &v1alpha1.RuntimeStatus{Language: p.Spec.Runtime.Language, Version: version, VersionDefaulted: p.versionDefaulted,
		Handler: p.Spec.Runtime.Handler, Timeout: p.Spec.Runtime.Timeout}
	if inline := p.Spec.Source.Inline; inline != nil {
		p.files = resources.InlineFiles(inline, language)
		p.Status.Source = &v1alpha1.SourceStatus{Type: v1alpha1.SourceInline, Digest: source.Digest(p.files)}
		p.Status.MarkSourceResolved()
	} else if p.resolved = r.resolveSource(ctx, p); p.resolved == nil {
		return nil // the condition says why; an answer enqueues
	}
	p.language, p.version = language, version
	return nil
}

// notOffered marks a function whose language or version the cluster does not offer, or
// no longer offers. A revision that runs keeps running, and a change of the ConfigMap
// reconciles again.
func (p *pass) notOffered(err error) {
	var unknown *config.UnknownError
	if errors.As(err, &unknown) && unknown.Field == "version" && len(unknown.Known) > 0 {
		p.Status.MarkSourceFailed(v1alpha1.ReasonVersionNotOffered, fmt.Sprintf(
			"%s does not offer version %q of %s. Set spec.runtime.version to %s, or add the version to %s.",
			config.RuntimesConfigName, unknown.Value, p.Spec.Runtime.Language, oneOf(unknown.Known), config.RuntimesConfigName))
		return
	}
	p.Status.MarkSourceFailed(v1alpha1.ReasonUnknownLanguage, config.RuntimesConfigName+": "+err.Error())
}

// oneOf names the values that a field may have.
func oneOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return "one of " + strings.Join(values, ", ")
}

// resolveSource tells what a source that lives elsewhere is by now, or was when
// it was last known: a store that is away, or a branch that is gone, stops nothing
// that runs. Nil where it was never known.
func (r *Reconciler) resolveSource(ctx context.Context, p *pass) *source.Resolved {
	request, secret, err := resources.SourceRequest(&p.Spec.Source, p.cfg.Build)
	if err != nil {
		r.sources.Forget(key(p))
		p.Status.MarkSourceFailed(v1alpha1.ReasonInvalidConfiguration, err.Error())
		return nil
	}
	resolved, err := r.sources.Check(key(p), sourcewatch.Query{Request: request, Namespace: p.Namespace, Secret: secret, Interval: p.cfg.Build.SourcePollInterval})
	if resolved == nil {
		resolved = resources.RecordedSource(p.Status.Source, p.Spec.Source.Type, request)
	}
	switch reason, users := source.Reason(err); {
	case err == nil:
		p.Status.MarkSourceResolved()
	case errors.Is(err, sourcewatch.ErrPending):
		if resolved == nil {
			p.Status.MarkSourcePending(v1alpha1.ReasonResolvingSource, "Asking the source what it is by now.")
		} // else after a restart: what was said of it holds until it answers
	case users:
		p.Status.MarkSourceFailed(reason, err.Error())
	case resolved != nil:
		p.Status.MarkSourceStale(reason, "What is known of the source may be old: "+err.Error())
	default:
		p.Status.MarkSourcePending(reason, err.Error())
	}
	if resolved != nil {
		r.recordSource(ctx, p, resolved)
	}
	return resolved
}

// recordSource takes what the source has resolved to into the status, with an
// event where that is news.
func (r *Reconciler) recordSource(ctx context.Context, p *pass, resolved *source.Resolved) {
	status := resources.SourceStatus(p.Spec.Source.Type, resolved)
	if before := p.Status.Source; before == nil || before.Digest != status.Digest {
		what := fmt.Sprintf("Commit %s", status.Commit)
		if status.Commit == "" {
			what = fmt.Sprintf("Object %s of bucket %s with ETag %s", status.Key, status.Bucket, status.ETag)
		}
		controller.GetEventRecorder(ctx).Event(p.LambdaFunction, corev1.EventTypeNormal, "SourceResolved", what)
	}
	p.Status.Source = status
}
