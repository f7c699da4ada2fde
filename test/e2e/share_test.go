//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestSameCodeIsBuiltOnce: an image is named by its content, so a function whose
// code another has becomes Ready without a build.
func TestSameCodeIsBuiltOnce(t *testing.T) { eachStrategy(t, sameCodeIsBuiltOnce) }

func sameCodeIsBuiltOnce(t *testing.T, strategy v1alpha1.BuildStrategy) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	words := "the same in " + namespace
	jobs, err := clients.RecordJobs(ctx, namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer jobs.Stop()

	// Two at once: one builds, the other waits for it.
	wanted := func(name string) *v1alpha1.LambdaFunction {
		f := python(namespace, name, greeting(words))
		f.Spec.Build.Strategy = strategy
		return f
	}
	one := create(ctx, t, wanted("one"))
	two := create(ctx, t, wanted("two"))
	one, two = ready(ctx, t, one), ready(ctx, t, two)
	// And one later, with a name as long as names may be: it finds the image.
	start := time.Now()
	three := ready(ctx, t, create(ctx, t, wanted(strings.Repeat("n", 63))))
	t.Logf("from create to Ready without a build: %v", time.Since(start).Round(100*time.Millisecond))

	want := map[v1alpha1.BuildStrategy]int{v1alpha1.BuildKaniko: 1}[strategy]
	if made := jobs.Stop(); len(made) != want {
		t.Errorf("Jobs made for three functions with the same code: %v, want %d", made, want)
	}
	if name := three.Status.Build.JobName; name != "" {
		t.Errorf("status.build.jobName = %q of a function whose image was there, want none", name)
	}
	for _, f := range []*v1alpha1.LambdaFunction{one, two, three} {
		if f.Status.Build.Image != one.Status.Build.Image {
			t.Errorf("image of %s = %s, want that of the first, %s", f.Name, f.Status.Build.Image, one.Status.Build.Image)
		}
		answers(ctx, t, f, greetingBody(words))
	}
}

// TestRebuild: a new value of the annotation builds unchanged source again.
func TestRebuild(t *testing.T) { eachStrategy(t, rebuild) }

func rebuild(t *testing.T, strategy v1alpha1.BuildStrategy) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	words := "again in " + namespace
	f := python(namespace, "again", greeting(words))
	f.Spec.Build.Strategy = strategy
	f = ready(ctx, t, create(ctx, t, f))
	first := f.Status.Build

	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"once more"}}}`, lambda.RebuildAnnotationKey)
	if _, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(namespace).Patch(ctx, f.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := clients.AwaitFunction(ctx, test.Key(f), "the rebuild", func(f *v1alpha1.LambdaFunction) bool {
		return f.IsReady() && f.Status.Build.Rebuild == "once more"
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Status.Build.Reference == first.Reference || f.Status.Build.Attempts != 1 {
		t.Errorf("status.build = %+v after the rebuild, want another reference than %s and an attempt", f.Status.Build, first.Reference)
	}
	answers(ctx, t, f, greetingBody(words))
}

// TestLostImage: what the registry has deleted before a pod could have it is built
// again. The function waits for its sink, so that no node has the image.
func TestLostImage(t *testing.T) { eachStrategy(t, lostImage) }

func lostImage(t *testing.T, strategy v1alpha1.BuildStrategy) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "lost", greeting("found in "+namespace))
	f.Spec.Build.Strategy = strategy
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Sink: &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "late"}}}
	f, err := clients.AwaitFunction(ctx, test.Key(create(ctx, t, f)), "an image without a sink", func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.Build != nil && f.Status.Build.Image != "" && f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady).GetReason() == v1alpha1.ReasonSinkNotResolved
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := name.NewDigest(f.Status.Build.Image, name.Insecure)
	if err == nil {
		err = remote.Delete(image, remote.WithContext(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	sink := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "late"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := clients.Kube.CoreV1().Services(namespace).Create(ctx, sink, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.AwaitEvent(ctx, f, v1alpha1.ReasonImageLost); err != nil {
		t.Error(err)
	}
	answers(ctx, t, ready(ctx, t, f), greetingBody("found in "+namespace))
}
