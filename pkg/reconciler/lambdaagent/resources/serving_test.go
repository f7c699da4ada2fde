package resources

import (
	"testing"

	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// defaults that are built in.
func defaults(t *testing.T) *config.Defaults {
	d := config.FromContextOrDefaults(t.Context()).Defaults
	d.ModelProxyImage = "r.test/modelproxy"
	return d
}

// TestServingTakesTheService: what admission lets pass, Knative Serving's own does.
func TestServingTakesTheService(t *testing.T) {
	const image = "image: {repository: r.test/own}\n"
	for name, spec := range map[string]string{
		"the least":       image,
		"a hosted model":  image + "ai: {provider: openai, model: m, apiKeySecretRef: {name: keys, key: token}, systemPromptFrom: {name: prompts, key: bruno}}",
		"a model at home": image + "ai: {provider: ollama, model: m, endpoint: 'http://ollama', temperature: '0.7', apiKeySecretRef: {name: keys, key: token}, systemPrompt: 'It costs $(MUCH)'}",
		"no model":        image + "ai: {provider: none, apiKeySecretRef: {name: keys, key: token}}",
		"all of a pod":    image + "env: [{name: K_SINK, value: 'http://sink'}, {name: LLM_MODEL, value: m}]\nenvFrom: [{secretRef: {name: s}}]\nserviceAccountName: robot\nresources: {limits: {cpu: 1}}",
		"all bounds":      image + "scaling: {minReplicas: 0, maxReplicas: 1, metric: memory, target: 100, window: 1h, scaleToZeroGracePeriod: 0s, scaleDownDelay: 1h}",
		"a CPU's bound":   image + "scaling: {minReplicas: 0, metric: cpu, target: 80}",
		"to zero":         image + "scaling: {minReplicas: 0, metric: rps}",
		"memory":          image + "memory: {enabled: true, schema: s, shortTerm: {enabled: true, redisSecretRef: {name: r, key: url}, ttlSeconds: 1}, longTerm: {enabled: true, postgresSecretRef: {name: p, key: url}}, userMemory: {enabled: true}}",
	} {
		t.Run(name, func(t *testing.T) {
			a := agent()
			a.Spec = v1alpha1.LambdaAgentSpec{}
			if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
				t.Fatal(err)
			}
			a.Spec = a.EffectiveSpec(config.FromContextOrDefaults(t.Context()))
			if err := a.Validate(t.Context()); err != nil {
				t.Fatal("admission refuses the agent:", err)
			}
			service := MakeService(a, "bruno-agent-01234567", defaults(t))
			if err := AddModelProxy(service, a, defaults(t)); err != nil {
				t.Fatal(err)
			}
			ctx := apis.WithinCreate(t.Context())
			service.SetDefaults(ctx)
			if err := service.Validate(ctx).Filter(apis.ErrorLevel); err != nil {
				t.Error("Knative Serving refuses the Service:", err)
			}
		})
	}
}

// TestPorts: admission refuses the ports that Knative Serving keeps for itself, and
// no others.
func TestPorts(t *testing.T) {
	for port := int32(8000); port <= 9100; port++ {
		a := agent()
		a.Spec.Image.Port = port
		service, ctx := MakeService(a, "bruno-agent-01234567", defaults(t)), apis.WithinCreate(t.Context())
		service.SetDefaults(ctx)
		ours, serving := a.Validate(t.Context()), service.Validate(ctx).Filter(apis.ErrorLevel)
		if (ours == nil) != (serving == nil) {
			t.Errorf("port %d: admission says %v, Knative Serving %v", port, ours, serving)
		}
	}
}
