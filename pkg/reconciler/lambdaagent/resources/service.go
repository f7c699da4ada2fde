package resources

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// MakeConfig makes the ConfigMap with the agent's configuration as a file.
func MakeConfig(a *v1alpha1.LambdaAgent) (*corev1.ConfigMap, error) {
	document, err := configDocument(a)
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{
		ObjectMeta: objectMeta(a, names.Config(a, build.Hash(document))),
		Immutable:  ptr.Bool(true),
		Data:       map[string]string{configFile: document},
	}, nil
}

// MakeService makes the agent's warm Knative Service; file names the
// ConfigMap of its configuration.
func MakeService(a *v1alpha1.LambdaAgent, file string, cfg *config.Defaults) *servingv1.Service {
	image := &a.Spec.Image
	service := &servingv1.Service{
		ObjectMeta: objectMeta(a, names.Service(a)),
		Spec: servingv1.ServiceSpec{ConfigurationSpec: servingv1.ConfigurationSpec{Template: servingv1.RevisionTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: Labels(a), Annotations: kservice.Annotations(scaling(a, cfg))},
			Spec: servingv1.RevisionSpec{
				PodSpec: corev1.PodSpec{
					ServiceAccountName: ServiceAccountName(a),
					ImagePullSecrets:   image.ImagePullSecrets,
					Volumes: []corev1.Volume{{Name: v1alpha1.AgentConfigVolume, VolumeSource: corev1.VolumeSource{
						ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: file}}}}},
					Containers: []corev1.Container{{
						Image:           image.Reference(),
						ImagePullPolicy: image.PullPolicy,
						Command:         image.Command,
						Args:            image.Args,
						Ports:           []corev1.ContainerPort{{ContainerPort: image.Port}},
						Env:             Environment(a),
						EnvFrom:         a.Spec.EnvFrom,
						Resources:       a.Spec.Resources,
						VolumeMounts:    []corev1.VolumeMount{{Name: v1alpha1.AgentConfigVolume, MountPath: v1alpha1.AgentConfigDir, ReadOnly: true}},
						SecurityContext: v1alpha1.Restricted(a.Spec.SecurityContext),
					}},
				},
				ContainerConcurrency: a.Spec.Scaling.ContainerLimit(),
			},
		}}},
	}
	revision := &service.Spec.Template.Spec
	kservice.ApplyPod(&revision.PodSpec, &a.Spec.PodSettings, Labels(a))
	kservice.Expose(service, &a.ObjectMeta, a.Spec.Visibility, cfg)
	if e := a.Spec.ActiveEventing(); e != nil && e.DeliveryTimeout != nil { // else Knative's own may be shorter
		revision.TimeoutSeconds = ptr.Int64(kservice.Seconds(e.DeliveryTimeout.Value()))
		revision.ResponseStartTimeoutSeconds = revision.TimeoutSeconds
	}
	if ServiceAccountName(a) == "" {
		revision.AutomountServiceAccountToken = ptr.Bool(false)
	}
	return service.DeepCopy() // nothing of the agent is shared
}
