package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// Parse reads a manifest of one object, as a user writes it.
func Parse(manifest []byte) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(manifest, &o.Object); err != nil {
		return nil, err
	}
	return o, nil
}

// Sample reads a manifest of config/samples, from the folder of a test suite.
func Sample(name string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(filepath.Join("../../config/samples", name))
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Contains checks that a message for a person has all the words.
func Contains(t *testing.T, what, message string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(message, w) {
			t.Errorf("%s does not say %q: %s", what, w, message)
		}
	}
}

// Apply applies an object as kubectl apply --server-side does.
func (c *Clients) Apply(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	client, err := c.resource(o)
	if err != nil {
		return nil, err
	}
	return client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
}

// Create makes a new object, as kubectl create does.
func (c *Clients) Create(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	client, err := c.resource(o)
	if err != nil {
		return nil, err
	}
	return client.Create(ctx, o, metav1.CreateOptions{FieldManager: FieldManager})
}

// Delete removes an object.
func (c *Clients) Delete(ctx context.Context, o *unstructured.Unstructured) error {
	client, err := c.resource(o)
	if err != nil {
		return err
	}
	return client.Delete(ctx, o.GetName(), metav1.DeleteOptions{})
}

// Admit asks whether the API server would take a new object, as kubectl create
// --dry-run=server does: schema, rules and webhooks are asked and nothing is
// stored. Like kubectl, it takes no field that the schema does not know.
func (c *Clients) Admit(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	client, err := c.resource(o)
	if err != nil {
		return nil, err
	}
	return client.Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
}

// AdmitChange asks whether the API server would take a change of an object, given
// as a JSON merge patch.
func (c *Clients) AdmitChange(ctx context.Context, o *unstructured.Unstructured, patch string) error {
	client, err := c.resource(o)
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, o.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager})
	return err
}

// resource is where objects of the kind are read and written.
func (c *Clients) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	resources, err := c.Discovery.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper([]*restmapper.APIGroupResources{{
		Group: metav1.APIGroup{Name: kind.Group, Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: resources.GroupVersion, Version: kind.Version}},
			PreferredVersion: metav1.GroupVersionForDiscovery{GroupVersion: resources.GroupVersion, Version: kind.Version}},
		VersionedResources: map[string][]metav1.APIResource{kind.Version: resources.APIResources},
	}})
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: kind.Group, Kind: kind.Kind}, kind.Version)
	if err != nil {
		return nil, err
	}
	return c.Dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
}
