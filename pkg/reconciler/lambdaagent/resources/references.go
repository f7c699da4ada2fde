package resources

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
)

// The kinds that agents refer to.
const (
	KindSecret    = references.KindSecret
	KindConfigMap = references.KindConfigMap
)

// Reference to a Secret or a ConfigMap in the agent's namespace.
type Reference = references.Reference

// References of the pods of a Service: exactly what Kubernetes will look up, so what
// env sets itself stands for nothing that it takes the place of. The volume with the
// configuration is the platform's own.
func References(a *v1alpha1.LambdaAgent, service *servingv1.Service) []Reference {
	return references.Of(&service.Spec.Template.Spec.PodSpec, fieldsOf(a), v1alpha1.AgentConfigVolume)
}

// fieldsOf the spec that refer to anything, by its place.
func fieldsOf(a *v1alpha1.LambdaAgent) map[string]string {
	fields := map[string]string{}
	add := func(field, kind, name, key string) {
		fields[Reference{Kind: kind, Name: name, Key: key}.Place()] = field
	}
	secret := func(field string, s *corev1.SecretKeySelector) {
		if s != nil {
			add(field, KindSecret, s.Name, s.Key)
		}
	}
	configMap := func(field string, c *corev1.ConfigMapKeySelector) {
		if c != nil {
			add(field, KindConfigMap, c.Name, c.Key)
		}
	}
	for i, from := range a.Spec.EnvFrom {
		if s := from.SecretRef; s != nil {
			add(fmt.Sprintf("spec.envFrom[%d].secretRef", i), KindSecret, s.Name, "")
		}
		if c := from.ConfigMapRef; c != nil {
			add(fmt.Sprintf("spec.envFrom[%d].configMapRef", i), KindConfigMap, c.Name, "")
		}
	}
	for i, e := range a.Spec.Env {
		if e.ValueFrom != nil {
			secret(fmt.Sprintf("spec.env[%d].valueFrom.secretKeyRef", i), e.ValueFrom.SecretKeyRef)
			configMap(fmt.Sprintf("spec.env[%d].valueFrom.configMapKeyRef", i), e.ValueFrom.ConfigMapKeyRef)
		}
	}
	if m := a.Spec.Memory; m != nil {
		if m.ShortTerm != nil {
			secret("spec.memory.shortTerm.redisSecretRef", m.ShortTerm.RedisSecretRef)
		}
		if m.LongTerm != nil {
			secret("spec.memory.longTerm.postgresSecretRef", m.LongTerm.PostgresSecretRef)
		}
	}
	for i := range a.Spec.AI.Fallbacks {
		secret(fmt.Sprintf("spec.ai.fallbacks[%d].apiKeySecretRef", i), a.Spec.AI.Fallbacks[i].APIKeySecretRef)
	}
	secret("spec.ai.apiKeySecretRef", a.Spec.AI.APIKeySecretRef)
	configMap("spec.ai.systemPromptFrom", a.Spec.AI.SystemPromptFrom)
	return fields
}
