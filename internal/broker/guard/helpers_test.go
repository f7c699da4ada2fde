package guard

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdafake "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
)

// key of "namespace/name".
func key(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// meta of "namespace/name", with the namespaces that it allows.
func meta(name, allowed string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: key(name).Namespace, Name: key(name).Name}
	if allowed != "" {
		m.Annotations = map[string]string{lambda.AllowedSourceNamespacesAnnotationKey: allowed}
	}
	return m
}

// at is a Service with a selector.
func at(name, allowed string, addresses ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta(name, allowed), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Selector: map[string]string{"app": "x"}}}
	s.Spec.ClusterIP, s.Spec.ClusterIPs = addresses[0], addresses
	return s
}

// unselected is a Service without a selector.
func unselected(name string, addresses ...string) *corev1.Service {
	s := at(name, "", addresses...)
	s.Spec.Selector = nil
	return s
}

// alias is an ExternalName Service.
func alias(name, of string) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(name, ""), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: of}}
}

// owned makes an object the controller of a Service.
func owned(s *corev1.Service, apiVersion, kind, name string) *corev1.Service {
	controls := true
	s.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: &controls}}
	return s
}

// knative is the Service that Knative Serving makes for a Knative Service. It keeps what
// was once allowed.
func knative(name, of string) *corev1.Service {
	s := owned(alias(name, of), "serving.knative.dev/v1", "Route", key(name).Name)
	s.Labels = map[string]string{"serving.knative.dev/service": key(name).Name}
	s.Annotations = map[string]string{lambda.AllowedSourceNamespacesAnnotationKey: "*"}
	return s
}

// endpoints of a Service, written by a controller.
func endpoints(service, managedBy string, addresses ...string) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta(service+"-"+strings.ToLower(strings.ReplaceAll(managedBy, ".", "-")), "")}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: key(service).Name, discoveryv1.LabelManagedBy: managedBy}
	for _, a := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return slice
}

func partial(apiVersion, kind, name, allowed string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}, ObjectMeta: meta(name, allowed)}
}

func agent(name string, allowed ...string) *v1alpha1.LambdaAgent {
	return &v1alpha1.LambdaAgent{ObjectMeta: meta(name, ""), Spec: v1alpha1.LambdaAgentSpec{Eventing: &v1alpha1.AgentEventing{AllowedSourceNamespaces: allowed}}}
}

// world is a Guard of a cluster with these objects.
type world struct {
	guard *Guard
	kube  *kubefake.Clientset
}

func newWorld(t *testing.T, kube, metadata, agents []runtime.Object, brokers ...*eventingv1.Broker) *world {
	t.Helper()
	w := &world{kube: kubefake.NewClientset(kube...)}
	w.kube.Resources = []*metav1.APIResourceList{{GroupVersion: "serving.knative.dev/v1"}}
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, b := range brokers {
		if err := indexer.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	clients := Clients{Kube: w.kube, Metadata: metadatafake.NewSimpleMetadataClient(metadataScheme(t), metadata...), Lambda: lambdafake.NewSimpleClientset(agents...)}
	running, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	cluster, err := Watch(running, t.Context(), clients, eventinglisters.NewBrokerLister(indexer))
	if err != nil {
		t.Fatal(err)
	}
	settings := &Settings{
		Gateways: []types.NamespacedName{key("kourier-system/kourier-internal")},
		Allowed:  egress.Prefixes("192.168.5.0/24", "10.96.7.0/24"), Denied: egress.Prefixes("203.0.114.0/24", "10.244.66.0/24"),
	}
	w.guard = &Guard{
		Domain: "cluster.local", Shared: []types.NamespacedName{key("knative-lambda/knative-lambda-broker"), key("knative-eventing/imc-dispatcher")},
		Cluster: cluster, Settings: func() *Settings { return settings },
	}
	return w
}
