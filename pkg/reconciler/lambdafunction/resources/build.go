package resources

import (
	"fmt"
	"maps"
	"sort"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// Build is a build that the function wants.
type Build struct {
	// Name of the Job and of its input.
	Name string
	// Attempt that this is, from 1.
	Attempt int32
	// Registry and Repository of the image.
	Registry, Repository string
	// Reference of the image, by content.
	Reference string
	// Input that the reference is a hash of.
	Input build.Input
	// Recipe of an image that is made without running anything; nil where it takes
	// Kaniko.
	Recipe *build.Recipe
	// Language of the function.
	Language *config.Language
	// Files of an inline source.
	Files map[string]string
	// Source that the builder fetches; nil where it is inline.
	Source *source.Resolved
}

// pendingGrace is how much longer than its timeout a build may take in all, so
// that a pod that never runs is given up too.
const pendingGrace = 2 * time.Minute

// nonroot runs the builder.
const nonroot = 65532

// MakeBuildInput makes the ConfigMap that a build pod reads its source from, or
// where to fetch it from.
func MakeBuildInput(f *v1alpha1.LambdaFunction, b *Build) (*corev1.ConfigMap, error) {
	plan := build.Plan{Handler: f.Spec.Runtime.Handler, File: b.Language.File, Dockerfile: b.Input.Dockerfile}
	input := &corev1.ConfigMap{ObjectMeta: objectMeta(f, b.Name), Immutable: ptr.Bool(true), Data: map[string]string{}}
	if b.Source != nil {
		plan.Source = &build.FetchPlan{Resolved: b.Source, Secret: sourceSecret(f), Input: b.Input, Dependencies: b.Language.DependenciesFile}
	} else {
		archive, err := source.Pack(b.Files)
		if err != nil {
			return nil, err
		}
		input.BinaryData = map[string][]byte{build.SourceFile: archive}
	}
	if plan.Dockerfile == "" {
		// Of a fetched source it is made where the files are: here it is only tried.
		dockerfile, err := build.Dockerfile(b.Input)
		if err != nil {
			return nil, err
		}
		if b.Source == nil {
			input.Data[build.DockerfileFile] = dockerfile
		}
	}
	input.Data[build.PlanFile] = plan.Marshal()
	return input, nil
}

func sourceSecret(f *v1alpha1.LambdaFunction) string {
	if ref := f.Spec.Source.SecretRef(); ref != nil {
		return ref.Name
	}
	return ""
}

// MakeBuildJob makes the Job that builds and pushes the image. It is tried once:
// the reconciler decides from the reason of a failure whether to try again.
func MakeBuildJob(f *v1alpha1.LambdaFunction, b *Build, cfg *config.Build) *batchv1.Job {
	meta := objectMeta(f, b.Name)
	meta.Labels[lambda.ImageLabelKey] = ImageLabel(b.Reference)
	meta.Annotations = map[string]string{lambda.ImageAnnotationKey: b.Reference}
	pod := podMeta(maps.Clone(meta.Labels)) // Kueue would queue a pod with the label as well
	var suspend *bool
	if queue := Queue(f, cfg); queue != "" {
		meta.Labels[lambda.KueueQueueLabelKey], suspend = queue, ptr.Bool(true)
	}
	return &batchv1.Job{
		ObjectMeta: meta,
		Spec: batchv1.JobSpec{
			Suspend:                 suspend,
			BackoffLimit:            ptr.Int32(0),
			ActiveDeadlineSeconds:   seconds(Timeout(f, cfg) + pendingGrace),
			TTLSecondsAfterFinished: ptr.Int32(int32(cfg.FailedBuildTTL / time.Second)), //nolint:gosec // at most a week
			PodReplacementPolicy:    podReplacementPolicy(),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: pod,
				Spec:       buildPod(f, b, cfg),
			},
		},
	}
}

func podReplacementPolicy() *batchv1.PodReplacementPolicy {
	policy := batchv1.Failed
	return &policy
}

func seconds(d time.Duration) *int64 {
	return ptr.Int64(int64(d / time.Second))
}

