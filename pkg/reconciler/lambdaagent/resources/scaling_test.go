package resources

import (
	"maps"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestScaling: what suits conversations is there only where the spec says nothing.
func TestScaling(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		defaults   *config.Defaults
		want       map[string]string
	}{
		{"nothing said", "{minReplicas: 1}", nil, map[string]string{"min-scale": "1", "metric": "concurrency", "target": "10", "window": "3m0s", "scale-down-delay": "5m0s"}},
		{"may scale to zero", "{minReplicas: 0}", nil, map[string]string{"min-scale": "0", "metric": "concurrency", "target": "10", "window": "3m0s", "scale-down-delay": "5m0s", "scale-to-zero-pod-retention-period": "10m0s"}},
		{"all said", "{minReplicas: 0, targetConcurrency: 3, window: 6s, scaleDownDelay: 0s, scaleToZeroGracePeriod: 0s}", nil,
			map[string]string{"min-scale": "0", "metric": "concurrency", "target": "3", "window": "6s", "scale-down-delay": "0s", "scale-to-zero-pod-retention-period": "0s"}},
		{"a target of the metric by its other name", "{target: 4}", nil, map[string]string{"target": "4", "window": "3m0s", "scale-down-delay": "5m0s"}},
		{"another metric", "{metric: rps}", nil, map[string]string{"metric": "rps", "window": "3m0s", "scale-down-delay": "5m0s"}},
		{"a metric of Kubernetes' autoscaler", "{minReplicas: 1, metric: cpu}", nil, map[string]string{"min-scale": "1", "metric": "cpu", "class": "hpa.autoscaling.knative.dev"}},
		{"an administrator who leaves it to Knative Serving", "{minReplicas: 0}", &config.Defaults{}, map[string]string{"min-scale": "0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent()
			if err := yaml.UnmarshalStrict([]byte(tt.spec), &a.Spec.Scaling); err != nil {
				t.Fatal(err)
			}
			before := a.DeepCopy()
			if tt.defaults == nil {
				tt.defaults = defaults(t)
			}
			got := map[string]string{}
			for key, value := range maps.All(MakeService(a, "config", tt.defaults).Spec.Template.Annotations) {
				got[strings.TrimPrefix(key, "autoscaling.knative.dev/")] = value
			}
			same(t, "annotations", tt.want, got)
			same(t, "agent", before, a)
		})
	}
}

func TestMemory(t *testing.T) {
	const all = `{enabled: true, schema: s, shortTerm: {enabled: true, backend: redis, redisSecretRef: {name: r, key: url}, ttlSeconds: 3600},
  longTerm: {enabled: true, backend: postgres, postgresSecretRef: {name: p, key: url}}, workingMemory: {enabled: true}, userMemory: {},
  defaultConstraints: [{description: be kind, hard: true}]}`
	for _, tt := range []struct {
		name, spec string
		env        string
		want       string
	}{
		{"all of it", all, "", `MEMORY_ENABLED=true MEMORY_SCHEMA=s REDIS_URL=r/url MEMORY_SHORT_TERM_BACKEND=redis MEMORY_SHORT_TERM_TTL_SECONDS=3600
 DATABASE_URL=p/url POSTGRES_URL=p/url MEMORY_LONG_TERM_BACKEND=postgres MEMORY_WORKING_ENABLED=true MEMORY_USER_ENABLED=false`},
		{"off", strings.Replace(all, "enabled: true", "enabled: false", 1), "", ""},
		{"parts that are off", "{enabled: true, shortTerm: {redisSecretRef: {name: r, key: url}}, longTerm: {postgresSecretRef: {name: p, key: url}}}", "", "MEMORY_ENABLED=true"},
		{"what is kept", "{enabled: true, workingMemory: {enabled: true, trackDecisions: true, trackProgress: false}, userMemory: {enabled: true, storeFacts: true, storePreferences: true}}", "",
			`MEMORY_ENABLED=true MEMORY_WORKING_ENABLED=true MEMORY_WORKING_TRACK_DECISIONS=true MEMORY_WORKING_TRACK_PROGRESS=false
 MEMORY_USER_ENABLED=true MEMORY_USER_STORE_FACTS=true MEMORY_USER_STORE_PREFERENCES=true`},
		{"what is kept of parts that are off", "{enabled: true, workingMemory: {trackDecisions: true}, userMemory: {storeFacts: true}}", "",
			"MEMORY_ENABLED=true MEMORY_WORKING_ENABLED=false MEMORY_USER_ENABLED=false"},
		{"env wins", "{enabled: true, shortTerm: {enabled: true, redisSecretRef: {name: r, key: url}}}", "REDIS_URL", "MEMORY_ENABLED=true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent()
			a.Spec.Memory = &v1alpha1.MemorySpec{}
			if err := yaml.UnmarshalStrict([]byte(tt.spec), a.Spec.Memory); err != nil {
				t.Fatal(err)
			}
			if tt.env != "" {
				a.Spec.Env = append(a.Spec.Env, variable(tt.env, "mine"))
			}
			var got []string
			for _, e := range Environment(a) {
				switch {
				case e.Value == "mine" || strings.HasPrefix(e.Name, "LAMBDA_") || strings.HasPrefix(e.Name, "LLM_"):
				case e.ValueFrom != nil:
					got = append(got, e.Name+"="+e.ValueFrom.SecretKeyRef.Name+"/"+e.ValueFrom.SecretKeyRef.Key)
				default:
					got = append(got, e.Name+"="+e.Value)
				}
			}
			same(t, "environment", strings.Join(strings.Fields(tt.want), " "), strings.Join(got, " "))
			config, err := MakeConfig(a)
			if err != nil {
				t.Fatal(err)
			}
			var file struct{ Memory *v1alpha1.MemorySpec }
			if err := yaml.Unmarshal([]byte(config.Data["agent.json"]), &file); err != nil {
				t.Fatal(err)
			}
			same(t, "memory in the file", a.Spec.Memory, file.Memory)
		})
	}
}
