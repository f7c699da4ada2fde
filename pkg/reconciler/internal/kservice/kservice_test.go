package kservice

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"
	"knative.dev/serving/pkg/apis/autoscaling"
	servingconfig "knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	"knative.dev/serving/pkg/autoscaler/config/autoscalerconfig"

	lambdaconfig "github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func duration(text string) *v1alpha1.Duration {
	d := v1alpha1.Duration(text)
	return &d
}

func TestAnnotations(t *testing.T) {
	const prefix = "autoscaling.knative.dev/"
	for _, tt := range []struct {
		name    string
		scaling v1alpha1.ScalingSpec
		want    map[string]string
	}{
		{"nothing", v1alpha1.ScalingSpec{}, map[string]string{}},
		{"all", v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(0), MaxReplicas: ptr.Int32(5), InitialScale: ptr.Int32(1), Metric: "rps", Target: ptr.Int32(200), Window: duration("90s"), ScaleToZeroGracePeriod: duration("0"), ScaleDownDelay: duration("5m")},
			map[string]string{prefix + "min-scale": "0", prefix + "max-scale": "5", prefix + "initial-scale": "1", prefix + "metric": "rps", prefix + "target": "200",
				prefix + "window": "1m30s", prefix + "scale-to-zero-pod-retention-period": "0s", prefix + "scale-down-delay": "5m0s"}},
		{"target concurrency", v1alpha1.ScalingSpec{TargetConcurrency: ptr.Int32(10)}, map[string]string{prefix + "metric": "concurrency", prefix + "target": "10"}},
		{"a metric of Kubernetes' own autoscaler", v1alpha1.ScalingSpec{Metric: "cpu", Target: ptr.Int32(80)},
			map[string]string{prefix + "class": "hpa.autoscaling.knative.dev", prefix + "metric": "cpu", prefix + "target": "80"}},
		{"another", v1alpha1.ScalingSpec{Metric: "memory"}, map[string]string{prefix + "class": "hpa.autoscaling.knative.dev", prefix + "metric": "memory"}},
		{"what is the container's", v1alpha1.ScalingSpec{ContainerConcurrency: ptr.Int64(1)}, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Annotations(&tt.scaling)); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

// FuzzScaling: what admission lets pass, Knative Serving takes. Numbers below zero
// stand for fields that are left out.
func FuzzScaling(f *testing.F) {
	f.Add(int32(0), int32(5), int32(1), int32(10), int32(-1), "concurrency", "90s", "0s")
	f.Add(int32(-1), int32(-1), int32(-1), int32(-1), int32(80), "cpu", "6s", "1h")
	f.Add(int32(3), int32(0), int32(10000), int32(-1), int32(1), "rps", "6.5s", "")
	f.Add(int32(1), int32(1), int32(2), int32(-1), int32(1), "memory", "1h", "1ns")
	serving := &autoscalerconfig.Config{AllowZeroInitialScale: true, PodAutoscalerClass: autoscaling.KPA}
	f.Fuzz(func(t *testing.T, least, most, initial, concurrency, target int32, metric, window, grace string) {
		number := func(n int32) *int32 {
			if n < 0 {
				return nil
			}
			return &n
		}
		length := func(text string) *v1alpha1.Duration {
			if text == "" {
				return nil
			}
			return duration(text)
		}
		function := &v1alpha1.LambdaFunction{}
		function.Spec.Source.Image = &v1alpha1.ImageSource{ImageReference: v1alpha1.ImageReference{Repository: "r.test/own"}}
		function.Spec.Scaling = v1alpha1.ScalingSpec{
			MinReplicas: number(least), MaxReplicas: number(most), InitialScale: number(initial), TargetConcurrency: number(concurrency), Target: number(target),
			Metric: metric, Window: length(window), ScaleToZeroGracePeriod: length(grace), ScaleDownDelay: length(grace),
		}
		function.Spec = function.EffectiveSpec(lambdaconfig.FromContextOrDefaults(t.Context()))
		if function.Validate(t.Context()) != nil {
			return
		}
		annotations := Annotations(&function.Spec.Scaling)
		if err := autoscaling.ValidateAnnotations(t.Context(), serving, annotations); err != nil {
			t.Errorf("%v are admitted and refused by Knative Serving: %v", annotations, err)
		}
	})
}

func TestObservability(t *testing.T) {
	rate := v1alpha1.Number("0.25")
	for _, tt := range []struct {
		name string
		spec *v1alpha1.ObservabilitySpec
		want []corev1.EnvVar
	}{
		{"nothing", nil, nil},
		{"no tracing", &v1alpha1.ObservabilitySpec{}, nil},
		{"tracing off", &v1alpha1.ObservabilitySpec{Tracing: &v1alpha1.TracingSpec{Endpoint: "http://otel"}}, nil},
		{"tracing", &v1alpha1.ObservabilitySpec{Tracing: &v1alpha1.TracingSpec{Enabled: true}}, []corev1.EnvVar{{Name: "OTEL_SERVICE_NAME", Value: "greeter"}}},
		{"OTLP over gRPC", &v1alpha1.ObservabilitySpec{Tracing: &v1alpha1.TracingSpec{Enabled: true, Endpoint: "otel.team.svc:4317"}}, []corev1.EnvVar{
			{Name: "OTEL_SERVICE_NAME", Value: "greeter"}, {Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://otel.team.svc:4317"},
			{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "grpc"}, {Name: "OTEL_EXPORTER_OTLP_INSECURE", Value: "true"}}},
		{"all", &v1alpha1.ObservabilitySpec{Tracing: &v1alpha1.TracingSpec{Enabled: true, Endpoint: "http://otel", SamplingRate: &rate}}, []corev1.EnvVar{
			{Name: "OTEL_SERVICE_NAME", Value: "greeter"}, {Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://otel"},
			{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "http/protobuf"},
			{Name: "OTEL_TRACES_SAMPLER", Value: "parentbased_traceidratio"}, {Name: "OTEL_TRACES_SAMPLER_ARG", Value: "0.25"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Observability(tt.spec, "greeter")); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, time.Nanosecond: 1, time.Second: 1, 1500 * time.Millisecond: 2, time.Minute: 60} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%v) = %d, want %d", d, got, want)
		}
	}
}

// desired is what a maker makes; stored is how it looks once the webhooks of
// Knative Serving, and others, have had their say.
func desired(change ...func(*servingv1.Service)) *servingv1.Service {
	s := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Name: "greeter", Labels: map[string]string{"ours": "1"}}}
	template := &s.Spec.Template
	template.Labels = map[string]string{"ours": "1"}
	template.Annotations = map[string]string{autoscaling.MinScaleAnnotationKey: "1", "ours": "1"}
	template.Spec.ContainerConcurrency, template.Spec.TimeoutSeconds = ptr.Int64(0), ptr.Int64(65)
	template.Spec.AutomountServiceAccountToken = ptr.Bool(false)
	template.Spec.Containers = []corev1.Container{{
		Image: "r.test/own@sha256:1", Env: []corev1.EnvVar{{Name: "A", Value: "1"}}, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}},
	}}
	for _, c := range change {
		c(s)
	}
	return s
}

