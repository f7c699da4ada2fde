// Package kservice holds what the Knative Services of functions and agents have
// in common.
package kservice

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	servingconfig "knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// Annotations are the autoscaling annotations of a revision.
func Annotations(s *v1alpha1.ScalingSpec) map[string]string {
	a := map[string]string{}
	number := func(key string, n *int32) {
		if n != nil {
			a[key] = strconv.Itoa(int(*n))
		}
	}
	number(autoscaling.MinScaleAnnotationKey, s.MinReplicas)
	number(autoscaling.MaxScaleAnnotationKey, s.MaxReplicas)
	number(autoscaling.InitialScaleAnnotationKey, s.InitialScale)
	number(autoscaling.TargetAnnotationKey, s.Target)
	if s.TargetConcurrency != nil {
		a[autoscaling.MetricAnnotationKey] = autoscaling.Concurrency
		number(autoscaling.TargetAnnotationKey, s.TargetConcurrency)
	}
	if s.Metric != "" {
		a[autoscaling.MetricAnnotationKey] = s.Metric
	}
	if s.Metric == autoscaling.CPU || s.Metric == autoscaling.Memory {
		a[autoscaling.ClassAnnotationKey] = autoscaling.HPA
	}
	if s.Window != nil {
		a[autoscaling.WindowAnnotationKey] = s.Window.Value().String()
	}
	if s.ScaleToZeroGracePeriod != nil {
		a[autoscaling.ScaleToZeroPodRetentionPeriodKey] = s.ScaleToZeroGracePeriod.Value().String()
	}
	if s.ScaleDownDelay != nil {
		a[autoscaling.ScaleDownDelayAnnotationKey] = s.ScaleDownDelay.Value().String()
	}
	return a
}

// Observability is the environment that says what a program reports about
// itself: OpenTelemetry's names.
func Observability(o *v1alpha1.ObservabilitySpec, service string) []corev1.EnvVar {
	if o == nil || o.Tracing == nil || !o.Tracing.Enabled {
		return nil
	}
	env := []corev1.EnvVar{{Name: "OTEL_SERVICE_NAME", Value: service}}
	env = append(env, exporter(o.Tracing)...)
	if r := o.Tracing.SamplingRate; r != nil {
		env = append(env,
			corev1.EnvVar{Name: "OTEL_TRACES_SAMPLER", Value: "parentbased_traceidratio"},
			corev1.EnvVar{Name: "OTEL_TRACES_SAMPLER_ARG", Value: string(*r)})
	}
	return env
}

// exporter is the environment of an OTLP exporter. The protocol is always named: the
// default of SDKs differs by language.
func exporter(t *v1alpha1.TracingSpec) []corev1.EnvVar {
	switch {
	case t.Endpoint == "":
		return nil
	case t.GRPC(): // SDKs expect a scheme, and http means that there is no TLS
		return []corev1.EnvVar{
			{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://" + t.Endpoint},
			{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "grpc"},
			{Name: "OTEL_EXPORTER_OTLP_INSECURE", Value: "true"},
		}
	}
	return []corev1.EnvVar{
		{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: t.Endpoint},
		{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "http/protobuf"},
	}
}

// Seconds of a duration, rounded up.
func Seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// Mutate sets on existing what this project owns of a Knative Service: fields
// that others default or add stay as they are.
func Mutate(existing, desired *servingv1.Service) {
	withdraw(existing, desired)
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	existing.Annotations = child.MergeMap(existing.Annotations, desired.Annotations)
	if desired.Spec.Traffic != nil { // else it is Knative's default, or somebody's who splits it
		existing.Spec.Traffic = desired.Spec.Traffic
	}
	have, want := &existing.Spec.Template, &desired.Spec.Template
	have.Labels = child.MergeMap(have.Labels, want.Labels)
	for key := range have.Annotations {
		ours := strings.HasPrefix(key, autoscaling.GroupName+"/") || key == servingconfig.AllowHTTPFullDuplexFeatureKey
		if _, wanted := want.Annotations[key]; !wanted && ours {
			delete(have.Annotations, key)
		}
	}
	have.Annotations = child.MergeMap(have.Annotations, want.Annotations)
	have.Spec.ContainerConcurrency = want.Spec.ContainerConcurrency
	if want.Spec.TimeoutSeconds != nil { // else it is Knative Serving's default
		have.Spec.TimeoutSeconds = want.Spec.TimeoutSeconds
		have.Spec.ResponseStartTimeoutSeconds = want.Spec.ResponseStartTimeoutSeconds
	}
	have.Spec.ServiceAccountName = want.Spec.ServiceAccountName
	have.Spec.AutomountServiceAccountToken = want.Spec.AutomountServiceAccountToken
	have.Spec.ImagePullSecrets = want.Spec.ImagePullSecrets
	mutatePod(&have.Spec.PodSpec, &want.Spec.PodSpec)
	if len(have.Spec.Containers) != len(want.Spec.Containers) {
		have.Spec.Containers = want.Spec.Containers
		return
	}
	for i := range want.Spec.Containers {
		mutateContainer(&have.Spec.Containers[i], &want.Spec.Containers[i])
	}
}

func mutateContainer(have, want *corev1.Container) {
	if want.Name != "" { // else Knative Serving names it
		have.Name = want.Name
	}
	have.Image, have.ImagePullPolicy = want.Image, want.ImagePullPolicy
	have.Command, have.Args = want.Command, want.Args
	have.Env, have.EnvFrom = want.Env, want.EnvFrom
	have.Resources, have.VolumeMounts = want.Resources, want.VolumeMounts
	if len(want.Ports) == 0 { // a sidecar
		have.Ports = nil
	} else if len(have.Ports) != 1 || have.Ports[0].ContainerPort != want.Ports[0].ContainerPort {
		have.Ports = want.Ports
	}
	mutateProbes(have, want)
	if want.SecurityContext != nil { // whole: Knative Serving adds nothing to it
		have.SecurityContext = want.SecurityContext
	}
}
