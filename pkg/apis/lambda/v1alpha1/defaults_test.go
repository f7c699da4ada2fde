package v1alpha1

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// stored is what the defaulting webhook makes of an object: decoded, defaulted, and
// written as JSON again.
func stored(t *testing.T, kind object, data []byte) []byte {
	t.Helper()
	o := reflect.New(reflect.TypeOf(kind).Elem()).Interface().(object)
	if err := json.Unmarshal(data, o); err != nil {
		t.Fatal(err)
	}
	o.SetDefaults(configured())
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// specOf an object's JSON, with its keys in order.
func specOf(t *testing.T, data []byte) string {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(o["spec"])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func asJSON(t *testing.T, spec string) []byte {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte("metadata: {namespace: team, name: own}\nspec:\n  " + strings.ReplaceAll(spec, "\n", "\n  ")))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSpecIsStoredAsWritten: admission adds nothing to a spec and takes nothing away but
// zero values that are spelled out, which the Go types do not tell from none.
func TestSpecIsStoredAsWritten(t *testing.T) {
	// A Number is a number in storage, and a version a string, whichever way it was written.
	written := func(text string) string {
		return strings.NewReplacer(`"samplingRate":"1"`, `"samplingRate":1`, `"temperature":"0.7"`, `"temperature":0.7`, `"topP":"1"`, `"topP":1`,
			`"version":3.11`, `"version":"3.11"`, `"temperature":"2"`, `"temperature":2`,
			`,"value":""`, "", `"memory":{"enabled":false}`, `"memory":{}`, `"projected":{}`, `"projected":{"sources":null}`, `"grpc":{"port":8080}`, `"grpc":{"port":8080,"service":null}`).Replace(text)
	}
	for _, tt := range []struct {
		kind  object
		specs []string
	}{
		{&LambdaFunction{}, append([]string{
			"source: {inline: {code: x}}", "source: {s3: {bucket: b, key: k, credentialsSecret: s}}", "source: {image: {repository: r}}",
			"source: {inline: {code: x}}\neventing: {enabled: true, rabbitmq: {prefetchCount: 7}, sink: {ref: {apiVersion: v1, kind: Service, name: s}}}\n" +
				"triggers: [{}, {delivery: {backoffDelay: 90s}}]\ntraffic: [{percent: 100}]",
		}, validFunctions...)},
		{&LambdaAgent{}, append([]string{
			"image: {repository: r}\neventing: {enabled: true}\napproval: {custom: {endpoint: 'http://a'}}\nmemory: {enabled: true, shortTerm: {enabled: true}}",
		}, validAgents...)},
	} {
		for _, spec := range tt.specs {
			data := asJSON(t, spec)
			if diff := cmp.Diff(written(specOf(t, data)), specOf(t, stored(t, tt.kind, data))); diff != "" {
				t.Errorf("%T\n%s\nis stored otherwise (-want, +got): %s", tt.kind, spec, diff)
			}
		}
	}
}

// TestNoFieldIsDefaulted: whatever an object holds and leaves out, admission changes
// none of its fields. There is no list of exceptions, and none is to be made: a default
// belongs into EffectiveSpec.
func TestNoFieldIsDefaulted(t *testing.T) {
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	for seed := range int64(200) {
		fill := fuzzer.FuzzerFor(fuzzFuncs, rand.NewSource(seed), codecs).NilChance(0.5)
		for _, o := range []object{&LambdaFunction{}, &LambdaAgent{}} {
			fill.Fill(o)
			before := o.DeepCopyObject()
			for _, ctx := range []context.Context{context.Background(), configured()} {
				o.SetDefaults(ctx)
				if !equality.Semantic.DeepEqual(before, o) {
					t.Fatalf("seed %d: admission changes a %T, which was %+v and is %+v", seed, o, before, o)
				}
			}
			effective(o, config.FromContext(configured()))
			if !equality.Semantic.DeepEqual(before, o) {
				t.Fatalf("seed %d: EffectiveSpec changes its %T, which was %+v and is %+v", seed, o, before, o)
			}
		}
	}
}

// effective is the object with its effective spec.
func effective(o object, cfg *config.Config) object {
	switch o := o.DeepCopyObject().(type) {
	case *LambdaFunction:
		o.Spec = o.EffectiveSpec(cfg)
		return o
	case *LambdaAgent:
		o.Spec = o.EffectiveSpec(cfg)
		return o
	}
	panic("a kind that has no effective spec")
}

// changes of a field from which a default follows, and what is in force then.
var changes = []struct {
	name          string
	kind          object
	before, after string
	path          []string
	want          any
}{
	{"source kind", &LambdaFunction{}, "source: {inline: {code: x}}\nruntime: {language: python}", "source: {git: {url: 'https://g.test/a'}}\nruntime: {language: python}", []string{"source", "type"}, "git"},
	{"from an image", &LambdaFunction{}, "source: {image: {repository: r.test/own}}", "source: {inline: {code: x}}\nruntime: {language: python}", []string{"runtime", "handler"}, "main.handler"},
	{"language: version", &LambdaFunction{}, "source: {inline: {code: x}}\nruntime: {language: python}", "source: {inline: {code: x}}\nruntime: {language: go}", []string{"runtime", "version"}, "1.26"},
	{"language: handler", &LambdaFunction{}, "source: {inline: {code: x}}\nruntime: {language: python}", "source: {inline: {code: x}}\nruntime: {language: go}", []string{"runtime", "handler"}, "Handler"},
	{"version", &LambdaFunction{}, "source: {inline: {code: x}}\nruntime: {language: go}", "source: {inline: {code: x}}\nruntime: {language: go, version: '1.22'}", []string{"runtime", "version"}, "1.25"},
	{"tag of an image that gets a digest", &LambdaFunction{}, "source: {image: {repository: r.test/own}}", "source: {image: {repository: r.test/own, digest: 'sha256:" + zeros + "'}}", []string{"source", "image", "tag"}, nil},
	{"Secret of credentials", &LambdaFunction{}, "source: {s3: {bucket: b-c, key: k, credentialsSecret: a}}\nruntime: {language: python}", "source: {s3: {bucket: b-c, key: k, credentialsSecret: b}}\nruntime: {language: python}", []string{"source", "s3", "secretRef", "name"}, "b"},
	{"least replicas", &LambdaFunction{}, python, python + "scaling: {minReplicas: 30}", []string{"scaling", "maxReplicas"}, float64(30)},
	{"user", &LambdaFunction{}, python, python + "securityContext: {runAsUser: 0}", []string{"securityContext", "runAsNonRoot"}, false},
	{"broker", &LambdaFunction{}, python + "eventing: {enabled: true, broker: a}\ntriggers: [{}]", python + "eventing: {enabled: true, broker: b}\ntriggers: [{}]", []string{"triggers", "0", "broker"}, "b"},
	{"prefetch", &LambdaFunction{}, python + "eventing: {enabled: true, rabbitmq: {prefetchCount: 1}}", python + "eventing: {enabled: true, rabbitmq: {prefetchCount: 2}}", []string{"eventing", "rabbitmq", "parallelism"}, float64(2)},
	{"delay", &LambdaFunction{}, python + "triggers: [{delivery: {backoffDelay: 90s}}]", python + "triggers: [{delivery: {backoffDelay: 2m}}]", []string{"triggers", "0", "delivery", "backoffDelay"}, "PT2M"},
	{"revision of traffic", &LambdaFunction{}, python + "traffic: [{percent: 100}]", python + "traffic: [{percent: 100, revisionName: own-00001}]", []string{"traffic", "0", "latestRevision"}, false},
	{"an agent's image that gets a digest", &LambdaAgent{}, "image: {repository: r.test/own}", "image: {repository: r.test/own, digest: 'sha256:" + zeros + "'}", []string{"image", "tag"}, nil},
	{"most replicas", &LambdaAgent{}, anImage, anImage + "\nscaling: {maxReplicas: 1}", []string{"scaling", "minReplicas"}, float64(1)},
	{"an agent's user", &LambdaAgent{}, anImage, anImage + "\nsecurityContext: {runAsUser: 0}", []string{"securityContext", "runAsNonRoot"}, false},
	{"provider of approvals", &LambdaAgent{}, anImage + "\napproval: {custom: {endpoint: 'http://a'}}", anImage + "\napproval: {slack: {webhookSecretRef: {name: s, key: k}}}", []string{"approval", "providers", "0"}, "slack"},
	{"no approvals", &LambdaAgent{}, anImage + "\napproval: {custom: {endpoint: 'http://a'}}", anImage, []string{"approval"}, nil},
	{"source of events", &LambdaAgent{}, anImage + "\neventing: {enabled: true, eventSource: /mine}", anImage + "\neventing: {enabled: true}", []string{"eventing", "eventSource"}, "/team/own"},
}

var zeros = strings.Repeat("0", 64)

// TestChangeOfDeterminingField: kubectl apply of a manifest in which only the field has
// changed from which a default follows is admitted, and what follows is in force. It is
// the change of the live object that kubectl makes of the two manifests.
func TestChangeOfDeterminingField(t *testing.T) {
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			before, after := asJSON(t, tt.before), asJSON(t, tt.after)
			live := stored(t, tt.kind, before)
			patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(before, after, live)
			if err != nil {
				t.Fatal(err)
			}
			live = stored(t, tt.kind, applyMergePatch(t, live, patch))
			if diff := cmp.Diff(specOf(t, after), specOf(t, live)); diff != "" {
				t.Error("what is stored is not what was written (-want, +got):", diff)
			}
			o := reflect.New(reflect.TypeOf(tt.kind).Elem()).Interface().(object)
			if err := json.Unmarshal(live, o); err != nil {
				t.Fatal(err)
			}
			if err := o.Validate(configured()); err != nil {
				t.Error("refused:", err)
			}
			if got := valueAt(t, effective(o, config.FromContext(configured())), tt.path); got != tt.want {
				t.Errorf("%s = %v, want %v", strings.Join(tt.path, "."), got, tt.want)
			}
		})
	}
}

