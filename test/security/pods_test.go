// Package security holds the tests of what docs/security.md says, as far as they need
// no cluster and are about more than one package.
package security

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"
	servingconfig "knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	agentresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	functionresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

const root = "../../"

// violations are what Kubernetes' own evaluator of Pod Security says against a pod,
// sorted.
func violations(t *testing.T, level podsecurity.Level, pod corev1.PodSpec) []string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, result := range evaluator.EvaluatePod(podsecurity.LevelVersion{Level: level, Version: podsecurity.LatestVersion()}, &metav1.ObjectMeta{}, &pod) {
		if !result.Allowed {
			found = append(found, result.ForbiddenReason)
		}
	}
	slices.Sort(found)
	return found
}

func restricted(t *testing.T, what string, pod corev1.PodSpec) {
	t.Helper()
	if found := violations(t, podsecurity.LevelRestricted, pod); len(found) > 0 {
		t.Errorf("%s does not keep to the profile restricted: %s", what, strings.Join(found, ", "))
	}
}

// manifests of a folder, by file and position.
func manifests(t *testing.T, folder string) (all []*unstructured.Unstructured) {
	t.Helper()
	err := filepath.WalkDir(root+folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			o := &unstructured.Unstructured{}
			if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if o.GetKind() != "" {
				all = append(all, o)
			}
		}
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%s has no manifests: %v", folder, err)
	}
	return all
}

func as[T any](t *testing.T, o *unstructured.Unstructured) *T {
	t.Helper()
	typed := new(T)
	text, err := o.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(text, typed)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
	return typed
}

// TestOperatorPods: what config/core and config/post-install run may run in a namespace
// that is held to the profile restricted, and the operator's namespace is.
func TestOperatorPods(t *testing.T) {
	templates, held := 0, false
	for _, folder := range []string{"config/core", "config/post-install"} {
		for _, o := range manifests(t, folder) {
			switch o.GetKind() {
			case "Deployment":
				templates++
				restricted(t, o.GetName(), as[appsv1.Deployment](t, o).Spec.Template.Spec)
			case "Job":
				templates++
				restricted(t, o.GetName(), as[batchv1.Job](t, o).Spec.Template.Spec)
			case "Namespace":
				held = o.GetLabels()[podsecurity.EnforceLevelLabel] == string(podsecurity.LevelRestricted)
			}
		}
	}
	if templates < 4 || !held {
		t.Errorf("%d templates of pods, the namespace held to restricted: %t; want 4 at least, and true", templates, held)
	}
}

// served is a Service as Knative Serving stores it: what its admission refuses fails
// the test. It holds for Serving as it comes, and with its own secure defaults.
func served(t *testing.T, service *servingv1.Service) corev1.PodSpec {
	t.Helper()
	for _, secure := range []servingconfig.Flag{servingconfig.Enabled, servingconfig.Disabled} {
		cfg := servingconfig.FromContextOrDefaults(t.Context())
		cfg.Features.SecurePodDefaults = secure
		ctx := apis.WithinCreate(servingconfig.ToContext(t.Context(), cfg))
		stored := service.DeepCopy()
		stored.SetDefaults(ctx)
		if err := stored.Validate(ctx).Filter(apis.ErrorLevel); err != nil {
			t.Errorf("Knative Serving refuses the Service %s: %v", service.Name, err)
		}
		if diff := cmp.Diff(service.Spec.Template.Spec.Containers[0].SecurityContext, stored.Spec.Template.Spec.Containers[0].SecurityContext); diff != "" {
			t.Errorf("Knative Serving changes the security context of %s (-want, +got): %s", service.Name, diff)
		}
		service.Spec.Template.Spec = stored.Spec.Template.Spec
	}
	return service.Spec.Template.Spec.PodSpec
}

