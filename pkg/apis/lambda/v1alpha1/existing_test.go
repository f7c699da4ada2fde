package v1alpha1

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/test/existing"
)

// TestExistingManifests: what people have written is admitted as it is, with warnings
// that name the fields without an effect. The same manifests are applied to an API server
// by TestExistingManifests of test/conformance.
func TestExistingManifests(t *testing.T) {
	manifests, err := existing.Load("../../../../test/conformance/testdata/existing")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests {
		t.Run(m.Name, func(t *testing.T) {
			var object interface {
				apis.Validatable
				SetDefaults(context.Context)
			} = &LambdaAgent{}
			if strings.Contains(string(m.Text), "kind: LambdaFunction") {
				object = &LambdaFunction{}
			}
			if err := yaml.UnmarshalStrict(m.Text, object); err != nil {
				t.Fatal(err)
			}
			ctx := apis.WithinCreate(configured())
			object.SetDefaults(ctx)
			errs := object.Validate(ctx)
			if err := errs.Filter(apis.ErrorLevel); err != nil {
				t.Fatal("refused:", err)
			}
			var warnings []string
			for _, w := range errs.Filter(apis.WarningLevel).WrappedErrors() {
				warnings = append(warnings, w.Error())
				for _, path := range w.Paths {
					if !leadsToField(reflect.TypeOf(object), path) {
						t.Errorf("%q is the path of no field", path)
					}
				}
			}
			if missing, unexpected := m.Missing(warnings); len(missing)+len(unexpected) > 0 {
				t.Errorf("missing warnings: %q\nunexpected warnings: %q", missing, unexpected)
			}
		})
	}
}
