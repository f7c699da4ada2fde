package v1alpha1

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// What Kubernetes itself says of names.
var (
	notAName     = validation.IsDNS1123Subdomain("No_Name")[0]
	notADNSLabel = validation.IsDNS1123Label("a.b")[0]
	notALabel    = validation.IsValidLabelValue("C++")[0]
	notAVariable = validation.IsEnvVarName("A=B")[0]
)

// refused checks all that is said about the object, and that each path leads to a
// field of it.
func refused(t *testing.T, object any, errs *apis.FieldError, want string) {
	t.Helper()
	if got := errs.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, err := range errs.WrappedErrors() {
		if len(err.Paths) == 0 {
			t.Errorf("%q names no field", err.Message)
		}
		for _, path := range err.Paths {
			if !leadsToField(reflect.TypeOf(object), path) {
				t.Errorf("%q is the path of no field", path)
			}
		}
	}
}

// step of a path: a name, or an index or key in brackets.
var step = regexp.MustCompile(`^(?:\[[^\]]*\]|\.?[A-Za-z][A-Za-z0-9]*)`)

// leadsToField reports whether the path, as users write it, leads from t to a field.
func leadsToField(t reflect.Type, path string) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if path == "" {
		return true
	}
	next := step.FindString(path)
	rest := path[len(next):]
	switch {
	case next == "":
		return false
	case next[0] == '[':
		return (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && leadsToField(t.Elem(), rest)
	case t.Kind() != reflect.Struct:
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		switch name, options, _ := strings.Cut(f.Tag.Get("json"), ","); {
		case name == strings.TrimPrefix(next, "."):
			return leadsToField(f.Type, rest)
		case options == "inline" && leadsToField(f.Type, path):
			return true
		}
	}
	return false
}

func TestLeadsToField(t *testing.T) {
	for path, want := range map[string]bool{
		"metadata.name": true, "spec.env[0].name": true, "spec.source.image.port": true, "spec.source.inline.files[requirements.txt]": true,
		"spec.enw": false, "spec.env.name": false, "spec.source[0]": false, "spec.runtime.timeout.seconds": false, "runtime": false, "spec..env": false,
	} {
		if got := leadsToField(reflect.TypeOf(&LambdaFunction{}), path); got != want {
			t.Errorf("leadsToField(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestInlineSize(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source InlineSource
		want   string
	}{
		{"code that just fits", InlineSource{Code: strings.Repeat("x", MaxInlineBytes)}, ""},
		{"code", InlineSource{Code: strings.Repeat("x", MaxInlineBytes+1)}, "524289 bytes"},
		{"code and dependencies", InlineSource{Code: strings.Repeat("x", MaxInlineBytes), Dependencies: "y"}, "524289 bytes"},
		{"files and their names", InlineSource{Files: map[string]string{"a.py": strings.Repeat("x", MaxInlineBytes/2), "b.py": strings.Repeat("x", MaxInlineBytes/2)}}, "524296 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := defaulted(configured(), functionOf(t, python))
			f.Spec.Source.Inline = &tt.source
			errs := f.Validate(configured())
			if tt.want == "" {
				if errs != nil {
					t.Error("refused:", errs)
				}
				return
			}
			refused(t, f, errs, tt.want+" of inline source; at most 524288 fit: use a bucket or a git repository for more: spec.source.inline")
		})
	}
}

func TestLongPath(t *testing.T) {
	f := defaulted(configured(), functionOf(t, python))
	long := strings.Repeat("x", 256)
	f.Spec.Source.Inline = &InlineSource{Files: map[string]string{long: "x", long[1:]: "x"}}
	refused(t, f, f.Validate(configured()), fmt.Sprintf("invalid key name %q: spec.source.inline.files\nexpected a path of at most 255 characters with '/' between its parts", long))
}

// admitted are both kinds, each with a spec that nothing is wrong with.
func admitted(t *testing.T, name string) map[string]apis.Validatable {
	f, a := defaulted(configured(), functionOf(t, python)), defaulted(configured(), agentOf(t, anImage))
	f.Name, a.Name = name, name
	return map[string]apis.Validatable{"function": f, "agent": a}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"a": "", "greeter-2": "", strings.Repeat("n", 63): "",
		"":                      "", // generateName
		strings.Repeat("n", 64): validation.IsDNS1035Label(strings.Repeat("n", 64))[0],
		"1st":                   validation.IsDNS1035Label("1st")[0],
		"a.b":                   validation.IsDNS1035Label("a.b")[0],
		"Greeter":               validation.IsDNS1035Label("Greeter")[0],
	} {
		for kind, object := range admitted(t, name) {
			t.Run(kind+" "+name, func(t *testing.T) {
				errs := object.Validate(configured())
				if want == "" {
					if errs != nil {
						t.Error("refused:", errs)
					}
					return
				}
				refused(t, object, errs, fmt.Sprintf("invalid value: %s: metadata.name\n%s", name, want))
			})
		}
	}
}

