package security

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apix "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	fakeapix "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/fake"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apiextensions/storageversion"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// TestStorageMigration: what config/post-install runs does its work with the rights that
// it has there, for each kind of config/core.
func TestStorageMigration(t *testing.T) {
	var kinds, migrated []string
	var rules []rbacv1.PolicyRule
	for _, o := range manifests(t, "config/core/300-resources") {
		kinds = append(kinds, o.GetName())
	}
	for _, o := range manifests(t, "config/post-install") {
		switch o.GetKind() {
		case "ClusterRole":
			rules = as[rbacv1.ClusterRole](t, o).Rules
		case "Job":
			migrated = as[batchv1.Job](t, o).Spec.Template.Spec.Containers[0].Args
		}
	}
	slices.Sort(kinds)
	slices.Sort(migrated)
	if diff := cmp.Diff(kinds, migrated); diff != "" {
		t.Fatal("kinds that are migrated (-want, +got):", diff)
	}
	for _, kind := range kinds {
		for _, a := range migrate(t, schema.ParseGroupResource(kind)) {
			if !allows(rules, a) {
				t.Errorf("it may not %s %s %s of %s", a.GetVerb(), a.GetResource().Resource, a.GetSubresource(), a.GetResource().Group)
			}
		}
	}
}

// migrate an object that is stored in an older version, and return what was asked for.
func migrate(t *testing.T, of schema.GroupResource) []clientgotesting.Action {
	t.Helper()
	crds := fakeapix.NewSimpleClientset(&apix.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: of.String()},
		Spec:       apix.CustomResourceDefinitionSpec{Versions: []apix.CustomResourceDefinitionVersion{{Name: "v1alpha1", Served: true}, {Name: "v1beta1", Served: true, Storage: true}}},
		Status:     apix.CustomResourceDefinitionStatus{StoredVersions: []string{"v1alpha1", "v1beta1"}},
	})
	stored := &unstructured.Unstructured{Object: map[string]any{"apiVersion": lambda.GroupName + "/v1beta1", "kind": "Stored", "metadata": map[string]any{"namespace": "team", "name": "one"}}}
	gvr := of.WithVersion("v1beta1")
	objects := fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{gvr: "StoredList"})
	if err := objects.Tracker().Create(gvr, stored, "team"); err != nil {
		t.Fatal(err)
	}
	if err := storageversion.NewMigrator(objects, crds).Migrate(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	crd, err := crds.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), of.String(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1beta1"}, crd.Status.StoredVersions); diff != "" {
		t.Errorf("stored versions of %s (-want, +got): %s", of, diff)
	}
	patches := 0
	for _, a := range objects.Actions() {
		if a.GetVerb() == "patch" {
			patches++
		}
	}
	if patches != 1 {
		t.Errorf("%d objects of %s were written anew, want 1", patches, of)
	}
	return append(crds.Actions(), objects.Actions()...)
}

func allows(rules []rbacv1.PolicyRule, a clientgotesting.Action) bool {
	resource := a.GetResource().Resource
	if sub := a.GetSubresource(); sub != "" {
		resource += "/" + sub
	}
	name := ""
	if named, ok := a.(interface{ GetName() string }); ok {
		name = named.GetName()
	}
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.APIGroups, a.GetResource().Group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, a.GetVerb()) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name))
	})
}
