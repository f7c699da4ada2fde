package resources

import (
	"testing"

	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestServingTakesTheService: what admission lets pass, Knative Serving's own does.
func TestServingTakesTheService(t *testing.T) {
	const python = "source: {inline: {code: x}}\nruntime: {language: python}\n"
	for name, spec := range map[string]string{
		"the least":     python,
		"all bounds":    python + "scaling: {minReplicas: 1, maxReplicas: 10000, targetConcurrency: 1, concurrency: 1000, window: 6s, scaleToZeroGracePeriod: 1h, initialScale: 1}",
		"the longest":   "source: {inline: {code: x}}\nruntime: {language: python, timeout: 9m}",
		"all of HTTP":   python + "http: {maxBodySize: 1Gi, fullDuplex: true, cors: {allowOrigins: ['*']}}",
		"all of a pod":  python + "env: [{name: a.b-c, value: ''}]\nenvFrom: [{configMapRef: {name: c}, prefix: P_}]\nserviceAccountName: robot\nimagePullSecrets: [{name: s}]\nresources: {limits: {cpu: 1, memory: 1Gi}}",
		"all volumes":   python + "volumes: [{name: a, configMap: {name: c}}, {name: b, secret: {secretName: s}}, {name: c, projected: {sources: [{secret: {name: s}}]}}]\nvolumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b, readOnly: true}, {name: c, mountPath: /c}]",
		"all it tells":  python + "observability: {tracing: {enabled: true, samplingRate: 0.5, endpoint: 'http://otel'}, metrics: {enabled: false}, logging: {level: debug, format: text}}",
		"an image":      "source: {image: {repository: r.test/own, port: 65535, command: [/run], args: [-v], pullPolicy: Always, imagePullSecrets: [{name: s}]}}",
		"another image": "source: {image: {repository: r.test/own}}\nruntime: {language: Ada-95}",
	} {
		t.Run(name, func(t *testing.T) {
			f := function()
			f.Spec = v1alpha1.LambdaFunctionSpec{}
			if err := yaml.UnmarshalStrict([]byte(spec), &f.Spec); err != nil {
				t.Fatal(err)
			}
			f.Spec = f.EffectiveSpec(config.FromContextOrDefaults(t.Context()))
			if err := f.Validate(t.Context()); err != nil {
				t.Fatal("admission refuses the function:", err)
			}
			image, language := "r.test/own@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", wanted().Language
			if f.Spec.Source.Image != nil {
				image, language = f.Spec.Source.Image.Reference(), nil
			}
			service := MakeService(f, image, language, config.FromContextOrDefaults(t.Context()).Defaults)
			ctx := apis.WithinCreate(t.Context())
			service.SetDefaults(ctx)
			if err := service.Validate(ctx).Filter(apis.ErrorLevel); err != nil {
				t.Error("Knative Serving refuses the Service:", err)
			}
		})
	}
}
