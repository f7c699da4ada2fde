package resources

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestReferences: each field that may name a Secret or a ConfigMap does, once, and is
// named itself.
func TestReferences(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		want       []Reference
	}{
		{"none", "{}", nil},
		{"all", `
ai: {provider: openai, model: m, apiKeySecretRef: {name: keys, key: token}, systemPromptFrom: {name: prompts, key: bruno}}
memory: {enabled: true, shortTerm: {enabled: true, redisSecretRef: {name: redis, key: url}}, longTerm: {enabled: true, postgresSecretRef: {name: postgres, key: url}}}
env: [{name: A, valueFrom: {secretKeyRef: {name: own, key: a, optional: true}}}, {name: B, valueFrom: {configMapKeyRef: {name: own, key: b}}}]
envFrom: [{secretRef: {name: all}}, {configMapRef: {name: all, optional: true}}]`, []Reference{
			{Kind: KindConfigMap, Name: "all", Key: "", Field: "spec.envFrom[1].configMapRef", Optional: true},
			{Kind: KindConfigMap, Name: "own", Key: "b", Field: "spec.env[1].valueFrom.configMapKeyRef", Optional: false},
			{Kind: KindConfigMap, Name: "prompts", Key: "bruno", Field: "spec.ai.systemPromptFrom", Optional: false},
			{Kind: KindSecret, Name: "all", Key: "", Field: "spec.envFrom[0].secretRef", Optional: false},
			{Kind: KindSecret, Name: "keys", Key: "token", Field: "spec.ai.apiKeySecretRef", Optional: false},
			{Kind: KindSecret, Name: "own", Key: "a", Field: "spec.env[0].valueFrom.secretKeyRef", Optional: true},
			{Kind: KindSecret, Name: "postgres", Key: "url", Field: "spec.memory.longTerm.postgresSecretRef", Optional: false},
			{Kind: KindSecret, Name: "redis", Key: "url", Field: "spec.memory.shortTerm.redisSecretRef", Optional: false},
		}},
		{"keys of the model proxy", `
ai: {provider: anthropic, model: m, apiKeySecretRef: {name: keys, key: token}, fallbacks: [{provider: anthropic, model: smaller},
  {provider: openai, model: o, apiKeySecretRef: {name: spare, key: token, optional: true}}, {provider: google, model: p, apiKeySecretRef: {name: keys, key: google}}]}`, []Reference{
			{Kind: KindSecret, Name: "keys", Key: "google", Field: "spec.ai.fallbacks[2].apiKeySecretRef", Optional: false},
			{Kind: KindSecret, Name: "keys", Key: "token", Field: "spec.ai.apiKeySecretRef", Optional: false},
			{Kind: KindSecret, Name: "spare", Key: "token", Field: "spec.ai.fallbacks[1].apiKeySecretRef", Optional: true},
		}},
		{"a key without the model proxy", "ai: {provider: openai, model: m, proxy: disabled, apiKeySecretRef: {name: keys, key: token}}", []Reference{{Kind: KindSecret, Name: "keys", Key: "token", Field: "spec.ai.apiKeySecretRef", Optional: false}}},
		{"what env takes the place of is not looked up", `
ai: {provider: openai, model: m, apiKeySecretRef: {name: keys, key: token}}
memory: {enabled: true, shortTerm: {enabled: true, redisSecretRef: {name: redis, key: url}}}
env: [{name: REDIS_URL, value: 'redis://mine'}]`, []Reference{{Kind: KindSecret, Name: "keys", Key: "token", Field: "spec.ai.apiKeySecretRef", Optional: false}}},
		{"memory that is off", "memory: {shortTerm: {enabled: true, redisSecretRef: {name: redis, key: url}}}", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent()
			a.Spec = v1alpha1.LambdaAgentSpec{Image: a.Spec.Image}
			if err := yaml.UnmarshalStrict([]byte(tt.spec), &a.Spec); err != nil {
				t.Fatal(err)
			}
			service := MakeService(a, "config", defaults(t))
			if err := AddModelProxy(service, a, defaults(t)); err != nil {
				t.Fatal(err)
			}
			got := References(a, service)
			same(t, "references", tt.want, got)
		})
	}
}

func TestReferenceIsTold(t *testing.T) {
	for _, tt := range []struct {
		ref  Reference
		want string
	}{
		{Reference{Kind: KindSecret, Name: "keys", Key: "token", Field: "spec.ai.apiKeySecretRef"}, `key "token" of Secret "keys", which spec.ai.apiKeySecretRef names,`},
		{Reference{Kind: KindConfigMap, Name: "all", Field: "spec.envFrom[0].configMapRef"}, `ConfigMap "all", which spec.envFrom[0].configMapRef names,`},
		{Reference{Kind: KindSecret, Name: "keys"}, `Secret "keys"`},
	} {
		if got := tt.ref.String(); got != tt.want {
			t.Errorf("String() = %s, want %s", got, tt.want)
		}
	}
}