func buildPod(f *v1alpha1.LambdaFunction, b *Build, cfg *config.Build) corev1.PodSpec {
	volumes, builderMounts, kanikoMounts := buildVolumes(f, b, cfg)
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		ActiveDeadlineSeconds:         seconds(Timeout(f, cfg)),
		AutomountServiceAccountToken:  ptr.Bool(false),
		EnableServiceLinks:            ptr.Bool(false),
		TerminationGracePeriodSeconds: ptr.Int64(1), // a build that is cancelled has nothing to save
		SecurityContext:               &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Volumes:                       volumes,
		InitContainers: []corev1.Container{{
			Name:         build.BuilderContainer,
			Image:        cfg.BuilderImage,
			VolumeMounts: builderMounts,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			},
			SecurityContext: &corev1.SecurityContext{
				RunAsNonRoot: ptr.Bool(true), RunAsUser: ptr.Int64(nonroot), RunAsGroup: ptr.Int64(nonroot),
				ReadOnlyRootFilesystem: ptr.Bool(true), AllowPrivilegeEscalation: ptr.Bool(false),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
		Containers: []corev1.Container{{
			Name:         build.KanikoContainer,
			Image:        cfg.ExecutorImage,
			Args:         build.KanikoArgs(kanikoOptions(f, b, cfg)),
			VolumeMounts: kanikoMounts,
			Resources:    buildResources(f, cfg),
			// Kaniko unpacks images into its own root file system: it has to be
			// root there, to own files as the images say.
			SecurityContext: &corev1.SecurityContext{
				RunAsUser: ptr.Int64(0), AllowPrivilegeEscalation: ptr.Bool(false),
				Capabilities: &corev1.Capabilities{
					Drop: []corev1.Capability{"ALL"},
					Add:  []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "SETFCAP", "SYS_CHROOT", "KILL"},
				},
			},
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
	}
}

func buildVolumes(f *v1alpha1.LambdaFunction, b *Build, cfg *config.Build) (volumes []corev1.Volume, builder, kaniko []corev1.VolumeMount) {
	empty := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	}
	volumes = []corev1.Volume{
		{Name: "input", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: b.Name}}}},
		empty("workspace"), empty("docker"),
	}
	builder = []corev1.VolumeMount{
		{Name: "input", MountPath: build.InputDir, ReadOnly: true},
		{Name: "workspace", MountPath: build.WorkspaceDir},
		{Name: "docker", MountPath: build.DockerConfigDir},
	}
	kaniko = []corev1.VolumeMount{
		{Name: "workspace", MountPath: build.WorkspaceDir},
		{Name: "docker", MountPath: build.DockerConfigDir, ReadOnly: true},
	}
	for _, secret := range []struct {
		volume, name, dir string
		optional          *bool
	}{
		{"push", PushSecret(f, cfg), build.PushSecretDir, nil},
		{"pull", f.Spec.Build.ImagePullSecret, build.PullSecretDir, nil},
		{"source", sourceSecret(f), build.SourceSecretDir, ptr.Bool(true)}, // the builder tells better what is missing
	} {
		if secret.name == "" {
			continue
		}
		volumes = append(volumes, corev1.Volume{Name: secret.volume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret.name, Optional: secret.optional}}})
		builder = append(builder, corev1.VolumeMount{Name: secret.volume, MountPath: secret.dir, ReadOnly: true})
	}
	return volumes, builder, kaniko
}

// Queue names the LocalQueue of Kueue in which the build waits; empty is none.
func Queue(f *v1alpha1.LambdaFunction, cfg *config.Build) string {
	if queue := f.Labels[lambda.KueueQueueLabelKey]; queue != "" {
		return queue
	}
	return cfg.KueueQueue
}

// Timeout of one attempt.
func Timeout(f *v1alpha1.LambdaFunction, cfg *config.Build) time.Duration {
	if t := f.Spec.Build.Timeout; t != nil {
		return t.Value()
	}
	return cfg.Timeout
}

// PushSecret names the Secret with which the image is pushed; empty is none.
func PushSecret(f *v1alpha1.LambdaFunction, cfg *config.Build) string {
	if r := f.Spec.Build.PushSecretRef; r != nil {
		return r.Name
	}
	return cfg.PushSecret
}

func buildResources(f *v1alpha1.LambdaFunction, cfg *config.Build) corev1.ResourceRequirements {
	if r := f.Spec.Build.Resources; r != nil {
		return *r.DeepCopy()
	}
	return *cfg.Resources.DeepCopy()
}

func kanikoOptions(f *v1alpha1.LambdaFunction, b *Build, cfg *config.Build) build.KanikoOptions {
	o := build.KanikoOptions{
		Destination:     b.Reference,
		Dockerfile:      b.Input.Dockerfile,
		Args:            b.Input.Args,
		Insecure:        cfg.InsecureRegistries.UnsortedList(),
		PushInsecure:    cfg.Insecure(b.Registry),
		Cache:           cfg.Cache,
		CacheRepository: b.Registry + "/" + b.Repository + "/cache",
		CacheTTL:        fmt.Sprint(cfg.CacheTTL),
	}
	if o.Dockerfile != "" {
		// The user's own come later, and so win.
		o.Args = append([]build.Arg{{Name: build.BaseImageArg, Value: b.Input.BaseImage}, {Name: build.RuntimeImageArg, Value: b.Input.RuntimeImage}}, o.Args...)
	}
	sort.Strings(o.Insecure)
	if c := f.Spec.Build.Cache; c != nil {
		o.Cache = *c
	}
	// Kaniko believes what is cached. Where pushing takes no credentials, anybody can
	// change that.
	o.Cache = o.Cache && PushSecret(f, cfg) != ""
	return o
}
