package resources

import (
	"encoding/json"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"
	servingconfig "knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
	runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// timeoutGrace is how much later than the runtime Knative Serving gives up a
// request, so that the runtime's own answer still gets out.
const timeoutGrace = 5

// taskRoot is where function images have the code.
const taskRoot = "/lambda/function"

// MakeService makes the Knative Service that runs an image. language is nil
// where the source is an image.
func MakeService(f *v1alpha1.LambdaFunction, image string, language *config.Language, cfg *config.Defaults) *servingv1.Service {
	spec := &f.Spec
	container := corev1.Container{
		Image:           image,
		Env:             environment(f, language),
		EnvFrom:         spec.EnvFrom,
		Resources:       spec.Resources,
		Ports:           []corev1.ContainerPort{{ContainerPort: v1alpha1.DefaultPort}},
		SecurityContext: v1alpha1.Restricted(spec.SecurityContext),
	}
	pullSecrets := spec.ImagePullSecrets
	if source := spec.Source.Image; source != nil {
		container.Command, container.Args, container.ImagePullPolicy = source.Command, source.Args, source.PullPolicy
		container.Ports[0].ContainerPort = source.Port
		pullSecrets = append(pullSecrets[:len(pullSecrets):len(pullSecrets)], source.ImagePullSecrets...)
	} else if spec.Build.Dockerfile == "" { // what listens in the image of a user's own Dockerfile is the user's
		// Not a TCP probe: the runtime listens before the handler is loaded.
		container.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: runtimeconfig.ReadyPath}}}
	}
	service := &servingv1.Service{
		ObjectMeta: objectMeta(f, names.Service(f)),
		Spec: servingv1.ServiceSpec{RouteSpec: servingv1.RouteSpec{Traffic: traffic(f)}, ConfigurationSpec: servingv1.ConfigurationSpec{Template: servingv1.RevisionTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: Labels(f), Annotations: kservice.Annotations(&spec.Scaling)},
			Spec: servingv1.RevisionSpec{
				PodSpec: corev1.PodSpec{
					Containers:         []corev1.Container{container},
					ServiceAccountName: spec.ServiceAccountName,
					ImagePullSecrets:   pullSecrets,
				},
				ContainerConcurrency: spec.Scaling.ContainerLimit(),
			},
		}}},
	}
	revision := &service.Spec.Template.Spec
	kservice.ApplyPod(&revision.PodSpec, &spec.PodSettings, Labels(f))
	kservice.Expose(service, &f.ObjectMeta, spec.Visibility, cfg)
	if spec.ServiceAccountName == "" {
		revision.AutomountServiceAccountToken = ptr.Bool(false)
	}
	if t := spec.Runtime.Timeout; t != nil {
		revision.TimeoutSeconds = ptr.Int64(kservice.Seconds(t.Value()) + timeoutGrace)
		revision.ResponseStartTimeoutSeconds = revision.TimeoutSeconds // else Knative Serving's default may be shorter
	}
	if spec.HTTP != nil && spec.HTTP.FullDuplex {
		service.Spec.Template.Annotations[servingconfig.AllowHTTPFullDuplexFeatureKey] = string(servingconfig.Enabled)
	}
	return service.DeepCopy() // nothing of the function is shared
}

// environment of the function's container: the platform's, then the user's.
func environment(f *v1alpha1.LambdaFunction, language *config.Language) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: "LAMBDA_FUNCTION_NAME", Value: f.Name},
		{Name: "LAMBDA_FUNCTION_NAMESPACE", Value: f.Namespace},
		{Name: "LAMBDA_EVENT_SOURCE", Value: events.Source("function", f.Namespace, f.Name)},
	}
	if language != nil {
		env = append(env,
			corev1.EnvVar{Name: "LAMBDA_HANDLER", Value: f.Spec.Runtime.Handler},
			corev1.EnvVar{Name: "LAMBDA_TASK_ROOT", Value: taskRoot},
		)
		env = append(env, workerEnvironment(language)...)
		env = append(env, callEnvironment(&f.Spec)...)
		env = append(env, runtimeObservability(f.Spec.Observability)...)
	}
	env = append(env, kservice.Observability(f.Spec.Observability, f.Name)...)
	return append(env, f.Spec.Env...)
}

// workerEnvironment tells the runtime which worker to start and how to talk with
// it. Functions that are programs themselves have none.
func workerEnvironment(language *config.Language) (env []corev1.EnvVar) {
	if len(language.Worker) > 0 {
		command, err := json.Marshal(language.Worker)
		if err != nil {
			panic(err) // strings only
		}
		env = append(env, corev1.EnvVar{Name: "LAMBDA_WORKER_COMMAND", Value: string(command)})
	}
	if language.Protocol != "" {
		env = append(env, corev1.EnvVar{Name: "LAMBDA_WORKER_PROTOCOL", Value: language.Protocol})
	}
	return env
}

func runtimeObservability(o *v1alpha1.ObservabilitySpec) (env []corev1.EnvVar) {
	if o == nil {
		return nil
	}
	if l := o.Logging; l != nil {
		if l.Level != "" {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_LOG_LEVEL", Value: l.Level})
		}
		if l.Format != "" {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_LOG_FORMAT", Value: l.Format})
		}
		if l.TraceContext != nil {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_LOG_TRACE_CONTEXT", Value: strconv.FormatBool(*l.TraceContext)})
		}
	}
	if m := o.Metrics; m != nil && m.Enabled != nil && !*m.Enabled {
		env = append(env, corev1.EnvVar{Name: "LAMBDA_METRICS_PORT", Value: "0"})
	}
	if m := o.Metrics; m != nil && m.Exemplars {
		env = append(env, corev1.EnvVar{Name: "LAMBDA_METRICS_EXEMPLARS", Value: "true"})
	}
	return env
}