// TestFunctionPods: every sample, and each kind of source, makes a pod that keeps to the
// profile restricted.
func TestFunctionPods(t *testing.T) {
	functions := []*v1alpha1.LambdaFunction{
		{ObjectMeta: metav1.ObjectMeta{Name: "image"}, Spec: v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{ImageReference: v1alpha1.ImageReference{Repository: "r.test/team/x"}}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "stored-before"}},
	}
	for _, o := range manifests(t, "config/samples") {
		if o.GetKind() == "LambdaFunction" {
			functions = append(functions, as[v1alpha1.LambdaFunction](t, o))
		}
	}
	if len(functions) < 10 {
		t.Errorf("%d functions are looked at, want 10 at least", len(functions))
	}
	for _, f := range functions {
		if f.Name != "stored-before" { // by a version that knew no security context
			f.Spec = f.EffectiveSpec(config.FromContextOrDefaults(shipped(t)))
		}
		restricted(t, "function "+f.Name, served(t, functionresources.MakeService(f, "r.test/team/x@sha256:"+strings.Repeat("1", 64), &config.Language{}, &config.Defaults{})))
	}
}

// TestAgentPods: agents, with the model proxy beside them or not.
func TestAgentPods(t *testing.T) {
	agents := []*v1alpha1.LambdaAgent{{ObjectMeta: metav1.ObjectMeta{Name: "stored-before"}, Spec: v1alpha1.LambdaAgentSpec{Image: v1alpha1.ImageReference{Repository: "r.test/team/x", Port: 8080}}}}
	for _, o := range manifests(t, "config/samples") {
		if o.GetKind() == "LambdaAgent" {
			agents = append(agents, as[v1alpha1.LambdaAgent](t, o))
		}
	}
	ctx, proxies := shipped(t), 0
	for _, a := range agents {
		if a.Name != "stored-before" {
			a.Spec = a.EffectiveSpec(config.FromContextOrDefaults(ctx))
		}
		defaults := config.FromContext(ctx).Defaults
		service := agentresources.MakeService(a, "file", defaults)
		if err := agentresources.AddModelProxy(service, a, defaults); err != nil {
			t.Fatal(err)
		}
		proxies += len(service.Spec.Template.Spec.Containers) - 1
		restricted(t, "agent "+a.Name, served(t, service))
	}
	if len(agents) < 6 || proxies < 1 {
		t.Errorf("%d agents are looked at, %d of them with a model proxy; want 6 and 1 at least", len(agents), proxies)
	}
}

// TestRootOnlyWhereSaid: an image that has to run as root says so, and gets nothing
// else by it.
func TestRootOnlyWhereSaid(t *testing.T) {
	ctx := shipped(t)
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Name: "root"}, Spec: v1alpha1.LambdaAgentSpec{
		Image: v1alpha1.ImageReference{Repository: "r.test/team/x"}, SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(false)},
	}}
	a.Spec = a.EffectiveSpec(config.FromContextOrDefaults(ctx))
	pod := served(t, agentresources.MakeService(a, "file", config.FromContext(ctx).Defaults))
	if diff := cmp.Diff([]string{"runAsNonRoot != true"}, violations(t, podsecurity.LevelRestricted, pod)); diff != "" {
		t.Error("what is against restricted (-want, +got):", diff)
	}
	if found := violations(t, podsecurity.LevelBaseline, pod); len(found) > 0 {
		t.Error("it does not keep to the profile baseline:", found)
	}
}

// TestBuildPods: what fetches the source keeps to the profile restricted; Kaniko to
// baseline, with no more against restricted than it needs: root, to unpack an image as
// its files are owned, and the capabilities for that.
func TestBuildPods(t *testing.T) {
	ctx := shipped(t)
	f := &v1alpha1.LambdaFunction{Spec: v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{SecretRef: &corev1.LocalObjectReference{Name: "git"}}}}}
	f.Spec.Build.PushSecretRef, f.Spec.Build.ImagePullSecret = &corev1.LocalObjectReference{Name: "push"}, "pull"
	job := functionresources.MakeBuildJob(f, &functionresources.Build{Name: "b", Language: &config.Language{}}, config.FromContext(ctx).Build)
	whole := job.Spec.Template.Spec

	fetches := *whole.DeepCopy()
	fetches.Containers, fetches.InitContainers = fetches.InitContainers, nil
	restricted(t, "the builder", fetches)

	if found := violations(t, podsecurity.LevelBaseline, whole); len(found) > 0 {
		t.Error("a build does not keep to the profile baseline:", found)
	}
	if diff := cmp.Diff([]string{"runAsNonRoot != true", "runAsUser=0", "unrestricted capabilities"}, violations(t, podsecurity.LevelRestricted, whole)); diff != "" {
		t.Error("what of a build is against restricted (-want, +got):", diff)
	}
	if *whole.AutomountServiceAccountToken {
		t.Error("a build has an API token")
	}
}

