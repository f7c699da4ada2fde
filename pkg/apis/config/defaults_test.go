package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestDefaultsExampleShowsTheDefaults(t *testing.T) {
	_, example := shipped(t, DefaultsConfigName)
	got, err := NewDefaultsFromConfigMap(example)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultDefaults()
	// There are none without the keys.
	want.FunctionResources, want.AgentResources = got.FunctionResources, got.AgentResources
	want.ModelProxyImage, want.ModelProxyResources = got.ModelProxyImage, got.ModelProxyResources
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the example of config-defaults shows other values than the defaults (-want, +got):", diff)
	}
}

func TestDefaults(t *testing.T) {
	got, err := NewDefaultsFromConfigMap(&corev1.ConfigMap{Data: map[string]string{
		"function-timeout": " 2m ", "max-function-timeout": "2m", "max-build-timeout": "24h",
		"function-max-replicas": "10000", "agent-min-replicas": "0", "agent-max-replicas": "3",
		"function-resources": "limits: {cpu: 1}", "agent-resources": "requests: {memory: 1Gi}",
		"agent-target-concurrency": "0", "agent-window": "1h", "agent-scale-down-delay": "0", "agent-scale-to-zero-retention": "1s",
		"model-probe-interval": "0s", "model-probe-timeout": "1m",
		"default-visibility": "cluster-local", "excluded-label-prefixes": "a.test/, b", "excluded-annotation-prefixes": "c.test/",
		"model-proxy-image": "r.test/modelproxy", "model-proxy-resources": "requests: {cpu: 5m}",
	}})
	want := &Defaults{
		FunctionTimeout: 2 * time.Minute, MaxFunctionTimeout: 2 * time.Minute, MaxBuildTimeout: 24 * time.Hour,
		FunctionMaxReplicas: 10000, AgentMinReplicas: 0, AgentMaxReplicas: 3,
		FunctionResources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}},
		AgentResources:    corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}},
		AgentScaling:      AgentScaling{Window: time.Hour, ScaleToZeroRetention: time.Second},
		ModelProbe:        ModelProbe{Timeout: time.Minute},
		Visibility:        VisibilityClusterLocal, ExcludedLabelPrefixes: []string{"a.test/", "b"}, ExcludedAnnotationPrefixes: []string{"c.test/"},
		ModelProxyImage:     "r.test/modelproxy",
		ModelProxyResources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m")}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error = %v (-want, +got): %s", err, diff)
	}
}

func TestDefaultsErrors(t *testing.T) {
	for _, tt := range []struct{ name, key, value, want string }{
		{"unknown key", "function-timeouts", "1m", "config-defaults: function-timeouts: unknown key; known are agent-max-replicas, agent-min-replicas, agent-resources, " +
			"agent-scale-down-delay, agent-scale-to-zero-retention, agent-target-concurrency, agent-window, default-visibility, excluded-annotation-prefixes, excluded-label-prefixes, " +
			"function-max-replicas, function-resources, function-timeout, max-build-timeout, max-function-timeout, model-probe-interval, model-probe-timeout, model-proxy-image, model-proxy-resources"},
		{"no duration", "function-timeout", "never", `config-defaults: function-timeout: expected a duration from 1s to 24h0m0s such as 90s or 5m, got "never"`},
		{"too long", "max-build-timeout", "25h", `config-defaults: max-build-timeout: expected a duration from 1s to 24h0m0s such as 90s or 5m, got "25h"`},
		{"more than functions may ask for", "function-timeout", "10m", "config-defaults: function-timeout: expected no more than max-function-timeout (9m55s), got 10m0s"},
		{"less than functions get", "max-function-timeout", "4m", "config-defaults: function-timeout: expected no more than max-function-timeout (4m0s), got 4m55s"},
		{"window shorter than the autoscaler's", "agent-window", "5s", `config-defaults: agent-window: expected a duration from 6s to 1h0m0s such as 90s or 5m, got "5s"`},
		{"part of a second", "agent-scale-down-delay", "1500ms", "config-defaults: agent-scale-down-delay: expected whole seconds, got 1.5s"},
		{"probes without a pause", "model-probe-interval", "10ms", `config-defaults: model-probe-interval: expected a duration from 1s to 24h0m0s such as 90s or 5m, got "10ms"`},
		{"unknown visibility", "default-visibility", "private", `config-defaults: default-visibility: expected external or cluster-local, got "private"`},
		{"prefix of no key", "excluded-label-prefixes", "a.test/,*", `config-defaults: excluded-label-prefixes: expected the beginning of a key such as example.com/, got "*"`},
		{"no number", "function-max-replicas", "many", `config-defaults: function-max-replicas: expected a whole number from 0 to 10000, got "many"`},
		{"negative", "agent-min-replicas", "-1", `config-defaults: agent-min-replicas: expected a whole number from 0 to 10000, got "-1"`},
		{"too many", "agent-max-replicas", "10001", `config-defaults: agent-max-replicas: expected a whole number from 0 to 10000, got "10001"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDefaultsFromConfigMap(&corev1.ConfigMap{Data: map[string]string{tt.key: tt.value}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("error = %v, want %s", err, tt.want)
			}
		})
	}
}
