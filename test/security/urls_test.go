package security

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// Who dials what a user names, and so which test shows that it is guarded.
const (
	sources    = "controller and builder: TestGuard, TestNamesAndRedirects"
	registries = "controller: TestMayReach, TestDialer"
	models     = "controller, which only asks whether it is there: TestClusterAddresses"
	approvals  = "controller: TestTrouble of pkg/reconciler/approval"
	ownPod     = "the pods of the user's own namespace"
	node       = "the node, and Knative Serving where it resolves tags"
	plane      = "the event plane, which permits addresses as the dialler does: TestPermit of internal/broker/guard"
	nobody     = "nobody: it is refused, or no host is in it"
)

// TestURLFields: whoever adds a field that names something to dial says here who dials
// it.
func TestURLFields(t *testing.T) {
	want := map[string]string{
		"function spec.source.minio.endpoint":                  sources,
		"function spec.source.s3.endpoint":                     sources,
		"function spec.source.gcs.endpoint":                    sources,
		"function spec.source.git.url":                         sources,
		"function spec.source.image.repository":                node,
		"function spec.build.registry":                         registries,
		"function spec.build.repository":                       nobody,
		"function spec.eventing.sink.uri":                      ownPod,
		"function spec.triggers[].delivery.deadLetterSink.uri": plane,
		"function spec.eventing.onSuccess.uri":                 plane,
		"function spec.eventing.onFailure.uri":                 plane,
		"agent spec.eventing.onSuccess.uri":                    plane,
		"agent spec.eventing.onFailure.uri":                    plane,
		"function spec.observability.tracing.endpoint":         ownPod,
		"function spec.traffic[].url":                          nobody,
		"function spec.volumes[].gitRepo.repository":           nobody,
		"function spec.volumes[].quobyte.registry":             nobody,
		"agent spec.volumes[].gitRepo.repository":              nobody,
		"agent spec.volumes[].quobyte.registry":                nobody,
		"agent spec.image.repository":                          node,
		"agent spec.ai.endpoint":                               models,
		"agent spec.ai.fallbacks[].endpoint":                   models,
		"agent spec.approval.custom.endpoint":                  approvals,
		"agent spec.observability.tracing.endpoint":            ownPod,
	}
	dialled := regexp.MustCompile(`(?i)\.(ur[il]|endpoint|registry|repository)$`)
	got := map[string]string{}
	note := func(kind string) func(string, string) {
		return func(path, _ string) {
			if dialled.MatchString(path) {
				got[kind+path] = want[kind+path]
			}
		}
	}
	function, agent := note("function "), note("agent ")
	ltesting.WithText(&v1alpha1.LambdaFunction{}, func(path, text string, _ *v1alpha1.LambdaFunction) { function(path, text) })
	ltesting.WithText(&v1alpha1.LambdaAgent{}, func(path, text string, _ *v1alpha1.LambdaAgent) { agent(path, text) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("fields (-want, +got):", diff)
	}
}
