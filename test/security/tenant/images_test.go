//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// repositoryOf a function's image in the registry, and its tag.
func repositoryOf(t *testing.T, f *v1alpha1.LambdaFunction) (repository, tag string) {
	t.Helper()
	reference, err := name.NewTag(f.Status.Build.Reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return reference.RepositoryStr(), reference.TagStr()
}

// TestRepositoriesOfOthers: on the cluster's own registry a function's image is below what
// the configuration makes of its own namespace. Another one takes credentials.
func TestRepositoriesOfOthers(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	f := ready(ctx, t, victim, python(victim, "billing", greeting("mine")))
	repository, _ := repositoryOf(t, f)
	for what, into := range map[string]string{"another namespace's": repository, "everybody's": "shared/python", "one that climbs": "functions/" + attacker.Namespace + "/../" + victim.Namespace} {
		trespasser := python(attacker, "f"+build.Hash(into), greeting("forged"), func(s *v1alpha1.LambdaFunctionSpec) { s.Build.Repository = into })
		created, err := attacker.Lambda.LambdaV1alpha1().LambdaFunctions(attacker.Namespace).Create(ctx, trespasser, metav1.CreateOptions{})
		if err != nil {
			test.Contains(t, what+" repository", err.Error(), "repository")
			continue
		}
		seen, err := attacker.AwaitFunction(ctx, test.Key(created), "the end of the build", func(f *v1alpha1.LambdaFunction) bool {
			c := f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded)
			return c.IsTrue() || c.IsFalse()
		})
		if err != nil {
			t.Error(err)
			continue
		}
		if c := seen.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded); !c.IsFalse() {
			t.Errorf("a tenant has built an image in %s repository, %s", what, into)
		} else {
			test.Contains(t, "the condition", c.Message, "repository", attacker.Namespace)
		}
	}
}

// TestImagesPushedBeforehand: a tag that another user has pushed is never run, even where
// it is the one that the operator would give to the function's image.
func TestImagesPushedBeforehand(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	words := "the victim's of " + victim.Namespace
	// The attacker knows the code that will be deployed, and so its tag.
	known := ready(ctx, t, attacker, python(attacker, "known", greeting(words)))
	evil := ready(ctx, t, attacker, python(attacker, "evil", greeting("the attacker's")))
	repository, tag := repositoryOf(t, known)
	forged := strings.ReplaceAll(repository, attacker.Namespace, victim.Namespace)
	image, err := name.NewDigest(evil.Status.Build.Image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	hostile, err := remote.Image(image, remote.WithContext(ctx))
	if err != nil {
		t.Skipf("the registry is not reached from here: %v", err)
	}
	to, err := name.NewTag(image.RegistryStr()+"/"+forged+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, hostile, remote.WithContext(ctx)); err != nil {
		t.Skipf("the registry keeps namespaces apart: %v", err)
	}
	f := ready(ctx, t, victim, python(victim, "billing", greeting(words)))
	digest, err := hostile.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(f.Status.Build.Image, digest.String()) {
		t.Errorf("the victim runs %s, which the attacker has pushed", f.Status.Build.Image)
	}
	if err := victim.Settle(ctx, f.Status.URL, 1, test.Takeover, func(a test.Answer) bool { return a.Status == http.StatusOK }); err != nil {
		t.Fatal(err)
	}
	if answer, err := victim.Call(ctx, f.Status.URL, "{}"); err != nil || !strings.Contains(answer.Body, words) {
		t.Errorf("the victim's function answers %v, %v; want %q", answer, err, words)
	}
}

// TestForgedBuildPods: a pod that looks like a build's and names a digest is not believed.
func TestForgedBuildPods(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	attacker := admin.Tenant(ctx, t, "attacker")
	other := ready(ctx, t, attacker, python(attacker, "other", greeting("another image")))
	_, digest, _ := strings.Cut(other.Status.Build.Image, "@")
	f := createFunction(ctx, t, attacker, python(attacker, "billing", greeting("never built"), func(s *v1alpha1.LambdaFunctionSpec) {
		s.Build.Strategy = v1alpha1.BuildKaniko
		s.Build.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("900")}}
	}))
	f, err := attacker.AwaitFunction(ctx, test.Key(f), "a Job", func(f *v1alpha1.LambdaFunction) bool { return f.Status.Build != nil && f.Status.Build.JobName != "" })
	if err != nil {
		t.Fatal(err)
	}
	job, err := attacker.Kube.BatchV1().Jobs(attacker.Namespace).Get(ctx, f.Status.Build.JobName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	forged := forgedPod(job, other.Status.Build.Image, digest)
	if _, err := attacker.Kube.CoreV1().Pods(attacker.Namespace).Create(ctx, forged, metav1.CreateOptions{}); err != nil {
		t.Skipf("a tenant cannot make such a pod: %v", err)
	}
	if _, err := attacker.AwaitPod(ctx, types.NamespacedName{Namespace: attacker.Namespace, Name: forged.Name}, "its end", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	}); err != nil {
		t.Log(err) // the Job's controller may have deleted it
	}
	got := never(ctx, t, func(ctx context.Context) (string, error) {
		seen, err := attacker.Lambda.LambdaV1alpha1().LambdaFunctions(attacker.Namespace).Get(ctx, f.Name, metav1.GetOptions{})
		if err != nil || seen.Status.Build == nil || !strings.HasSuffix(seen.Status.Build.Image, digest) {
			return "", err
		}
		return fmt.Sprintf("the operator believes a forged pod: status.build.image is %s", seen.Status.Build.Image), nil
	})
	if got != "" {
		t.Error(got)
	}
}

// forgedPod looks to the operator like the one of a Job, and ends with a digest.
func forgedPod(job *batchv1.Job, image, digest string) *corev1.Pod {
	owner := *metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))
	owner.BlockOwnerDeletion = nil // takes a right of its own
	labels := map[string]string{}
	for k, v := range job.Spec.Template.Labels {
		labels[k] = v
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: job.Name + "-forged", Labels: labels, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
			Name: build.KanikoContainer, Image: image,
			Command: []string{"python3", "-c", fmt.Sprintf("open('/dev/termination-log', 'w').write(%q)", digest)},
			SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(true), RunAsUser: ptr.Int64(65532), AllowPrivilegeEscalation: ptr.Bool(false),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		}}},
	}
}
