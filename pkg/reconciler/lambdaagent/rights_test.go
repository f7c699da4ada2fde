package lambdaagent

import (
	"bytes"
	"os"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestControllerHoldsWhatItGives: the API server lets nobody put a right into a Role
// that they do not have.
func TestControllerHoldsWhatItGives(t *testing.T) {
	text, err := os.ReadFile("../../../config/core/200-roles/controller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(bytes.Split(text, []byte("\n---\n"))[0], role); err != nil {
		t.Fatal(err)
	}
	holds := func(group, resource, verb string) bool {
		return slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) && len(r.ResourceNames) == 0
		})
	}
	for _, p := range v1alpha1.Permissions {
		for _, rule := range p.Rules() {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if !holds(rule.APIGroups[0], resource, verb) {
						t.Errorf("the controller may not %s %s.%s, and gives that as %s", verb, resource, rule.APIGroups[0], p)
					}
				}
			}
		}
	}
}
