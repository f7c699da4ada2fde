package security

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestBrokerRights: the event plane delivers for all namespaces. It reads what decides
// about deliveries, of Secrets the one with connections, and no pods, and writes EventTypes
// only.
func TestBrokerRights(t *testing.T) {
	got := map[string]string{}
	for _, o := range manifests(t, "config/core") {
		if (o.GetKind() != "Role" && o.GetKind() != "ClusterRole") || o.GetName() != "knative-lambda-broker" {
			continue
		}
		for _, rule := range as[rbacv1.ClusterRole](t, o).Rules {
			for _, resource := range rule.Resources {
				for _, name := range append(slices.Clone(rule.ResourceNames), "")[:max(len(rule.ResourceNames), 1)] {
					got[strings.Trim(o.GetNamespace()+"/"+rule.APIGroups[0]+"/"+resource+"/"+name, "/")] = strings.Join(rule.Verbs, " ")
				}
			}
		}
	}
	want := map[string]string{
		"eventing.knative.dev/brokers":                       "get list watch",
		"eventing.knative.dev/triggers":                      "list watch",
		"eventing.knative.dev/eventpolicies":                 "list watch",
		"eventing.knative.dev/eventtypes":                    "list watch create",
		"services":                                           "list watch",
		"namespaces":                                         "list watch",
		"discovery.k8s.io/endpointslices":                    "list watch",
		"lambda.knative.io/lambdaagents":                     "list watch",
		"lambda.knative.io/lambdafunctions":                  "list watch",
		"serving.knative.dev/services":                       "list watch",
		"configmaps/config-features":                         "get list watch",
		"knative-lambda//configmaps/config-observability":    "get",
		"knative-lambda//configmaps/config-eventing":         "get list watch",
		"knative-lambda//configmaps/config-build":            "get list watch",
		"knative-lambda//secrets/knative-lambda-connections": "list watch",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("rights of the broker (-want, +got):", diff)
	}
}
