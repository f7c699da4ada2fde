package v1alpha1

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"knative.dev/pkg/apis"
)

// SetDefaults implements apis.Defaultable. It stores no default: a default that is
// stored looks as if the user had written it, and contradicts the field that it was
// derived from as soon as the user changes that. EffectiveSpec computes defaults.
func (f *LambdaFunction) SetDefaults(ctx context.Context) {
	if old, ok := apis.GetBaseline(ctx).(*LambdaFunction); ok && old != nil {
		recordUser(ctx, f, old, !equality.Semantic.DeepEqual(old.Spec, f.Spec))
	} else {
		recordUser(ctx, f, nil, true)
	}
}