// TestWithoutConfiguration: the webhook answers before it has seen ConfigMaps,
// and what only they can tell is not refused.
func TestWithoutConfiguration(t *testing.T) {
	ctx := context.Background()
	if err := defaulted(ctx, functionOf(t, "source: {inline: {code: x, dependencies: y}}\nruntime: {language: cobol, timeout: 9m}\nbuild: {timeout: 1h}")).Validate(ctx); err != nil {
		t.Error("the function is refused:", err)
	}
	f := defaulted(ctx, functionOf(t, python+"build: {timeout: 61m}"))
	refused(t, f, f.Validate(ctx), "expected 1s <= 1h1m0s <= 1h0m0s: spec.build.timeout")
	if err := defaulted(ctx, agentOf(t, anImage)).Validate(ctx); err != nil {
		t.Error("the agent is refused:", err)
	}
}

// TestWhatIsNotValidated: an object that was admitted once, by rules or a
// configuration that were others, can be labelled, reported on and deleted.
func TestWhatIsNotValidated(t *testing.T) {
	f, a := functionOf(t, "runtime: {language: cobol}"), agentOf(t, "operationMode: wild")
	for _, tt := range []struct {
		name           string
		object, before apis.Validatable
		changed        func() apis.Validatable
	}{
		{"function", f, f.DeepCopy(), func() apis.Validatable { c := f.DeepCopy(); c.Spec.Runtime.Language = "fortran"; return c }},
		{"agent", a, a.DeepCopy(), func() apis.Validatable { c := a.DeepCopy(); c.Spec.OperationMode = "wilder"; return c }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := configured()
			for what, ctx := range map[string]context.Context{
				"its status":             apis.WithinSubResourceUpdate(ctx, tt.before, "status"),
				"deleting it":            apis.WithinDelete(ctx),
				"all of it but its spec": apis.WithinUpdate(ctx, tt.before),
			} {
				if err := tt.object.Validate(ctx); err != nil {
					t.Errorf("%s is refused: %v", what, err)
				}
			}
			if err := tt.object.Validate(apis.WithinCreate(ctx)); err == nil {
				t.Error("creating it is admitted")
			}
			if err := tt.changed().Validate(apis.WithinUpdate(ctx, tt.before)); err == nil {
				t.Error("a change of its spec is admitted")
			}
			if err := tt.object.Validate(apis.WithinUpdate(ctx, defaulted(ctx, functionOf(t, python)))); err == nil {
				t.Error("a change from another object is admitted")
			}
		})
	}
}

// TestLanguageTakenAway: what runs goes on when a language leaves config-runtimes;
// only a change of its spec is refused.
func TestLanguageTakenAway(t *testing.T) {
	before := defaulted(configured(), functionOf(t, python))
	cfg := *config.FromContext(configured())
	cfg.Runtimes = &config.Runtimes{Languages: map[string]*config.Language{"shell": cfg.Runtimes.Languages["shell"]}}
	ctx := apis.WithinUpdate(config.ToContext(context.Background(), &cfg), before)

	after := defaulted(ctx, before.DeepCopy())
	after.Labels = map[string]string{"team": "a"}
	if err := after.Validate(ctx); err != nil {
		t.Error("a label is refused:", err)
	}
	after.Spec.Source.Inline.Code = "y"
	refused(t, after, after.Validate(ctx), "invalid value: python: spec.runtime.language\nexpected one of shell")
}
