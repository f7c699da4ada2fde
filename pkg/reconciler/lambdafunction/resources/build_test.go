package resources

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

func function(change ...func(*v1alpha1.LambdaFunction)) *v1alpha1.LambdaFunction {
	f := &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "greeter", UID: "uid"},
		Spec:       v1alpha1.LambdaFunctionSpec{Runtime: v1alpha1.FunctionRuntime{Language: "python", Handler: "main.handler"}},
	}
	for _, c := range change {
		c(f)
	}
	return f
}

func wanted() *Build {
	return &Build{
		Name: "greeter-build-1", Attempt: 1, Registry: "r.test", Repository: "team/python", Reference: "r.test/team/python:abc",
		Input:    build.Input{Language: "python", Template: "FROM {{.BaseImage}}\n", BaseImage: "base", Args: []build.Arg{{Name: "A", Value: "1"}}},
		Language: &config.Language{File: "main.py", DependenciesFile: "requirements.txt", Worker: []string{"python3", "worker.py"}},
		Files:    map[string]string{"main.py": "x"},
	}
}

func buildConfig() *config.Build {
	return &config.Build{
		BuilderImage: "builder", ExecutorImage: "kaniko", Timeout: 10 * time.Minute, FailedBuildTTL: time.Minute,
		InsecureRegistries: sets.New("b:5000", "a:5000"), CacheTTL: time.Hour,
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}},
	}
}

// meta of every child.
func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "team", Name: name,
		Labels: map[string]string{"app.kubernetes.io/managed-by": "knative-lambda-operator", "lambda.knative.io/function": "greeter", "lambda.knative.io/language": "python"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "lambda.knative.io/v1alpha1", Kind: "LambdaFunction", Name: "greeter", UID: "uid",
			Controller: ptr.Bool(true), BlockOwnerDeletion: ptr.Bool(true)}}}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want, +got): %s", what, diff)
	}
}

func TestMakeBuildInput(t *testing.T) {
	got, err := MakeBuildInput(function(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	archive, err := source.Pack(map[string]string{"main.py": "x"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ConfigMap", &corev1.ConfigMap{
		ObjectMeta: meta("greeter-build-1"), Immutable: ptr.Bool(true),
		Data:       map[string]string{"Dockerfile": "FROM base\n", "plan.json": "{\n  \"handler\": \"main.handler\",\n  \"file\": \"main.py\"\n}"},
		BinaryData: map[string][]byte{"source.tar.gz": archive},
	}, got)

	broken := wanted()
	broken.Input.Template = "{{"
	if _, err := MakeBuildInput(function(), broken); err == nil {
		t.Error("a template that cannot be parsed makes an input")
	}
}

func TestMakeBuildJob(t *testing.T) {
	jobMeta := meta("greeter-build-1")
	jobMeta.Labels["lambda.knative.io/image"] = build.Hash("r.test/team/python:abc")
	jobMeta.Annotations = map[string]string{"lambda.knative.io/image": "r.test/team/python:abc"}
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	failed := batchv1.Failed
	want := &batchv1.Job{ObjectMeta: jobMeta, Spec: batchv1.JobSpec{
		BackoffLimit:            ptr.Int32(0),
		ActiveDeadlineSeconds:   ptr.Int64(12 * 60),
		TTLSecondsAfterFinished: ptr.Int32(60),
		PodReplacementPolicy:    &failed,
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: jobMeta.Labels}, Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			ActiveDeadlineSeconds:         ptr.Int64(10 * 60),
			AutomountServiceAccountToken:  ptr.Bool(false),
			EnableServiceLinks:            ptr.Bool(false),
			TerminationGracePeriodSeconds: ptr.Int64(1),
			SecurityContext:               &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Volumes: []corev1.Volume{
				{Name: "input", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "greeter-build-1"}}}},
				{Name: "workspace", VolumeSource: empty}, {Name: "docker", VolumeSource: empty},
			},
			InitContainers: []corev1.Container{{
				Name: "builder", Image: "builder", TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
				VolumeMounts: []corev1.VolumeMount{{Name: "input", MountPath: "/etc/lambda-build", ReadOnly: true}, {Name: "workspace", MountPath: "/workspace"}, {Name: "docker", MountPath: "/kaniko/.docker"}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
				},
				SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(true), RunAsUser: ptr.Int64(65532), RunAsGroup: ptr.Int64(65532),
					ReadOnlyRootFilesystem: ptr.Bool(true), AllowPrivilegeEscalation: ptr.Bool(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
			Containers: []corev1.Container{{
				Name: "kaniko", Image: "kaniko", TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
				Args: build.KanikoArgs(build.KanikoOptions{Destination: "r.test/team/python:abc", Args: []build.Arg{{Name: "A", Value: "1"}},
					Insecure: []string{"a:5000", "b:5000"}, CacheRepository: "r.test/team/python/cache", CacheTTL: "1h0m0s"}),
				VolumeMounts: []corev1.VolumeMount{{Name: "workspace", MountPath: "/workspace"}, {Name: "docker", MountPath: "/kaniko/.docker", ReadOnly: true}},
				Resources:    buildConfig().Resources,
				SecurityContext: &corev1.SecurityContext{RunAsUser: ptr.Int64(0), AllowPrivilegeEscalation: ptr.Bool(false), Capabilities: &corev1.Capabilities{
					Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "SETFCAP", "SYS_CHROOT", "KILL"}}},
			}},
		}},
	}}
	same(t, "Job", want, MakeBuildJob(function(), wanted(), buildConfig()))
}

