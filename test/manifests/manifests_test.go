package manifests

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// folders that kustomize builds, with the node ports that each may use.
var folders = map[string]struct{ first, last int64 }{
	"config/base":                 {},
	"config/overlays/pro":         {31000, 31999},
	"config/overlays/pro/samples": {},
	"config/overlays/studio":      {32000, 32999},
	"config/flux/pro":             {},
	"config/flux/studio":          {},
	"config/k6":                   {},
	"config/monitoring":           {},
}

// build is what kustomize makes of a folder.
func build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), filepath.Join(root, folder))
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range resources.Resources() {
		text, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(text); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	return objects
}

// find is the object of the kind and name.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// field of an object, nil where it has none.
func field(t *testing.T, o *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, _, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSchemas(t *testing.T) {
	schemas, err := LoadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for folder := range folders {
		objects := build(t, folder)
		if len(objects) == 0 {
			t.Errorf("%s makes nothing", folder)
		}
		for _, o := range objects {
			if err := schemas.Check(o); err != nil {
				t.Errorf("%s: %s %s: %v", folder, o.GetKind(), o.GetName(), err)
			}
		}
	}
}

// TestSchemasRefuse changes one field of what is valid.
func TestSchemasRefuse(t *testing.T) {
	schemas, err := LoadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		folder, kind, name string
		path               []string
		value              any
		want               string
	}{
		{"config/overlays/studio", "Canary", "knative-lambda-receiver", []string{"spec", "analysis", "stepWeight"}, "five", "stepWeight"},
		{"config/overlays/studio", "Canary", "knative-lambda-receiver", []string{"spec", "analysis", "stepWeigth"}, int64(5), "stepWeigth"},
		{"config/overlays/studio", "Canary", "knative-lambda-receiver", []string{"spec", "analysis", "interval"}, "two minutes", "interval"},
		{"config/overlays/studio", "MetricTemplate", "knative-lambda-success-rate", []string{"spec", "provider", "type"}, "abacus", "type"},
		{"config/overlays/studio", "HTTPRoute", "knative-lambda-receiver-ab-test", []string{"spec", "parentRefs"}, "receiver", "parentRefs"},
		{"config/overlays/studio", "PrometheusRule", "knative-lambda", []string{"spec", "groups"}, []any{map[string]any{"rules": []any{}}}, "name"},
		{"config/overlays/studio", "PodDisruptionBudget", "knative-lambda-webhook", []string{"spec", "minimumAvailable"}, int64(1), "minimumAvailable"},
		{"config/overlays/studio", "Deployment", "knative-lambda-webhook", []string{"spec", "replicas"}, "two", "replicas"},
		{"config/overlays/pro/samples", "LambdaFunction", "hello-python", []string{"spec", "runtime"}, "python", "runtime"},
		{"config/flux/studio", "GitRepository", "knative-lambda", []string{"spec", "interval"}, "soon", "interval"},
		{"config/flux/pro", "Kustomization", "knative-lambda-pro", []string{"spec", "prune"}, "yes", "prune"},
		{"config/k6", "TestRun", "smoke", []string{"spec", "parallelism"}, "four", "parallelism"},
		{"config/k6", "TestRun", "smoke", []string{"spec", "scripts"}, map[string]any{}, "scripts"},
	} {
		o := find(t, build(t, test.folder), test.kind, test.name)
		if err := unstructured.SetNestedField(o.Object, test.value, test.path...); err != nil {
			t.Fatal(err)
		}
		if err := schemas.Check(o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %v = %v is refused with %v, want an error that says %q", test.kind, test.path, test.value, err, test.want)
		}
	}
}

