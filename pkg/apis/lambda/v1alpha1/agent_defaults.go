package v1alpha1

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"knative.dev/pkg/apis"
)

// SetDefaults implements apis.Defaultable. It stores no default, for the reason that
// LambdaFunction.SetDefaults gives.
func (a *LambdaAgent) SetDefaults(ctx context.Context) {
	if old, ok := apis.GetBaseline(ctx).(*LambdaAgent); ok && old != nil {
		recordUser(ctx, a, old, !equality.Semantic.DeepEqual(old.Spec, a.Spec))
	} else {
		recordUser(ctx, a, nil, true)
	}
}
