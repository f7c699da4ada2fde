package deadletter_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/fake"
	networkingv1alpha1 "knative.dev/networking/pkg/apis/networking/v1alpha1"
	networkingfake "knative.dev/networking/pkg/client/clientset/versioned/fake"
	"knative.dev/pkg/ptr"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// made is an object of the name key, controlled by an object of that UID.
func made(apiVersion, kind, uid, controller string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: apiVersion, Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: types.UID(uid)},
	}
	if controller != "" {
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Any", Name: key.Name, UID: types.UID(controller), Controller: ptr.Bool(true)}}
	}
	return o
}

func TestServing_Gateway(t *testing.T) {
	t.Parallel()
	service := func(controller string) runtime.Object {
		return made("serving.knative.dev/v1", "Service", "ksvc", controller)
	}
	route := func(controller string) runtime.Object {
		return made("serving.knative.dev/v1", "Route", "route", controller)
	}
	ingress := func(controller string, gateways ...networkingv1alpha1.LoadBalancerIngressStatus) runtime.Object {
		return &networkingv1alpha1.Ingress{
			ObjectMeta: made("", "", "ingress", controller).ObjectMeta,
			Status:     networkingv1alpha1.IngressStatus{PrivateLoadBalancer: &networkingv1alpha1.LoadBalancerStatus{Ingress: gateways}},
		}
	}
	private := networkingv1alpha1.LoadBalancerIngressStatus{DomainInternal: "private.gateway.svc.cluster.local"}
	for name, tc := range map[string]struct {
		objects []runtime.Object
		ingress runtime.Object
		want    string // the gateway, or a part of the error
	}{
		"as Knative made them":    {[]runtime.Object{service("f"), route("ksvc")}, ingress("route", private), "private.gateway.svc.cluster.local"},
		"an address":              {[]runtime.Object{service("f"), route("ksvc")}, ingress("route", networkingv1alpha1.LoadBalancerIngressStatus{IP: "10.0.0.1"}), "10.0.0.1"},
		"an IPv6 address":         {[]runtime.Object{service("f"), route("ksvc")}, ingress("route", networkingv1alpha1.LoadBalancerIngressStatus{IP: "fd00::1"}), "[fd00::1]"},
		"no Knative Service":      {nil, nil, "Knative Service team/greeter does not exist"},
		"no Ingress":              {[]runtime.Object{service("f"), route("ksvc")}, nil, "Ingress team/greeter does not exist"},
		"no gateway":              {[]runtime.Object{service("f"), route("ksvc")}, ingress("route"), "Ingress team/greeter names no gateway inside the cluster"},
		"a mesh only":             {[]runtime.Object{service("f"), route("ksvc")}, ingress("route", networkingv1alpha1.LoadBalancerIngressStatus{MeshOnly: true}), "names no gateway inside the cluster"},
		"an Ingress of one's own": {[]runtime.Object{service("f"), route("ksvc")}, ingress("", private), "Ingress team/greeter is not controlled by the Route"},
		"a Route of one's own":    {[]runtime.Object{service("f"), route("")}, ingress("route", private), "Route team/greeter is not controlled by the Knative Service"},
		"another function's":      {[]runtime.Object{service("g"), route("ksvc")}, ingress("route", private), "Knative Service team/greeter is not controlled by the function"},
		"a Service of one's own":  {[]runtime.Object{service(""), route("ksvc")}, ingress("route", private), "Knative Service team/greeter is not controlled by the function"},
		"of a function before it": {[]runtime.Object{service("old"), route("ksvc")}, ingress("route", private), "delete it, and Knative creates it again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme := fake.NewTestScheme()
			if err := metav1.AddMetaToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			ingresses := networkingfake.NewSimpleClientset()
			if tc.ingress != nil {
				ingresses = networkingfake.NewSimpleClientset(tc.ingress)
			}
			host, err := deadletter.NewServing(fake.NewSimpleMetadataClient(scheme, tc.objects...), ingresses).Gateway(t.Context(), deadletter.Function(key), "f")
			var notReady *httpapi.StatusError
			switch {
			case err == nil:
				if host != tc.want {
					t.Errorf("Gateway() = %q, want %q", host, tc.want)
				}
			case !errors.As(err, &notReady) || notReady.Reason != deadletter.ReasonNotReady || !strings.Contains(err.Error(), tc.want):
				t.Errorf("Gateway() = %v, want %q", err, tc.want)
			}
		})
	}
}

type replaced struct{}

func (replaced) Gateway(context.Context, deadletter.Owner, types.UID) (string, error) {
	return "", errors.New("the Service team/greeter is not controlled by the Route")
}

// TestReplay_ToAReplacedService: nothing is sent to an address that is not the owner's.
// Outcomes, which are for the Broker, do not wait for it.
func TestReplay_ToAReplacedService(t *testing.T) {
	t.Parallel()
	r := newRecipient(t, func(string) int { return 500 })
	s, store := service(t, r.function(), 1, r.client())
	s.Serving = replaced{}
	outcome := newEvent("outcome", map[string]any{"knativeerrorcode": 500})
	outcome.SetType("io.knative.lambda.response.error")
	outcome.SetSource("io.knative.lambda/function/team/greeter")
	outcome.SetSubject("team/greeter")
	if err := store.Publish(t.Context(), queue, outcome); err != nil {
		t.Fatal(err)
	}
	results := map[string]string{}
	err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(one receiverv1.ReplayResult) { results[one.ID] = one.Error })
	if err != nil || !strings.Contains(results["0"], "is not controlled by") || len(r.got) != 0 {
		t.Errorf("Replay() = %v, results %v, the other Service got %v; want a refusal", err, results, r.got)
	}
	if results["outcome"] != "" || !slices.Equal(r.replies, []string{"outcome"}) || !slices.Equal(store.IDs(queue), []string{"0"}) {
		t.Errorf("results %v, the Broker got %v, %v are left in the queue", results, r.replies, store.IDs(queue))
	}
}

type at string

func (a at) Gateway(context.Context, deadletter.Owner, types.UID) (string, error) {
	return string(a), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestReplay_OverTheGateway: the gateway gets the request, with the owner's name as host.
// The name of the owner's Service, which its users can lead elsewhere, is not dialled.
func TestReplay_OverTheGateway(t *testing.T) {
	t.Parallel()
	var got []string
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.Host+" "+r.Host)
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
	})}
	r := newRecipient(t, func(string) int { return 500 })
	s, store := service(t, r.function(), 1, client)
	s.Serving = at("private.gateway.svc.cluster.local")
	if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(receiverv1.ReplayResult) {}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"private.gateway.svc.cluster.local greeter.team.svc.cluster.local"}; !slices.Equal(got, want) || len(store.IDs(queue)) != 0 {
		t.Errorf("requests went to %v, want %v; %v are left in the queue", got, want, store.IDs(queue))
	}
}