// TestBaseIsCore: the base has every file of config/core, in the order in which they
// are applied.
func TestBaseIsCore(t *testing.T) {
	var want []string
	err := filepath.WalkDir(filepath.Join(root, "config/core"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			want = append(want, strings.Replace(filepath.ToSlash(path), root+"/config", "..", 1))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	text, err := os.ReadFile(filepath.Join(root, "config/base/kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var base types.Kustomization
	if err := yaml.Unmarshal(text, &base); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, base.Resources); diff != "" {
		t.Errorf("config/base/kustomization.yaml has other resources than config/core (-core, +base): %s", diff)
	}
}

func TestNodePorts(t *testing.T) {
	for folder, ports := range folders {
		seen := map[int64]string{}
		for _, o := range build(t, folder) {
			if o.GetKind() != "Service" {
				continue
			}
			list, _, err := unstructured.NestedSlice(o.Object, "spec", "ports")
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				port, ok := p.(map[string]any)["nodePort"].(int64)
				if !ok {
					continue
				}
				if port < ports.first || port > ports.last {
					t.Errorf("%s: node port %d of %s is not within %d to %d", folder, port, o.GetName(), ports.first, ports.last)
				}
				if seen[port] != "" {
					t.Errorf("%s: both %s and %s have the node port %d", folder, seen[port], o.GetName(), port)
				}
				seen[port] = o.GetName()
			}
		}
		if (len(seen) > 0) != (ports.first > 0) {
			t.Errorf("%s has the node ports %v, want some within %d to %d", folder, seen, ports.first, ports.last)
		}
	}
}

// TestReplicas: how many there are of each, and how they are kept apart.
func TestReplicas(t *testing.T) {
	pro, studio := build(t, "config/overlays/pro"), build(t, "config/overlays/studio")
	for _, name := range []string{"knative-lambda-controller", "knative-lambda-webhook", "knative-lambda-receiver"} {
		if got := field(t, find(t, pro, "Deployment", name), "spec", "replicas"); got != int64(1) {
			t.Errorf("pro: %s has %v replicas, want 1", name, got)
		}
		deployment := find(t, studio, "Deployment", name)
		got, path := field(t, deployment, "spec", "replicas"), "requiredDuringSchedulingIgnoredDuringExecution"
		if name == "knative-lambda-receiver" {
			if got != nil {
				t.Errorf("studio: %s has %v replicas: Flux would take back what Flagger sets", name, got)
			}
			got, path = field(t, find(t, studio, "HorizontalPodAutoscaler", name), "spec", "minReplicas"), "preferredDuringSchedulingIgnoredDuringExecution"
		}
		if n, _ := got.(int64); n < 2 {
			t.Errorf("studio: %s has %v replicas, want 2 or more", name, got)
		}
		affinity, _ := field(t, deployment, "spec", "template", "spec", "affinity", "podAntiAffinity").(map[string]any)
		if len(affinity) != 1 || affinity[path] == nil {
			t.Errorf("studio: anti-affinity of %s is %v, want %s alone", name, affinity, path)
		}
		if got := field(t, find(t, studio, "PodDisruptionBudget", name), "spec", "minAvailable"); got != int64(1) {
			t.Errorf("studio: minAvailable of %s is %v, want 1", name, got)
		}
	}
}

// TestSelectors: what has to find pods finds those of the canary and, with the label
// that Flagger changes, of the primary.
func TestSelectors(t *testing.T) {
	studio := build(t, "config/overlays/studio")
	pod, _ := field(t, find(t, studio, "Deployment", "knative-lambda-receiver"), "spec", "template", "metadata", "labels").(map[string]any)
	selector, _ := field(t, find(t, studio, "Deployment", "knative-lambda-receiver"), "spec", "selector", "matchLabels").(map[string]any)
	if diff := cmp.Diff(map[string]any{"name": "knative-lambda-receiver"}, selector); diff != "" {
		t.Errorf("the receiver's Deployment selects by other labels than Flagger changes (-want, +got): %s", diff)
	}
	primary := map[string]any{}
	for k, v := range pod {
		primary[k] = v
	}
	primary["name"] = "knative-lambda-receiver-primary"
	for _, test := range []struct {
		kind, name      string
		path            []string
		canary, primary bool
	}{
		{"Service", "knative-lambda-receiver-external", []string{"spec", "selector"}, false, true},
		{"Service", "knative-lambda-receiver-metrics", []string{"spec", "selector"}, true, true},
		{"PodDisruptionBudget", "knative-lambda-receiver", []string{"spec", "selector", "matchLabels"}, true, true},
	} {
		selector, _ := field(t, find(t, studio, test.kind, test.name), test.path...).(map[string]any)
		if c, p := selects(selector, pod), selects(selector, primary); c != test.canary || p != test.primary {
			t.Errorf("%s %s selects the canary: %t, the primary: %t; want %t, %t", test.kind, test.name, c, p, test.canary, test.primary)
		}
	}
}

func selects(selector, labels map[string]any) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func TestCanary(t *testing.T) {
	studio := build(t, "config/overlays/studio")
	canary := find(t, studio, "Canary", "knative-lambda-receiver")
	for _, test := range []struct {
		path []string
		want any
	}{
		{[]string{"spec", "analysis", "stepWeight"}, int64(5)},
		{[]string{"spec", "analysis", "maxWeight"}, int64(30)},
		{[]string{"spec", "analysis", "interval"}, "2m"},
		{[]string{"spec", "targetRef", "name"}, "knative-lambda-receiver"},
	} {
		if got := field(t, canary, test.path...); got != test.want {
			t.Errorf("%s = %v, want %v", strings.Join(test.path, "."), got, test.want)
		}
	}
	metrics, _ := field(t, canary, "spec", "analysis", "metrics").([]any)
	least := map[string]any{}
	for _, m := range metrics {
		metric := &unstructured.Unstructured{Object: m.(map[string]any)}
		template, _ := field(t, metric, "templateRef", "name").(string)
		find(t, studio, "MetricTemplate", template)
		least[template] = field(t, metric, "thresholdRange", "min")
	}
	if got := least["knative-lambda-success-rate"]; got != 99.5 {
		t.Errorf("the least success rate is %v, want 99.5", got)
	}
	rules, _ := field(t, find(t, studio, "HTTPRoute", "knative-lambda-receiver-ab-test"), "spec", "rules").([]any)
	sides := map[any]any{}
	for _, r := range rules {
		rule := r.(map[string]any)
		header := rule["matches"].([]any)[0].(map[string]any)["headers"].([]any)[0].(map[string]any)
		if header["name"] != "x-ab-test" {
			t.Errorf("a route matches the header %v, want x-ab-test", header["name"])
		}
		sides[header["value"]] = rule["backendRefs"].([]any)[0].(map[string]any)["name"]
	}
	want := map[any]any{"canary": "knative-lambda-receiver-canary", "primary": "knative-lambda-receiver-primary"}
	if diff := cmp.Diff(want, sides); diff != "" {
		t.Errorf("x-ab-test routes otherwise (-want, +got): %s", diff)
	}
}

// TestMesh: Deployments are in Linkerd's mesh, and the namespace, in which builds run,
// is not.
func TestMesh(t *testing.T) {
	for _, folder := range []string{"config/overlays/pro", "config/overlays/studio"} {
		for _, o := range build(t, folder) {
			switch o.GetKind() {
			case "Deployment":
				if got := field(t, o, "spec", "template", "metadata", "annotations", "linkerd.io/inject"); got != "enabled" {
					t.Errorf("%s: linkerd.io/inject of %s is %v", folder, o.GetName(), got)
				}
			case "Namespace":
				if got := o.GetAnnotations()["linkerd.io/inject"]; got != "" {
					t.Errorf("%s: linkerd.io/inject of the namespace is %q", folder, got)
				}
			}
		}
	}
}
