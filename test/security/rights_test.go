package security

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// TestNoWildcards: every right that a manifest gives is written out.
func TestNoWildcards(t *testing.T) {
	rules := 0
	for _, o := range manifests(t, "config") {
		if o.GetKind() != "Role" && o.GetKind() != "ClusterRole" {
			continue
		}
		for _, rule := range as[rbacv1.ClusterRole](t, o).Rules {
			rules++
			if slices.Contains(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs), "*") {
				t.Errorf("%s %s has a wildcard: %v", o.GetKind(), o.GetName(), rule)
			}
			if slices.Contains(rule.Verbs, "impersonate") && len(rule.ResourceNames) == 0 {
				t.Errorf("%s %s may be anybody: %v", o.GetKind(), o.GetName(), rule)
			}
			if slices.Contains(rule.Verbs, "escalate") || slices.Contains(rule.Verbs, "bind") {
				t.Errorf("%s %s may give what it has not: %v", o.GetKind(), o.GetName(), rule)
			}
		}
	}
	if rules < 30 {
		t.Errorf("%d rules are looked at: the test tests little", rules)
	}
}