// TestSecretsOfBuilds: Secrets are files of the builder; Kaniko, whose steps run what the
// function's author says, has none of them, and no container has one as environment.
func TestSecretsOfBuilds(t *testing.T) {
	f := &v1alpha1.LambdaFunction{Spec: v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{SecretRef: &corev1.LocalObjectReference{Name: "git"}}}}}
	f.Spec.Build.PushSecretRef, f.Spec.Build.ImagePullSecret = &corev1.LocalObjectReference{Name: "push"}, "pull"
	f.Spec.Env = []corev1.EnvVar{{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}}
	f.Spec.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{}}}
	pod := functionresources.MakeBuildJob(f, &functionresources.Build{Name: "b", Language: &config.Language{}}, config.FromContext(shipped(t)).Build).Spec.Template.Spec
	secret := map[string]bool{}
	for _, v := range pod.Volumes {
		secret[v.Name] = v.Secret != nil
	}
	mounted := func(c corev1.Container) (n int) {
		for _, m := range c.VolumeMounts {
			if secret[m.Name] {
				n++
			}
		}
		return n
	}
	if n := mounted(pod.InitContainers[0]); n != 3 {
		t.Errorf("the builder has %d Secrets, want 3", n)
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		if c.Name == build.KanikoContainer && mounted(c) > 0 || len(c.Env)+len(c.EnvFrom) > 0 {
			t.Errorf("%s has %d Secrets and the environment %v %v, want none of both", c.Name, mounted(c), c.Env, c.EnvFrom)
		}
	}
}

// TestTokens: who names no ServiceAccount has no API token.
func TestTokens(t *testing.T) {
	defaults := config.FromContext(shipped(t)).Defaults
	for account, want := range map[string]bool{"": true, "robot": false} {
		f := &v1alpha1.LambdaFunction{}
		f.Spec.ServiceAccountName = account
		a := &v1alpha1.LambdaAgent{}
		a.Spec.ServiceAccountName = account
		for kind, service := range map[string]*servingv1.Service{"function": functionresources.MakeService(f, "x", nil, defaults), "agent": agentresources.MakeService(a, "file", defaults)} {
			spec := service.Spec.Template.Spec
			if without := spec.AutomountServiceAccountToken != nil && !*spec.AutomountServiceAccountToken; without != want || spec.ServiceAccountName != account {
				t.Errorf("%s with the ServiceAccount %q: %q, without a token: %t, want %t", kind, account, spec.ServiceAccountName, without, want)
			}
		}
	}
}

// TestUsersAreNumbers: Kubernetes cannot tell of a name that it is not root.
func TestUsersAreNumbers(t *testing.T) {
	dockerfiles, err := filepath.Glob(root + "runtimes/*/Dockerfile")
	if err != nil || len(dockerfiles) < 4 {
		t.Fatalf("there are %d Dockerfiles: %v", len(dockerfiles), err)
	}
	user := regexp.MustCompile(`(?m)^USER ([1-9][0-9]*)(:[1-9][0-9]*)?$`)
	for _, path := range dockerfiles {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if all := user.FindAll(text, -1); len(all) != 1 {
			t.Errorf("%s names a user by number %d times, want once: %q", path, len(all), all)
		}
	}
}

// shipped is a context with the configuration of config/core.
func shipped(t *testing.T) context.Context {
	t.Helper()
	store := config.NewStore(testLogger{t})
	for _, o := range manifests(t, "config/core/configmaps") {
		if _, ours := config.Constructors[o.GetName()]; ours {
			store.OnConfigChanged(as[corev1.ConfigMap](t, o))
		}
	}
	return store.ToContext(t.Context())
}

type testLogger struct{ *testing.T }

func (l testLogger) Debugf(string, ...any)           {}
func (l testLogger) Infof(string, ...any)            {}
func (l testLogger) Fatalf(text string, args ...any) { l.T.Fatalf(text, args...) }
func (l testLogger) Errorf(text string, args ...any) { l.T.Errorf(text, args...) }
