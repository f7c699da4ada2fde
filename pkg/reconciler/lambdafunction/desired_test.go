package lambdafunction

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// TestBuildArgs: a function's own arguments win, and the order is always the same.
func TestBuildArgs(t *testing.T) {
	got := buildArgs(map[string]string{"GOPROXY": "p", "B": "language", "A": "1"}, []v1alpha1.BuildArg{{Name: "Z", Value: "z"}, {Name: "B", Value: "own"}})
	want := []build.Arg{{Name: "A", Value: "1"}, {Name: "GOPROXY", Value: "p"}, {Name: "Z", Value: "z"}, {Name: "B", Value: "own"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if got := buildArgs(nil, nil); got != nil {
		t.Errorf("buildArgs() of nothing = %v", got)
	}
}
