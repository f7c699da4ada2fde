package lambdafunction

import (
	"context"
	"errors"

	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// reconcileSource finds out what the source is, by its digest.
func (r *Reconciler) reconcileSource(_ context.Context, p *pass) pkgreconciler.Event {
	if image := p.Spec.Source.Image; image != nil {
		p.image = image.Reference()
		p.Status.Source = &v1alpha1.SourceStatus{Type: v1alpha1.SourceImage, Digest: image.Digest}
		p.Status.MarkSourceResolved()
		return nil
	}
	if p.cfg.Runtimes == nil {
		return errors.New("config-runtimes has not been read yet")
	}
	language, version, err := p.cfg.Runtimes.Language(p.Spec.Runtime.Language, p.Spec.Runtime.Version)
	if err != nil {
		// It was there at admission: an administrator took it out. What runs,
		// runs on.
		p.Status.MarkSourceFailed(v1alpha1.ReasonUnknownLanguage, "config-runtimes: "+err.Error())
		return nil //nolint:nilerr // told by the condition; a change of the ConfigMap reconciles again
	}
	p.language, p.version = language, version
	p.files = resources.InlineFiles(p.Spec.Source.Inline, language)
	p.Status.Source = &v1alpha1.SourceStatus{Type: v1alpha1.SourceInline, Digest: source.Digest(p.files)}
	p.Status.MarkSourceResolved()
	return nil
}
