//go:build e2e

package tenant

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const metricsPort = 9090

// TestMetricsOfTheOperator: metrics name all namespaces, so pods of tenants do not reach
// them where the cluster's network enforces NetworkPolicies.
func TestMetricsOfTheOperator(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	attacker := admin.Tenant(ctx, t, "attacker")
	ns, err := admin.Kube.CoreV1().Namespaces().Get(ctx, attacker.Namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := admin.Kube.NetworkingV1().NetworkPolicies(operatorNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for i := range policies.Items {
		p := &policies.Items[i]
		for _, rule := range p.Spec.Ingress {
			if opens(rule, metricsPort) {
				open++
				if lets(t, rule, ns.Labels) {
					t.Errorf("NetworkPolicy %s lets pods of namespace %s reach port %d", p.Name, ns.Name, metricsPort)
				}
			}
		}
	}
	if open == 0 {
		t.Errorf("no NetworkPolicy of %s opens port %d to anybody", operatorNamespace, metricsPort)
	}
	attack := outpost(ctx, t, attacker)
	reached := false
	for _, component := range []string{"controller", "receiver"} {
		got := attack(ctx, order{URL: fmt.Sprintf("http://knative-lambda-%s.%s.svc:%d/metrics", component, operatorNamespace, metricsPort), Method: http.MethodGet})
		reached = reached || got.Status == http.StatusOK && strings.Contains(got.Body, "namespace=")
	}
	if reached {
		t.Log("a tenant's pod reads the operator's metrics: this cluster's network enforces no NetworkPolicies")
	}
}

func opens(rule networkingv1.NetworkPolicyIngressRule, port int32) bool {
	for _, p := range rule.Ports {
		if p.Port == nil || p.Port.IntVal == port {
			return true
		}
	}
	return len(rule.Ports) == 0
}

// lets reports whether a rule admits pods that have no labels, of a namespace with these.
func lets(t *testing.T, rule networkingv1.NetworkPolicyIngressRule, namespace map[string]string) bool {
	t.Helper()
	for _, from := range rule.From {
		if from.IPBlock != nil || from.NamespaceSelector == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(from.NamespaceSelector)
		if err != nil {
			t.Fatal(err)
		}
		if selector.Matches(labels.Set(namespace)) && (from.PodSelector == nil || len(from.PodSelector.MatchLabels)+len(from.PodSelector.MatchExpressions) == 0) {
			return true
		}
	}
	return len(rule.From) == 0
}
