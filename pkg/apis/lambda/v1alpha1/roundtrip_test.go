package v1alpha1

import (
	"encoding/json"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	pkgfuzzer "knative.dev/pkg/apis/testing/fuzzer"
	"knative.dev/pkg/apis/testing/roundtrip"
	"knative.dev/pkg/kmeta"
	"sigs.k8s.io/randfill"
)

// fuzzFuncs fill what may not hold any value: a Number is written as one, and
// conditions are those of their kind. Filters hold filters; two levels are enough.
var fuzzFuncs = fuzzer.MergeFuzzerFuncs(pkgfuzzer.Funcs, func(serializer.CodecFactory) []any {
	return []any{
		func(n *Number, c randfill.Continue) { *n = *NewNumber(c.NormFloat64()) },
		func(d *Duration, c randfill.Continue) { *d = *NewDuration(time.Duration(c.Int63())) },
		func(f *eventingv1.SubscriptionsAPIFilter, c randfill.Continue) {
			f.All = []eventingv1.SubscriptionsAPIFilter{{CESQL: c.String(0)}}
			f.Not = &eventingv1.SubscriptionsAPIFilter{Prefix: map[string]string{c.String(0): c.String(0)}}
			c.Fill(&f.Exact)
		},
		func(s *LambdaFunctionStatus, c randfill.Continue) {
			c.FillNoCustom(s)
			s.SetConditions(nil)
			s.InitializeConditions()
			pkgfuzzer.FuzzConditions(s, c)
		},
		func(s *LambdaAgentStatus, c randfill.Continue) {
			c.FillNoCustom(s)
			s.SetConditions(nil)
			s.InitializeConditions()
			pkgfuzzer.FuzzConditions(s, c)
		},
	}
})

// TestRoundTrip: every field survives being written and read, and copies share
// nothing with their original.
func TestRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	roundtrip.ExternalTypesViaJSON(t, scheme, fuzzFuncs)
}

// TestNumberForms: users write numbers as numbers or strings; stored is a number.
func TestNumberForms(t *testing.T) {
	for text, want := range map[string]string{
		`0.7`: `0.7`, `"0.7"`: `0.7`, `" 0.70 "`: `0.7`, `7e-1`: `0.7`,
		`0`: `0`, `"0"`: `0`, `-1`: `-1`, `1.0`: `1`, `1e30`: `1e+30`,
		// What is no number is kept for validation to name its field.
		`"hot"`: `"hot"`, `""`: `""`, `"NaN"`: `"NaN"`, `"Inf"`: `"Inf"`, `"1e999"`: `"1e999"`, `true`: `"true"`, `"0.7 hot"`: `"0.7 hot"`,
	} {
		var ai AISpec
		if err := json.Unmarshal([]byte(`{"temperature":`+text+`}`), &ai); err != nil {
			t.Errorf("temperature %s: %v", text, err)
			continue
		}
		got, err := json.Marshal(ai)
		if want := `{"temperature":` + want + `}`; err != nil || string(got) != want {
			t.Errorf("temperature %s is written as %s, %v; want %s", text, got, err, want)
		}
	}
	var ai AISpec
	if err := json.Unmarshal([]byte(`{"temperature":null}`), &ai); err != nil || ai.Temperature != nil {
		t.Errorf("temperature null = %v, %v; want none", ai.Temperature, err)
	}
}

// TestDurationForms: a duration is stored as it was written, in whatever units.
func TestDurationForms(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1m30s": 90 * time.Second, "1.5m": 90 * time.Second, "1h": time.Hour, "0": 0, "0s": 0, "250ms": 250 * time.Millisecond,
	} {
		in := `{"timeout":"` + text + `"}`
		var r FunctionRuntime
		if err := json.Unmarshal([]byte(in), &r); err != nil {
			t.Errorf("timeout %s: %v", text, err)
			continue
		}
		if got := r.Timeout.Value(); got != want {
			t.Errorf("timeout %s = %v, want %v", text, got, want)
		}
		if got, err := json.Marshal(r); err != nil || string(got) != in {
			t.Errorf("timeout %s is written as %s, %v", text, got, err)
		}
	}
}

// TestKinds: owner references of children name the kind as it is registered.
func TestKinds(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, object := range []interface {
		runtime.Object
		kmeta.OwnerRefable
	}{&LambdaFunction{}, &LambdaAgent{}} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil || len(kinds) != 1 || kinds[0] != object.GetGroupVersionKind() {
			t.Errorf("%T is registered as %v (%v) and says %v", object, kinds, err, object.GetGroupVersionKind())
		}
	}
	if got := Kind("LambdaFunction").String() + " " + Resource("lambdafunctions").String(); got != "LambdaFunction.lambda.knative.io lambdafunctions.lambda.knative.io" {
		t.Errorf("kind and resource = %s", got)
	}
}
