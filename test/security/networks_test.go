package security

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	functionresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

func matches(t *testing.T, selector metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(of))
}

// TestOperatorNetworkPolicies: each Deployment is held by one policy, which opens
// ports that it listens on and no others than these. Metrics, which name the namespaces
// of the cluster, are for the namespace that monitors.
func TestOperatorNetworkPolicies(t *testing.T) {
	var policies []*networkingv1.NetworkPolicy
	var deployments []*appsv1.Deployment
	for _, o := range manifests(t, "config/core") {
		switch o.GetKind() {
		case "NetworkPolicy":
			policies = append(policies, as[networkingv1.NetworkPolicy](t, o))
		case "Deployment":
			deployments = append(deployments, as[appsv1.Deployment](t, o))
		}
	}
	open := map[string][]int32{}
	for _, d := range deployments {
		listens := map[int32]bool{}
		for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
			listens[p.ContainerPort] = true
		}
		held := 0
		for _, p := range policies {
			if p.Namespace != d.Namespace || !matches(t, p.Spec.PodSelector, d.Spec.Template.Labels) {
				continue
			}
			held++
			for _, rule := range p.Spec.Ingress {
				for _, port := range rule.Ports {
					if !listens[port.Port.IntVal] {
						t.Errorf("%s opens %v, where nothing listens", p.Name, port.Port)
					}
					open[d.Name] = append(open[d.Name], port.Port.IntVal)
					if port.Port.IntVal == metricsPort && !monitoringOnly(rule) {
						t.Errorf("%s opens the metrics to %v, want the namespace monitoring alone", p.Name, rule.From)
					}
				}
			}
		}
		if held != 1 {
			t.Errorf("%d policies hold %s, want 1", held, d.Name)
		}
	}
	want := map[string][]int32{"knative-lambda-controller": {9090}, "knative-lambda-webhook": {9090, 8443}, "knative-lambda-receiver": {9090, 8080},
		"knative-lambda-broker": {9090, 8080, 8443, 8083}}
	if diff := cmp.Diff(want, open); diff != "" {
		t.Error("open ports (-want, +got):", diff)
	}
}

const metricsPort = 9090

// monitoringOnly reports whether a rule opens its ports to the namespace monitoring and
// to nothing else.
func monitoringOnly(rule networkingv1.NetworkPolicyIngressRule) bool {
	if len(rule.Ports) != 1 || len(rule.From) != 1 || rule.From[0].NamespaceSelector == nil || rule.From[0].IPBlock != nil {
		return false
	}
	selector := rule.From[0].NamespaceSelector
	return len(selector.MatchExpressions) == 0 && selector.MatchLabels["kubernetes.io/metadata.name"] == "monitoring"
}

// TestBuildNetworkPolicy: it holds build pods, and leaves out what internal/egress refuses
// to sources: neither the API server nor a cloud's metadata is reached by a build.
func TestBuildNetworkPolicy(t *testing.T) {
	policy := as[networkingv1.NetworkPolicy](t, manifests(t, "config/security")[0])
	f := &v1alpha1.LambdaFunction{}
	f.Name = "f"
	job := functionresources.MakeBuildJob(f, &functionresources.Build{Name: "b", Language: &config.Language{}}, config.FromContext(shipped(t)).Build)
	if !matches(t, policy.Spec.PodSelector, job.Spec.Template.Labels) {
		t.Errorf("it does not hold build pods, which have the labels %v", job.Spec.Template.Labels)
	}
	service := functionresources.MakeService(f, "r.test/team/x", &config.Language{}, &config.Defaults{})
	if matches(t, policy.Spec.PodSelector, service.Spec.Template.Labels) {
		t.Error("it holds the function's own pods")
	}
	if diff := cmp.Diff([]networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}, policy.Spec.PolicyTypes); diff != "" || len(policy.Spec.Ingress) > 0 {
		t.Errorf("types (-want, +got): %s; it lets in %v", diff, policy.Spec.Ingress)
	}
	var left []netip.Prefix
	for _, rule := range policy.Spec.Egress {
		for _, to := range rule.To {
			if to.IPBlock != nil {
				left = append(left, egress.Prefixes(to.IPBlock.Except...)...)
			}
		}
	}
	for _, network := range append(slices.Clone(egress.NonPublic), egress.Own...) {
		if !slices.ContainsFunc(left, func(p netip.Prefix) bool { return p.Bits() <= network.Bits() && p.Contains(network.Addr()) }) {
			t.Errorf("builds reach %s", network)
		}
	}
}