func stored(change ...func(*servingv1.Service)) *servingv1.Service {
	s := desired()
	s.Labels["theirs"], s.Annotations = "1", map[string]string{"serving.knative.dev/creator": "us"}
	template := &s.Spec.Template
	template.Labels["theirs"], template.Annotations["theirs"] = "1", "1"
	template.Spec.EnableServiceLinks = ptr.Bool(false)
	s.Spec.Traffic = []servingv1.TrafficTarget{{LatestRevision: ptr.Bool(true), Percent: ptr.Int64(100)}}
	container := &template.Spec.Containers[0]
	container.Name = "user-container"
	container.Ports[0].Name, container.Ports[0].Protocol = "http1", corev1.ProtocolTCP
	container.ReadinessProbe.SuccessThreshold = 1
	container.ReadinessProbe.HTTPGet.Port, container.ReadinessProbe.HTTPGet.Scheme = intstr.FromInt32(0), corev1.URISchemeHTTP
	container.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(true)}
	for _, c := range change {
		c(s)
	}
	return s
}

func container(s *servingv1.Service) *corev1.Container { return &s.Spec.Template.Spec.Containers[0] }

// tcp is the probe that Knative Serving makes where there is none.
var tcp = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}, SuccessThreshold: 1}

func probed(probe *corev1.Probe) func(*servingv1.Service) {
	return func(s *servingv1.Service) { container(s).ReadinessProbe = probe }
}

