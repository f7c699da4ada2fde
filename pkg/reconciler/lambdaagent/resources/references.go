package resources

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// The kinds that agents refer to.
const (
	KindSecret    = "Secret"
	KindConfigMap = "ConfigMap"
)

// Reference to a Secret or a ConfigMap in the agent's namespace.
type Reference struct {
	Kind, Name string
	// Key of it; empty where all of it is referred to.
	Key string
	// Field of the spec that refers to it.
	Field string
	// Optional ones may be missing.
	Optional bool
}

// References of the pods of a Service: exactly what Kubernetes will look up, so what
// env sets itself stands for nothing that it takes the place of. Volumes of ConfigMaps
// are the platform's own.
func References(a *v1alpha1.LambdaAgent, service *servingv1.Service) []Reference {
	fields := fieldsOf(a)
	var found []Reference
	add := func(kind, name, key string, optional *bool) {
		r := Reference{Kind: kind, Name: name, Key: key, Optional: optional != nil && *optional}
		r.Field = fields[r.place()]
		same := func(o Reference) bool { return o.place() == r.place() && o.Optional == r.Optional }
		if name != "" && !slices.ContainsFunc(found, same) {
			found = append(found, r)
		}
	}
	pod := &service.Spec.Template.Spec.PodSpec
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			for _, e := range containers[i].Env {
				switch from := e.ValueFrom; {
				case from == nil:
				case from.SecretKeyRef != nil:
					add(KindSecret, from.SecretKeyRef.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Optional)
				case from.ConfigMapKeyRef != nil:
					add(KindConfigMap, from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional)
				}
			}
			for _, from := range containers[i].EnvFrom {
				if s := from.SecretRef; s != nil {
					add(KindSecret, s.Name, "", s.Optional)
				}
				if c := from.ConfigMapRef; c != nil {
					add(KindConfigMap, c.Name, "", c.Optional)
				}
			}
		}
	}
	for _, v := range pod.Volumes {
		if s := v.Secret; s != nil {
			add(KindSecret, s.SecretName, "", s.Optional)
		}
	}
	slices.SortStableFunc(found, func(one, other Reference) int { return strings.Compare(one.place(), other.place()) })
	return found
}

// place is the same for references to the same.
func (r Reference) place() string { return r.Kind + "/" + r.Name + "/" + r.Key }

// String names what is referred to, and by what.
func (r Reference) String() string {
	what := fmt.Sprintf("%s %q", r.Kind, r.Name)
	if r.Key != "" {
		what = fmt.Sprintf("key %q of %s", r.Key, what)
	}
	if r.Field == "" {
		return what
	}
	return what + ", which " + r.Field + " names,"
}

// fieldsOf the spec that refer to anything, by its place.
func fieldsOf(a *v1alpha1.LambdaAgent) map[string]string {
	fields := map[string]string{}
	add := func(field, kind, name, key string) {
		fields[Reference{Kind: kind, Name: name, Key: key}.place()] = field
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
