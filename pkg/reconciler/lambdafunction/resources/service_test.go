package resources

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func TestMakeService(t *testing.T) {
	memory := corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}}
	f := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Runtime.Timeout = v1alpha1.NewDuration(30500 * time.Millisecond)
		f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(0), MaxReplicas: ptr.Int32(3), Concurrency: ptr.Int32(7), TargetConcurrency: ptr.Int32(5)}
		f.Spec.Runtime.Workers, f.Spec.Runtime.Isolation, f.Spec.Runtime.Interface, f.Spec.Runtime.HTTPEvent = ptr.Int32(3), v1alpha1.IsolationShared, "wsgi", v1alpha1.HTTPEventAWS
		f.Spec.HTTP = &v1alpha1.HTTPSpec{MaxBodySize: "1Mi", FullDuplex: true, CORS: &v1alpha1.CORSSpec{AllowOrigins: []string{"*"}, MaxAge: v1alpha1.NewDuration(time.Minute)}}
		f.Spec.Resources = memory
		f.Spec.Env = []corev1.EnvVar{{Name: "MINE", Value: "1"}}
		f.Spec.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}
		f.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}}
		f.Spec.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}
		f.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}}
		f.Spec.Observability = &v1alpha1.ObservabilitySpec{
			Tracing: &v1alpha1.TracingSpec{Enabled: true, Endpoint: "http://otel:4317"},
			Logging: &v1alpha1.LoggingSpec{Level: "debug", Format: "text", TraceContext: ptr.Bool(false)},
			Metrics: &v1alpha1.MetricsSpec{Enabled: ptr.Bool(false), Exemplars: true},
		}
	})
	child := meta("greeter")
	want := &servingv1.Service{ObjectMeta: child, Spec: servingv1.ServiceSpec{RouteSpec: servingv1.RouteSpec{Traffic: []servingv1.TrafficTarget{{LatestRevision: ptr.Bool(true), Percent: ptr.Int64(100)}}}, ConfigurationSpec: servingv1.ConfigurationSpec{Template: servingv1.RevisionTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: child.Labels, Annotations: map[string]string{"autoscaling.knative.dev/min-scale": "0", "autoscaling.knative.dev/max-scale": "3",
			"autoscaling.knative.dev/metric": "concurrency", "autoscaling.knative.dev/target": "5", "features.knative.dev/http-full-duplex": "Enabled"}},
		Spec: servingv1.RevisionSpec{
			TimeoutSeconds: ptr.Int64(31 + 5), ResponseStartTimeoutSeconds: ptr.Int64(31 + 5), ContainerConcurrency: ptr.Int64(7),
			PodSpec: corev1.PodSpec{
				AutomountServiceAccountToken: ptr.Bool(false),
				ImagePullSecrets:             f.Spec.ImagePullSecrets,
				Volumes:                      f.Spec.Volumes,
				Containers: []corev1.Container{{
					Image: "r.test/x@sha256:1", Resources: memory, EnvFrom: f.Spec.EnvFrom, VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v", ReadOnly: true}},
					Ports:          []corev1.ContainerPort{{ContainerPort: 8080}},
					ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/.well-known/knative-lambda/ready"}}},
					SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(true), AllowPrivilegeEscalation: ptr.Bool(false),
						Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
					Env: []corev1.EnvVar{
						{Name: "LAMBDA_FUNCTION_NAME", Value: "greeter"}, {Name: "LAMBDA_FUNCTION_NAMESPACE", Value: "team"},
						{Name: "LAMBDA_EVENT_SOURCE", Value: "io.knative.lambda/function/team/greeter"},
						{Name: "LAMBDA_HANDLER", Value: "main.handler"}, {Name: "LAMBDA_TASK_ROOT", Value: "/lambda/function"},
						{Name: "LAMBDA_WORKER_COMMAND", Value: `["python3","worker.py"]`}, {Name: "LAMBDA_CONCURRENCY", Value: "7"}, {Name: "LAMBDA_WORKERS", Value: "3"}, {Name: "LAMBDA_ISOLATION", Value: "shared"},
						{Name: "LAMBDA_INTERFACE", Value: "wsgi"}, {Name: "LAMBDA_HTTP_EVENT", Value: "aws-v2"}, {Name: "LAMBDA_TIMEOUT", Value: "30.5s"}, {Name: "LAMBDA_DRAIN_TIMEOUT", Value: "30.5s"},
						{Name: "LAMBDA_HTTP_CORS", Value: `{"allowOrigins":["*"],"maxAge":60}`}, {Name: "LAMBDA_MAX_BODY", Value: "1048576"},
						{Name: "LAMBDA_LOG_LEVEL", Value: "debug"}, {Name: "LAMBDA_LOG_FORMAT", Value: "text"}, {Name: "LAMBDA_LOG_TRACE_CONTEXT", Value: "false"}, {Name: "LAMBDA_METRICS_PORT", Value: "0"}, {Name: "LAMBDA_METRICS_EXEMPLARS", Value: "true"},
						{Name: "OTEL_SERVICE_NAME", Value: "greeter"}, {Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://otel:4317"},
						{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "http/protobuf"},
						{Name: "MINE", Value: "1"},
					},
				}},
			},
		},
	}}}}
	got := MakeService(f, "r.test/x@sha256:1", wanted().Language, &config.Defaults{})
	same(t, "Service", want, got)

	got.Spec.Template.Spec.Volumes[0].Name = "changed"
	if f.Spec.Volumes[0].Name != "v" {
		t.Error("the Service shares memory with the function")
	}
}