// sidecar beside the container, as a maker makes it.
func sidecar(s *servingv1.Service) {
	s.Spec.Template.Spec.Containers[0].Name = "user-container"
	s.Spec.Template.Spec.Containers = append(s.Spec.Template.Spec.Containers, corev1.Container{
		Name: "proxy", Image: "r.test/proxy@sha256:1", Env: []corev1.EnvVar{{Name: "KEY", Value: "1"}},
		VolumeMounts:    []corev1.VolumeMount{{Name: "state", MountPath: "/state"}, {Name: "config", MountPath: "/config", ReadOnly: true}},
		SecurityContext: v1alpha1.Restricted(&corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.Bool(true)}),
	})
	s.Spec.Template.Spec.Volumes = []corev1.Volume{
		{Name: "state", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
	}
}

func root(s *servingv1.Service) {
	container(s).SecurityContext = &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(false)}
}

func TestMutate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		have    *servingv1.Service
		desired *servingv1.Service
		want    *servingv1.Service
	}{
		{"what others default stays", stored(), desired(), stored()},
		{"another image", stored(), desired(func(s *servingv1.Service) { container(s).Image = "r.test/own@sha256:2" }),
			stored(func(s *servingv1.Service) { container(s).Image = "r.test/own@sha256:2" })},
		{"environment, resources and mounts that went", stored(func(s *servingv1.Service) {
			c := container(s)
			c.EnvFrom, c.VolumeMounts, c.Command, c.Args = []corev1.EnvFromSource{{}}, []corev1.VolumeMount{{Name: "v"}}, []string{"x"}, []string{"x"}
			s.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "v"}}
			s.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "s"}}
			s.Spec.Template.Spec.ServiceAccountName = "robot"
		}), desired(), stored()},
		{"an annotation of the autoscaler that went", stored(func(s *servingv1.Service) {
			s.Spec.Template.Annotations[autoscaling.WindowAnnotationKey] = "60s"
		}), desired(), stored()},
		{"an annotation of the autoscaler by hand", stored(func(s *servingv1.Service) {
			s.Spec.Template.Annotations[autoscaling.MinScaleAnnotationKey] = "9"
		}), desired(), stored()},
		{"labels that were taken off", stored(func(s *servingv1.Service) { delete(s.Labels, "ours"); s.Spec.Template.Labels = nil }), desired(),
			stored(func(s *servingv1.Service) { delete(s.Spec.Template.Labels, "theirs") })},
		{"another port", stored(), desired(func(s *servingv1.Service) { container(s).Ports[0].ContainerPort = 9000 }),
			stored(func(s *servingv1.Service) { container(s).Ports = []corev1.ContainerPort{{ContainerPort: 9000}} })},
		{"another probe", stored(), desired(func(s *servingv1.Service) { container(s).ReadinessProbe.HTTPGet.Path = "/ready" }),
			stored(func(s *servingv1.Service) {
				get := container(s).ReadinessProbe.HTTPGet
				get.Path, get.Scheme = "/ready", ""
			})},
		{"a probe by hand", stored(func(s *servingv1.Service) { container(s).ReadinessProbe = &corev1.Probe{} }), desired(),
			stored(func(s *servingv1.Service) {
				container(s).ReadinessProbe = container(desired()).ReadinessProbe
				container(s).ReadinessProbe.SuccessThreshold = 1
			})},
		{"no probe wanted: Knative's default stays", stored(probed(tcp)), desired(probed(nil)), stored(probed(tcp))},
		{"no probe wanted any more", stored(), desired(probed(nil)), stored(probed(nil))},
		{"root allowed by now", stored(), desired(root), stored(root)},
		{"a container by hand", stored(func(s *servingv1.Service) {
			s.Spec.Template.Spec.Containers = append(s.Spec.Template.Spec.Containers, corev1.Container{Name: "spy"})
		}), desired(), stored(func(s *servingv1.Service) { s.Spec.Template.Spec.Containers = desired().Spec.Template.Spec.Containers })},
		{"a timeout", stored(), desired(func(s *servingv1.Service) { s.Spec.Template.Spec.TimeoutSeconds = ptr.Int64(35) }),
			stored(func(s *servingv1.Service) { s.Spec.Template.Spec.TimeoutSeconds = ptr.Int64(35) })},
		{"no timeout wanted: Knative's default stays", stored(), desired(func(s *servingv1.Service) { s.Spec.Template.Spec.TimeoutSeconds = nil }), stored()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Mutate(tt.have, tt.desired)
			if diff := cmp.Diff(tt.want, tt.have); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

// defaulted is a Service once Knative Serving's own webhook has had its say.
func defaulted(t *testing.T, secure servingconfig.Flag, change ...func(*servingv1.Service)) *servingv1.Service {
	t.Helper()
	cfg := servingconfig.FromContextOrDefaults(t.Context())
	cfg.Features.SecurePodDefaults = secure
	s := desired(change...)
	s.SetDefaults(apis.WithinCreate(servingconfig.ToContext(t.Context(), cfg)))
	return s
}

// TestMutateSidecar: what Knative Serving itself makes of two containers is not written
// again, whether it hardens them or not; a change of one of them, and one that comes or
// goes, is.
func TestMutateSidecar(t *testing.T) {
	newer := func(s *servingv1.Service) {
		sidecar(s)
		s.Spec.Template.Spec.Containers[1].Image, s.Spec.Template.Spec.Containers[1].Env = "r.test/proxy@sha256:2", nil
	}
	for _, secure := range []servingconfig.Flag{servingconfig.Disabled, servingconfig.Enabled} {
		for _, tt := range []struct {
			name          string
			have, desired func(*servingv1.Service)
			writes        bool
		}{
			{"alone and left as it is", func(*servingv1.Service) {}, func(*servingv1.Service) {}, false},
			{"left as it is", sidecar, sidecar, false},
			{"changed", sidecar, newer, true},
			{"added", func(*servingv1.Service) {}, sidecar, true},
			{"removed", sidecar, func(*servingv1.Service) {}, true},
		} {
			t.Run(tt.name+", hardening "+string(secure), func(t *testing.T) {
				have, wanted := defaulted(t, secure, tt.have), desired(tt.desired)
				got := have.DeepCopy()
				Mutate(got, wanted.DeepCopy())
				if changed := !equality.Semantic.DeepEqual(have, got); changed != tt.writes {
					t.Fatalf("changed = %v (-before, +after): %s", changed, cmp.Diff(have, got))
				}
				// What the webhook makes of that is what it makes of the wanted one.
				cfg := servingconfig.FromContextOrDefaults(t.Context())
				cfg.Features.SecurePodDefaults = secure
				got.SetDefaults(servingconfig.ToContext(t.Context(), cfg))
				if diff := cmp.Diff(defaulted(t, secure, tt.desired).Spec.Template.Spec.PodSpec, got.Spec.Template.Spec.PodSpec, cmpopts.EquateEmpty()); diff != "" {
					t.Error("(-want, +got):", diff)
				}
				again := got.DeepCopy()
				if Mutate(again, wanted); !equality.Semantic.DeepEqual(got, again) {
					t.Error("is written again (-first, +second):", cmp.Diff(got, again))
				}
			})
		}
	}
}
