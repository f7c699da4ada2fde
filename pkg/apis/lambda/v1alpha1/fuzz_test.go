package v1alpha1

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"
)

// object is what admission does with one of this project's kinds.
type object interface {
	runtime.Object
	apis.Defaultable
	apis.Validatable
}

// decode reads JSON as the webhook does, and reports whether it is the kind's at all.
func decode(data []byte, into object) bool {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into) == nil
}

// seed adds the samples and whole objects with the specs.
func seed(f *testing.F, specs ...string) {
	f.Helper()
	samples, err := filepath.Glob("../../../../config/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		f.Fatal("there are no samples:", err)
	}
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			f.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			addYAML(f, document)
		}
	}
	for _, spec := range specs {
		addYAML(f, "metadata: {namespace: team, name: own}\nspec:\n  "+strings.ReplaceAll(spec, "\n", "\n  "))
	}
}

func addYAML(f *testing.F, text string) {
	f.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
}

func functionSpecs() (specs []string) {
	for _, tt := range invalidFunctions {
		specs = append(specs, tt.spec)
	}
	return append(append(specs, validFunctions...), scheduledSpecs(python)...)
}

func agentSpecs() (specs []string) {
	for _, tt := range invalidAgents {
		specs = append(specs, tt.spec)
	}
	return append(append(specs, validAgents...), scheduledSpecs(anImage)...)
}

// scheduledSpecs begin with the YAML.
func scheduledSpecs(begin string) (specs []string) {
	for _, tt := range invalidSchedules {
		specs = append(specs, begin+scheduled(tt.schedules))
	}
	for _, schedules := range validSchedules {
		specs = append(specs, begin+scheduled(schedules))
	}
	return specs
}

// checkDefaults: whatever is sent, defaulting it a second time, and after it was
// stored and read, changes nothing.
func checkDefaults[T object](t *testing.T, data []byte, once, stored T) {
	if !decode(data, once) {
		return
	}
	for _, ctx := range []context.Context{context.Background(), configured()} {
		once.SetDefaults(ctx)
		twice := once.DeepCopyObject().(T)
		twice.SetDefaults(ctx)
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Error("defaulting twice (-once, +twice):", diff)
		}
	}
	text, err := json.Marshal(once)
	if err != nil {
		t.Fatal("it cannot be stored:", err)
	}
	if !decode(text, stored) {
		t.Fatalf("what is stored cannot be read: %s", text)
	}
	stored.SetDefaults(configured())
	again, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, again) {
		t.Errorf("defaulting what was stored changes it:\n%s\n%s", text, again)
	}
}

// checkValidation: whatever is sent, each error leads to a field.
func checkValidation(t *testing.T, data []byte, o object) {
	if !decode(data, o) {
		return
	}
	for _, ctx := range []context.Context{context.Background(), configured()} {
		pathsLead(t, o, o.Validate(ctx)) // as it came
		o.SetDefaults(ctx)
		pathsLead(t, o, o.Validate(ctx))
	}
}

func pathsLead(t *testing.T, o object, errs *apis.FieldError) {
	if errs == nil {
		return
	}
	if errs.Error() == "" {
		t.Error("an error says nothing")
	}
	for _, err := range errs.WrappedErrors() {
		if len(err.Paths) == 0 {
			t.Errorf("%q names no field", err.Message)
		}
		for _, path := range err.Paths {
			if path == "" || !leadsToField(reflect.TypeOf(o), path) {
				t.Errorf("%q of %q is the path of no field", path, err.Message)
			}
		}
	}
}

func FuzzFunctionDefaults(f *testing.F) {
	seed(f, functionSpecs()...)
	f.Fuzz(func(t *testing.T, data []byte) { checkDefaults(t, data, &LambdaFunction{}, &LambdaFunction{}) })
}

func FuzzAgentDefaults(f *testing.F) {
	seed(f, agentSpecs()...)
	f.Fuzz(func(t *testing.T, data []byte) { checkDefaults(t, data, &LambdaAgent{}, &LambdaAgent{}) })
}

func FuzzFunctionValidation(f *testing.F) {
	seed(f, functionSpecs()...)
	f.Fuzz(func(t *testing.T, data []byte) { checkValidation(t, data, &LambdaFunction{}) })
}

func FuzzAgentValidation(f *testing.F) {
	seed(f, agentSpecs()...)
	f.Fuzz(func(t *testing.T, data []byte) { checkValidation(t, data, &LambdaAgent{}) })
}