func applyMergePatch(t *testing.T, target, patch []byte) []byte {
	t.Helper()
	var to, by map[string]any
	if err := json.Unmarshal(target, &to); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(patch, &by); err != nil {
		t.Fatal(err)
	}
	merged, err := json.Marshal(mergePatch(to, by))
	if err != nil {
		t.Fatal(err)
	}
	return merged
}

// mergePatch as RFC 7396 has it.
func mergePatch(to, by map[string]any) map[string]any {
	if to == nil {
		to = map[string]any{}
	}
	for key, value := range by {
		inner, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(to, key)
		case isObject:
			under, _ := to[key].(map[string]any)
			to[key] = mergePatch(under, inner)
		default:
			to[key] = value
		}
	}
	return to
}

// valueAt a path of the object's spec; nil where there is none.
func valueAt(t *testing.T, o object, path []string) any {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&all); err != nil {
		t.Fatal(err)
	}
	var value = all["spec"]
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			value = v[step[0]-'0']
		default:
			return nil
		}
	}
	return value
}

// TestVersionStays: the version of a function that names none is that of the day on
// which it was first seen, until the user changes it or the cluster stops offering it.
func TestVersionStays(t *testing.T) {
	cfg := config.FromContext(configured())
	for _, tt := range []struct {
		name, runtime string
		recorded      *RuntimeStatus
		want          RuntimeVersion
	}{
		{"new", "{language: python}", nil, "3.13"},
		{"as before", "{language: python}", &RuntimeStatus{Language: "python", Version: "3.9", VersionDefaulted: true}, "3.9"},
		{"the cluster has stopped offering it", "{language: python}", &RuntimeStatus{Language: "python", Version: "3.8", VersionDefaulted: true}, "3.13"},
		{"a newer one runs it", "{language: go}", &RuntimeStatus{Language: "go", Version: "1.24", VersionDefaulted: true}, "1.25"},
		{"another language", "{language: python}", &RuntimeStatus{Language: "shell", Version: "3.9", VersionDefaulted: true}, "3.13"},
		{"the user has named one", "{language: python, version: '3.11'}", &RuntimeStatus{Language: "python", Version: "3.9", VersionDefaulted: true}, "3.11"},
		{"the user no longer names one", "{language: python}", &RuntimeStatus{Language: "python", Version: "3.9"}, "3.13"},
	} {
		f := functionOf(t, "source: {inline: {code: x}}\nruntime: "+tt.runtime)
		f.Status.Runtime = tt.recorded
		if got := f.EffectiveSpec(cfg).Runtime.Version; got != tt.want {
			t.Errorf("%s: version %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestVersionForms: YAML reads versions without quotes as numbers.
func TestVersionForms(t *testing.T) {
	for text, want := range map[string]RuntimeVersion{`"3.11"`: "3.11", `3.11`: "3.11", `20`: "20", `3.1`: "3.1", `null`: "", `""`: ""} {
		var r FunctionRuntime
		if err := json.Unmarshal([]byte(`{"version":`+text+`}`), &r); err != nil || r.Version != want {
			t.Errorf("version %s = %q, %v; want %q", text, r.Version, err, want)
		}
	}
	for _, text := range []string{`{}`, `[3]`, `true`} {
		if err := json.Unmarshal([]byte(`{"version":`+text+`}`), &FunctionRuntime{}); err == nil {
			t.Errorf("version %s is read", text)
		}
	}
}
