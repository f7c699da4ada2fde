package config

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	logtesting "knative.dev/pkg/logging/testing"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{Data: data}
	cm.Name = name
	return cm
}

// TestStoreTellsChanges: a reconciler hears of what changed, by its name, and of
// nothing that is bad.
func TestStoreTellsChanges(t *testing.T) {
	var heard []string
	var last any
	store := NewStore(logtesting.TestLogger(t), func(name string, value any) {
		heard, last = append(heard, name), value
	})
	const ruby = "versions: {\"3\": {baseImage: base}}\nhandler: h\nfile: f\ntemplate: t\nworker: [w]\n"
	for _, step := range []struct {
		name string
		cm   *corev1.ConfigMap
		want []string
	}{
		{"one", configMap(DefaultsConfigName, map[string]string{"function-timeout": "42s"}), []string{DefaultsConfigName}},
		{"a bad one", configMap(DefaultsConfigName, map[string]string{"function-timeout": "forever"}), nil},
		{"one with a key of another version", configMap(EventingConfigName, map[string]string{"parallelism": "7", "of-tomorrow": "1"}), []string{EventingConfigName}},
		{"a bad one with such a key", configMap(EventingConfigName, map[string]string{"parallelism": "0", "of-tomorrow": "1"}), nil},
		{"another", configMap(RuntimesConfigName, map[string]string{"ruby": ruby}), []string{RuntimesConfigName}},
		{"the third", configMap(BuildConfigName, map[string]string{"registry": "r.test", "builder-image": "builder", "runtime-image": "runtime"}), []string{BuildConfigName}},
	} {
		heard, last = nil, nil
		store.OnConfigChanged(step.cm)
		if diff := cmp.Diff(step.want, heard); diff != "" {
			t.Errorf("%s (-want, +got): %s", step.name, diff)
		}
		if step.want != nil && last == nil {
			t.Errorf("%s: told without its value", step.name)
		}
	}
	cfg := store.Load()
	if cfg.Defaults.FunctionTimeout != 42*time.Second || cfg.Runtimes.Languages["ruby"] == nil || cfg.Build.Registry != "r.test" || cfg.Eventing.Parallelism != 7 {
		t.Errorf("Load() = %+v %+v %+v %+v", cfg.Defaults, cfg.Runtimes, cfg.Build, cfg.Eventing)
	}
}

func TestContexts(t *testing.T) {
	none := context.Background()
	if got := FromContext(none); got != nil {
		t.Errorf("FromContext() = %+v of none", got)
	}
	builtIn := FromContextOrDefaults(none)
	if builtIn.Build == nil || builtIn.Defaults == nil || builtIn.Runtimes != nil {
		t.Errorf("FromContextOrDefaults() = %+v of none, want all but Runtimes", builtIn)
	}
	cfg := &Config{}
	if got := FromContextOrDefaults(ToContext(none, cfg)); got != cfg {
		t.Errorf("FromContextOrDefaults() = %p, want what is there", got)
	}
	// Before the first ConfigMap is seen the store has what is built in.
	store := NewStore(logtesting.TestLogger(t))
	if diff := cmp.Diff(builtIn.Defaults, FromContext(store.ToContext(none)).Defaults); diff != "" {
		t.Error("defaults of an empty store (-want, +got):", diff)
	}
}
