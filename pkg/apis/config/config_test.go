package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	logtesting "knative.dev/pkg/logging/testing"
	"sigs.k8s.io/yaml"
)

// shipped returns the ConfigMap of config/core with ko's references resolved.
func shipped(t *testing.T, name string) (actual, example *corev1.ConfigMap) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../config/core/configmaps", strings.TrimPrefix(name, "config-")+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	actual = &corev1.ConfigMap{}
	if err := yaml.UnmarshalStrict(text, actual); err != nil {
		t.Fatal(err)
	}
	if actual.Name != name {
		t.Errorf("metadata.name = %q, want %q", actual.Name, name)
	}
	example = &corev1.ConfigMap{}
	if err := yaml.UnmarshalStrict([]byte(actual.Data["_example"]), &example.Data); err != nil {
		t.Fatal("_example:", err)
	}
	return actual, example
}

func TestShippedConfigMapsParse(t *testing.T) {
	for name, constructor := range Constructors {
		t.Run(name, func(t *testing.T) {
			actual, example := shipped(t, name)
			if err := parseAny(constructor, actual); err != nil {
				t.Error("data:", err)
			}
			if err := parseAny(constructor, example); err != nil {
				t.Error("_example:", err)
			}
		})
	}
}

func parseAny(constructor any, cm *corev1.ConfigMap) (err error) {
	switch f := constructor.(type) {
	case func(*corev1.ConfigMap) (*Build, error):
		_, err = f(cm)
	case func(*corev1.ConfigMap) (*Runtimes, error):
		_, err = f(cm)
	case func(*corev1.ConfigMap) (*Events, error):
		_, err = f(cm)
	case func(*corev1.ConfigMap) (*Defaults, error):
		_, err = f(cm)
	case func(*corev1.ConfigMap) (*Eventing, error):
		_, err = f(cm)
	default:
		err = fmt.Errorf("unknown constructor %T", constructor)
	}
	return err
}

func TestBuildExampleShowsTheDefaults(t *testing.T) {
	_, example := shipped(t, BuildConfigName)
	got, err := NewBuildFromConfigMap(example)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultBuild()
	if got.Timeout != want.Timeout || got.Cache != want.Cache || got.CacheTTL != want.CacheTTL ||
		got.MaxParallel != want.MaxParallel || got.MaxParallelPerNamespace != want.MaxParallelPerNamespace ||
		got.MaxAttempts != want.MaxAttempts || got.RetryDelay != want.RetryDelay ||
		got.ExecutorImage != want.ExecutorImage || got.FailedBuildTTL != want.FailedBuildTTL ||
		got.SourcePollInterval != want.SourcePollInterval {
		t.Errorf("the example of config-build shows other values than the defaults: %+v, want %+v", got, want)
	}
	repository, err := got.Repository(RepositoryData{Namespace: "team", Name: "f", Language: "python"})
	if err != nil || repository != "team/python" {
		t.Errorf("Repository() = %q, %v; want team/python", repository, err)
	}
}

