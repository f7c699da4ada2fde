//go:build conformance

// Package conformance holds the tests of the API: what the API server, its
// schemas and this project's webhooks admit, and in which words they refuse.
package conformance

import (
	"fmt"
	"os"
	"testing"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/brunovlucena/knative-lambda-operator/test"
)

var clients *test.Clients

// operatorNamespace is where the operator and its configuration are.
const operatorNamespace = "knative-lambda"

func TestMain(m *testing.M) {
	var err error
	if clients, err = test.NewClients(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestSamples: every manifest that is shipped is admitted unchanged.
func TestSamples(t *testing.T) {
	t.Parallel()
	samples, err := os.ReadDir("../../config/samples")
	if err != nil || len(samples) < 2 {
		t.Fatalf("config/samples has %d manifests (%v), want the two of the API's contract at least", len(samples), err)
	}
	for _, s := range samples {
		if s.IsDir() {
			continue // worked examples, which the end-to-end tests run
		}
		t.Run(s.Name(), func(t *testing.T) {
			o, err := test.Sample(s.Name())
			if err != nil {
				t.Fatal(err)
			}
			clients.UseNamespace(t.Context(), t, o.GetNamespace())
			// One that is there already was admitted before that is found out.
			if _, err := clients.Admit(t.Context(), o); err != nil && !apierrs.IsAlreadyExists(err) {
				t.Error(err)
			}
		})
	}
}

// TestTemperature: a number and the same as a string are stored as a number.
func TestTemperature(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	for value, want := range map[any]any{0.7: 0.7, "0.7": 0.7, int64(1): int64(1), "1": int64(1)} {
		admitted, err := clients.Admit(ctx, agent(t, namespace, "temperature", value))
		if err != nil {
			t.Errorf("%#v: %v", value, err)
			continue
		}
		got, _, err := unstructured.NestedFieldNoCopy(admitted.Object, "spec", "ai", "temperature")
		if got != want || err != nil {
			t.Errorf("spec.ai.temperature %#v is stored as %#v (%v), want the number %v", value, got, err, want)
		}
	}
}
