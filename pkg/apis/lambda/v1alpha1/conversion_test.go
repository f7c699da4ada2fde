package v1alpha1

import (
	"testing"

	"knative.dev/pkg/apis"
)

// later is a version that this one does not know.
type later struct{ apis.Convertible }

func TestNoVersionAbove(t *testing.T) {
	for kind, object := range map[string]apis.Convertible{"LambdaFunction": &LambdaFunction{}, "LambdaAgent": &LambdaAgent{}, "ApprovalRequest": &ApprovalRequest{}} {
		want := "v1alpha1 is the highest known version of " + kind + ", got: *v1alpha1.later"
		if err := object.ConvertTo(t.Context(), &later{}); err == nil || err.Error() != want {
			t.Errorf("ConvertTo() = %v, want %s", err, want)
		}
		if err := object.ConvertFrom(t.Context(), &later{}); err == nil || err.Error() != want {
			t.Errorf("ConvertFrom() = %v, want %s", err, want)
		}
	}
}