// TestServiceOfAnOwnDockerfile: what listens in its image is the user's, and as whom
// if the spec says so; what it may do is not.
func TestServiceOfAnOwnDockerfile(t *testing.T) {
	f := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Build.Dockerfile = "Dockerfile"
		f.Spec.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(false)}
	})
	c := MakeService(f, "r.test/x@sha256:1", wanted().Language, &config.Defaults{}).Spec.Template.Spec.Containers[0]
	if c.ReadinessProbe != nil || *c.SecurityContext.RunAsNonRoot || *c.SecurityContext.AllowPrivilegeEscalation || len(c.SecurityContext.Capabilities.Drop) != 1 {
		t.Errorf("probe %v, security context %+v, want no probe, root allowed, and no capabilities", c.ReadinessProbe, c.SecurityContext)
	}
	if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "LAMBDA_WORKER_COMMAND" }) {
		t.Errorf("environment %v, want that of the runtime", c.Env)
	}
}

// TestServiceOfAnImage: nothing of the runtime is put upon somebody's image.
func TestServiceOfAnImage(t *testing.T) {
	f := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec = v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{ImageReference: v1alpha1.ImageReference{
			Repository: "r.test/own", Tag: "1", Port: 9000, Command: []string{"/run"}, Args: []string{"-v"}, PullPolicy: corev1.PullAlways,
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "own"}}}}}}
		f.Spec.ServiceAccountName = "robot"
		f.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "all"}}
	})
	revision := MakeService(f, f.Spec.Source.Image.Reference(), nil, &config.Defaults{}).Spec.Template.Spec
	same(t, "revision", servingv1.RevisionSpec{
		ContainerConcurrency: ptr.Int64(0),
		PodSpec: corev1.PodSpec{
			ServiceAccountName: "robot",
			ImagePullSecrets:   []corev1.LocalObjectReference{{Name: "all"}, {Name: "own"}},
			Containers: []corev1.Container{{
				Image: "r.test/own:1", Command: []string{"/run"}, Args: []string{"-v"}, ImagePullPolicy: corev1.PullAlways,
				SecurityContext: v1alpha1.Restricted(nil),
				Ports:           []corev1.ContainerPort{{ContainerPort: 9000}},
				Env: []corev1.EnvVar{{Name: "LAMBDA_FUNCTION_NAME", Value: "greeter"}, {Name: "LAMBDA_FUNCTION_NAMESPACE", Value: "team"},
					{Name: "LAMBDA_EVENT_SOURCE", Value: "io.knative.lambda/function/team/greeter"}},
			}},
		},
	}, revision)
}

func TestWorkerEnvironment(t *testing.T) {
	for name, tt := range map[string]struct {
		language config.Language
		want     []corev1.EnvVar
	}{
		"frames":     {config.Language{Worker: []string{"ruby", "w.rb"}}, []corev1.EnvVar{{Name: "LAMBDA_WORKER_COMMAND", Value: `["ruby","w.rb"]`}}},
		"a protocol": {config.Language{Worker: []string{"./bootstrap"}, Protocol: config.ProtocolAWS}, []corev1.EnvVar{{Name: "LAMBDA_WORKER_COMMAND", Value: `["./bootstrap"]`}, {Name: "LAMBDA_WORKER_PROTOCOL", Value: "aws-lambda"}}},
		"no worker":  {config.Language{Compiled: true}, nil},
	} {
		same(t, name, tt.want, workerEnvironment(&tt.language))
	}
}