func TestBuildErrors(t *testing.T) {
	ok := map[string]string{"registry": "r.example.com:5000", "builder-image": "builder", "runtime-image": "runtime"}
	for _, tt := range []struct{ name, key, value, want string }{
		{"unknown key", "registri", "x", "config-build: registri: unknown key; known are "},
		{"bad registry", "registry", "a/b", `config-build: registry: expected a registry as host or host:port, got "a/b"`},
		{"missing registry", "registry", "", "config-build: registry: missing"},
		{"bad duration", "timeout", "soon", `config-build: timeout: expected a duration from 1s to 24h0m0s such as 90s or 5m, got "soon"`},
		{"too many", "max-parallel-builds", "0", `config-build: max-parallel-builds: expected a whole number from 1 to 1000, got "0"`},
		{"bad bool", "cache", "maybe", `config-build: cache: expected true or false, got "maybe"`},
		{"bad template", "repository-template", "{{.Nope}}", "config-build: repository-template: expected a Go template of .Namespace, .Name and .Language"},
		{"bad repository", "repository-template", "UPPER", "config-build: repository-template: expected a repository path"},
		{"bad resources", "resources", "cpu: 1", "config-build: resources: expected YAML of the form in _example"},
		{"bad image", "executor-image", "no image!", "config-build: executor-image: expected an image reference"},
		{"bad insecure", "insecure-registries", "ok:5000, not/ok", "config-build: insecure-registries: expected a registry"},
		{"alias of nothing", "registry-aliases", "localhost:5001", `config-build: registry-aliases: expected NAME=REGISTRY such as localhost:5001=registry.example.com, got "localhost:5001"`},
		{"alias of two", "registry-aliases", "a=b=c", `config-build: registry-aliases: expected NAME=REGISTRY`},
		{"alias with a path", "registry-aliases", "a:5000=b/c", `config-build: registry-aliases: "a:5000=b/c": expected a registry as host or host:port, got "b/c"`},
		{"alias twice", "registry-aliases", "a:5000=b.test, A:5000=c.test", `config-build: registry-aliases: "A:5000=c.test": a:5000 is already an alias of b.test`},
		{"alias of an alias", "registry-aliases", "a:5000=b:5000, b:5000=c.test", "config-build: registry-aliases: a:5000=b:5000: expected a registry that is not an alias itself"},
		{"alias for the registry", "registry-aliases", "R.example.com:5000=c.test", "config-build: registry-aliases: r.example.com:5000=c.test: r.example.com:5000 is the registry of this configuration and cannot be an alias"},
		{"bad endpoint", "minio-endpoint", "ftp://minio", "config-build: minio-endpoint: expected http://, https:// or host:port"},
		{"endpoint with a path", "minio-endpoint", "http://minio/bucket", "config-build: minio-endpoint: expected a URL or host:port without a path"},
		{"denied network with host bits", "egress-denied-networks", "203.0.113.9/24", "config-build: egress-denied-networks: expected networks such as 10.0.0.0/8 or fd00::/8, got \"203.0.113.9/24\""},
		{"endpoint with user info", "minio-endpoint", "http://user:word@minio", "config-build: minio-endpoint: expected a URL or host:port without a path"},
		{"bad network", "source-allowed-networks", "10.0.0.0/8, minio", `config-build: source-allowed-networks: expected networks such as 10.0.0.0/8 or fd00::/8, got "minio"`},
		{"address for a network", "source-allowed-networks", "10.0.0.1/8", "config-build: source-allowed-networks: expected networks"},
		{"bad interval", "source-poll-interval", "1s", "config-build: source-poll-interval: expected a duration from 5s"},
		{"bad queue", "kueue-queue", "Team.Queue", "config-build: kueue-queue: expected the name of a LocalQueue"},
		{"bad secret", "push-secret", "No_Secret", "config-build: push-secret: expected the name of a Secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := map[string]string{}
			for k, v := range ok {
				data[k] = v
			}
			data[tt.key] = tt.value
			_, err := NewBuildFromConfigMap(&corev1.ConfigMap{Data: data})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestRuntimesErrors(t *testing.T) {
	const good = "versions: {\"1\": {baseImage: base}}\nhandler: h\nfile: f\ntemplate: t\nworker: [w]\n"
	for _, tt := range []struct{ name, key, value, want string }{
		{"good", "ruby", good, ""},
		{"bad name", "Ruby", good, "config-runtimes: Ruby: expected the name of a language"},
		{"unknown field", "ruby", good + "colour: red\n", `unknown field "colour"`},
		{"no versions", "ruby", "handler: h", "config-runtimes: ruby: versions: missing"},
		{"no image", "ruby", strings.Replace(good, "baseImage: base", "", 1), "config-runtimes: ruby: versions[1].baseImage: missing"},
		{"template and dockerfile", "ruby", good + "dockerfile: FROM x\n", "expected exactly one of template, dockerfile"},
		{"path", "ruby", strings.Replace(good, "file: f", "file: ../f", 1), "file: expected the name of a file such as main.py"},
		{"no worker", "ruby", strings.Replace(good, "worker: [w]", "", 1), "worker: missing"},
		{"compiled without worker", "ruby", strings.Replace(good, "worker: [w]", "compiled: true", 1), ""},
		{"protocol", "ruby", good + "protocol: smoke\n", `protocol: expected one of frames, frames-2, aws-lambda, got "smoke"`},
		{"name of a build argument", "ruby", good + "env: {\"1 2\": x}\n", `env: expected names of environment variables, got "1 2"`},
		{"run image", "ruby", strings.Replace(good, "baseImage: base", "baseImage: base, runImage: B:A:D", 1), "config-runtimes: ruby: versions[1].runImage: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewRuntimesFromConfigMap(&corev1.ConfigMap{Data: map[string]string{tt.key: tt.value}})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestLanguageVersions(t *testing.T) {
	r := &Runtimes{Languages: map[string]*Language{"python": {Versions: map[string]Version{"3.9": {}, "3.11": {}, "3.10": {}}}}}
	if got, want := r.Languages["python"].VersionNames(), []string{"3.9", "3.10", "3.11"}; !cmp.Equal(got, want) {
		t.Errorf("VersionNames() = %v, want %v", got, want)
	}
	if _, v, err := r.Language("python", ""); err != nil || v != "3.11" {
		t.Errorf("newest = %q, %v; want 3.11", v, err)
	}
	_, _, err := r.Language("python", "2.7")
	if want := `version "2.7" is not one of 3.9, 3.10, 3.11`; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	_, _, err = r.Language("cobol", "")
	if want := `language "cobol" is not one of python`; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestStoreKeepsTheLastGoodOne(t *testing.T) {
	store := NewStore(logtesting.TestLogger(t))
	good := &corev1.ConfigMap{}
	good.Name = DefaultsConfigName
	good.Data = map[string]string{"function-timeout": "42s"}
	store.OnConfigChanged(good)
	bad := good.DeepCopy()
	bad.Data["function-timeout"] = "forever"
	store.OnConfigChanged(bad)
	if got := store.Load().Defaults.FunctionTimeout; got != 42*time.Second {
		t.Errorf("FunctionTimeout = %v, want the last good 42s", got)
	}
	if got := FromContext(store.ToContext(t.Context())).Defaults.FunctionTimeout; got != 42*time.Second {
		t.Errorf("FunctionTimeout on the context = %v, want 42s", got)
	}
}