// TestBuildSettings: what of a function's spec.build changes the Job.
func TestBuildSettings(t *testing.T) {
	more := corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("8Gi")}}
	cfg := buildConfig()
	cfg.PushSecret = "cluster-push"
	got := MakeBuildJob(function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Build = v1alpha1.BuildSpec{Timeout: v1alpha1.NewDuration(90 * time.Second), Resources: &more, Cache: ptr.Bool(true), ImagePullSecret: "pull"}
	}), wanted(), cfg).Spec
	pod := got.Template.Spec
	same(t, "timeout", ptr.Int64(90), pod.ActiveDeadlineSeconds)
	same(t, "timeout with grace", ptr.Int64(90+120), got.ActiveDeadlineSeconds)
	same(t, "resources", more, pod.Containers[0].Resources)
	same(t, "secrets", []string{"cluster-push", "pull"}, []string{pod.Volumes[3].Secret.SecretName, pod.Volumes[4].Secret.SecretName})
	same(t, "where they are", []string{"/etc/lambda-push", "/etc/lambda-pull"}, []string{pod.InitContainers[0].VolumeMounts[3].MountPath, pod.InitContainers[0].VolumeMounts[4].MountPath})
	same(t, "Kaniko's mounts", 2, len(pod.Containers[0].VolumeMounts))
	args := pod.Containers[0].Args
	same(t, "cache", []string{"--cache=true", "--cache-repo=r.test/team/python/cache", "--cache-ttl=1h0m0s"}, args[len(args)-3:])

	own := MakeBuildJob(function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Build.PushSecretRef = &corev1.LocalObjectReference{Name: "own-push"}
	}), wanted(), cfg).Spec.Template.Spec
	same(t, "the function's own secret", "own-push", own.Volumes[3].Secret.SecretName)
}

// TestKueue: the Job waits for Kueue, its pod is not queued a second time.
func TestKueue(t *testing.T) {
	cfg := buildConfig()
	cfg.KueueQueue = "all"
	job := MakeBuildJob(function(), wanted(), cfg)
	same(t, "suspended", ptr.Bool(true), job.Spec.Suspend)
	same(t, "queue", "all", job.Labels["kueue.x-k8s.io/queue-name"])
	same(t, "queue of the pod", "", job.Spec.Template.Labels["kueue.x-k8s.io/queue-name"])
	own := MakeBuildJob(function(func(f *v1alpha1.LambdaFunction) {
		f.Labels = map[string]string{"kueue.x-k8s.io/queue-name": "own"}
	}), wanted(), cfg)
	same(t, "the function's own queue", "own", own.Labels["kueue.x-k8s.io/queue-name"])
}

// TestOwnDockerfile: it comes with the source, and its build is told where it
// starts from.
func TestOwnDockerfile(t *testing.T) {
	b := wanted()
	b.Input.Dockerfile, b.Input.Template = "docker/Dockerfile", ""
	input, err := MakeBuildInput(function(), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, has := input.Data[build.DockerfileFile]; has || !strings.Contains(input.Data[build.PlanFile], `"dockerfile": "docker/Dockerfile"`) {
		t.Errorf("input %v, want a plan with the path and no Dockerfile", input.Data)
	}
	got := kanikoOptions(function(), b, buildConfig())
	same(t, "path", "docker/Dockerfile", got.Dockerfile)
	same(t, "arguments", []build.Arg{{Name: "BASE_IMAGE", Value: b.Input.BaseImage}, {Name: "RUNTIME_IMAGE", Value: b.Input.RuntimeImage}, {Name: "A", Value: "1"}}, got.Args)
}

func TestInlineFiles(t *testing.T) {
	language := wanted().Language
	for _, tt := range []struct {
		inline v1alpha1.InlineSource
		want   map[string]string
	}{
		{v1alpha1.InlineSource{Code: "x"}, map[string]string{"main.py": "x"}},
		{v1alpha1.InlineSource{Code: "x", Dependencies: "requests"}, map[string]string{"main.py": "x", "requirements.txt": "requests"}},
		{v1alpha1.InlineSource{Files: map[string]string{"a.py": "a", "b/c.py": "c"}}, map[string]string{"a.py": "a", "b/c.py": "c"}},
	} {
		same(t, "files", tt.want, InlineFiles(&tt.inline, language))
	}
}

// TestCacheTakesCredentials: without them, anybody can write what Kaniko would believe.
func TestCacheTakesCredentials(t *testing.T) {
	for name, tt := range map[string]struct {
		cluster, function bool
		change            func(*v1alpha1.LambdaFunction)
		secret            string
		want              bool
	}{
		"asked for by the function":                {function: true},
		"asked for by the cluster":                 {cluster: true},
		"with the cluster's Secret":                {function: true, secret: "push", want: true},
		"of the cluster, with its Secret":          {cluster: true, secret: "push", want: true},
		"not asked for, with the cluster's Secret": {secret: "push"},
		"with the function's Secret": {function: true, want: true, change: func(f *v1alpha1.LambdaFunction) {
			f.Spec.Build.PushSecretRef = &corev1.LocalObjectReference{Name: "own"}
		}},
	} {
		cfg := buildConfig()
		cfg.Cache, cfg.PushSecret = tt.cluster, tt.secret
		f := function(func(f *v1alpha1.LambdaFunction) {
			if tt.function {
				f.Spec.Build.Cache = ptr.Bool(true)
			}
			if tt.change != nil {
				tt.change(f)
			}
		})
		args := MakeBuildJob(f, wanted(), cfg).Spec.Template.Spec.Containers[0].Args
		if got := slices.Contains(args, "--cache=true"); got != tt.want {
			t.Errorf("%s: the cache is used: %t, want %t", name, got, tt.want)
		}
	}
}
