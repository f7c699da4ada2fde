package guard

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubefake "k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdafake "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
)

// TestWatch_FollowsChanges: a Service that turns into an alias, loses what it allows, or
// gets endpoints by hand is judged as it is now.
func TestWatch_FollowsChanges(t *testing.T) {
	t.Parallel()
	w := cluster(t)
	permitted := func(host, address string) bool {
		return w.guard.Permit("team", host+".svc.cluster.local:80", netip.MustParseAddr(address)) == nil
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("waited in vain until " + what)
			}
		}
	}
	services := w.kube.CoreV1().Services("team")
	if !permitted("api.team", "10.96.0.1") || !permitted("own.team", "10.96.0.7") || !permitted("open.other", "10.96.1.2") {
		t.Fatal("what is to change is not permitted at first")
	}
	if _, err := services.Update(t.Context(), alias("team/api", "api.other.svc.cluster.local"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("the alias is refused", func() bool { return !permitted("api.team", "10.96.1.1") && !permitted("api.team", "10.96.0.1") })
	if _, err := w.kube.DiscoveryV1().EndpointSlices("team").Create(t.Context(), endpoints("team/own", mirrored, "10.244.1.1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("the endpoints are refused", func() bool { return !permitted("own.team", "10.96.0.7") })
	if _, err := w.kube.CoreV1().Services("other").Update(t.Context(), at("other/open", "shop", "10.96.1.2"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what is not allowed any more is refused", func() bool { return !permitted("open.other", "10.96.1.2") })
}

func TestWatch_WithoutServing(t *testing.T) {
	t.Parallel()
	kube := kubefake.NewClientset(at("other/api", "team", "10.96.1.1"))
	clients := Clients{Kube: kube, Metadata: metadatafake.NewSimpleMetadataClient(metadataScheme(t)), Lambda: lambdafake.NewSimpleClientset()}
	c, err := Watch(t.Context(), t.Context(), clients, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Allows("team", key("other/api")) || c.Allows("shop", key("other/api")) || c.Allows("team", key("other/ksvc")) {
		t.Error("what a Service allows is not known")
	}
}

// TestWatch_WhenForbidden_Ends: without its rights the program does not deliver anywhere.
func TestWatch_WhenForbidden_Ends(t *testing.T) {
	t.Parallel()
	kube := kubefake.NewClientset()
	kube.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, context.DeadlineExceeded })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	clients := Clients{Kube: kube, Metadata: metadatafake.NewSimpleMetadataClient(metadataScheme(t)), Lambda: lambdafake.NewSimpleClientset()}
	if _, err := Watch(t.Context(), ctx, clients, nil); err == nil {
		t.Error("Watch() returns without the Services of the cluster")
	}
}

// TestStrip: what the caches keep, once or more often stripped.
func TestStrip(t *testing.T) {
	t.Parallel()
	full := metav1.ObjectMeta{
		Namespace: "team", Name: "x", UID: "u", ResourceVersion: "1", Generation: 3, Finalizers: []string{"f"},
		Labels:        map[string]string{"serving.knative.dev/service": "x", discoveryv1.LabelServiceName: "x", discoveryv1.LabelManagedBy: "me", "app": "x"},
		Annotations:   map[string]string{lambda.AllowedSourceNamespacesAnnotationKey: "shop", "large": "text"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}
	kept := func(labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "team", Name: "x", UID: "u", ResourceVersion: "1", Labels: labels,
			Annotations: map[string]string{lambda.AllowedSourceNamespacesAnnotationKey: "shop"},
		}
	}
	for name, tt := range map[string]struct{ object, want any }{
		"Service": {
			&corev1.Service{ObjectMeta: full, Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1"}, Selector: map[string]string{"app": "x"},
				Ports: []corev1.ServicePort{{Port: 80}}, ExternalIPs: []string{"10.96.1.1"},
			}},
			&corev1.Service{ObjectMeta: kept(map[string]string{"serving.knative.dev/service": "x"}), Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1"}, Selector: anySelector,
			}},
		},
		"EndpointSlice": {
			&discoveryv1.EndpointSlice{ObjectMeta: full, Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.244.0.1"}, TargetRef: &corev1.ObjectReference{Name: "p"}}, {Addresses: []string{"10.244.0.2"}},
			}, Ports: []discoveryv1.EndpointPort{{}}},
			&discoveryv1.EndpointSlice{
				ObjectMeta: kept(map[string]string{discoveryv1.LabelServiceName: "x", discoveryv1.LabelManagedBy: "me"}),
				Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.1", "10.244.0.2"}}},
			},
		},
		"LambdaAgent": {
			&v1alpha1.LambdaAgent{ObjectMeta: full, Spec: v1alpha1.LambdaAgentSpec{Eventing: &v1alpha1.AgentEventing{
				AllowedSourceNamespaces: []string{"team"}, Intents: []string{"order.placed"},
			}}},
			&v1alpha1.LambdaAgent{ObjectMeta: kept(nil), Spec: v1alpha1.LambdaAgentSpec{Eventing: &v1alpha1.AgentEventing{AllowedSourceNamespaces: []string{"team"}}}},
		},
		"metadata":  {&metav1.PartialObjectMetadata{ObjectMeta: full}, &metav1.PartialObjectMetadata{ObjectMeta: kept(nil)}},
		"tombstone": {"other", "other"},
	} {
		once, err := strip(tt.object)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		twice, _ := strip(once)
		for _, got := range []any{once, twice} {
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want, +got): %s", name, diff)
			}
		}
	}
}

func metadataScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}
