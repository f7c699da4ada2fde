package deadletter

import (
	"context"
	"fmt"
	"net/netip"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	networkingv1alpha1 "knative.dev/networking/pkg/apis/networking/v1alpha1"
	networkingclientset "knative.dev/networking/pkg/client/clientset/versioned"
)

// Serving finds the gateway that serves an owner.
type Serving interface {
	// Gateway is the host that serves the address of an owner inside the cluster. uid is that of
	// the function or agent. It is read from Knative's Ingress, which users of the namespace
	// cannot write, if that belongs to the owner. They can write the Service of the owner's
	// name, such as an ExternalName for a Service of another namespace, whose answers they
	// may not read: its name is not resolved. The error has ReasonNotReady if an object is
	// missing or belongs to another owner.
	Gateway(ctx context.Context, o Owner, uid types.UID) (host string, err error)
}

// chain of the objects that lead from an owner to its Ingress. Each controls the next.
var chain = []struct {
	kind     string
	resource schema.GroupVersionResource
}{
	{"Knative Service", schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}},
	{"Route", schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}},
}

type serving struct {
	objects   metadata.Interface
	ingresses networkingclientset.Interface
}

// NewServing returns a Serving that reads from the API server.
func NewServing(objects metadata.Interface, ingresses networkingclientset.Interface) Serving {
	return serving{objects, ingresses}
}

// Gateway implements Serving.
func (s serving) Gateway(ctx context.Context, o Owner, uid types.UID) (string, error) {
	above := string(o.Kind)
	for _, link := range chain {
		found, err := s.objects.Resource(link.resource).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		if err := controlled(o, link.kind, found, err, above, uid); err != nil {
			return "", err
		}
		above, uid = link.kind, found.UID
	}
	ingress, err := s.ingresses.NetworkingV1alpha1().Ingresses(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	if err := controlled(o, "Ingress", ingress, err, above, uid); err != nil {
		return "", err
	}
	if host := gateway(ingress.Status.PrivateLoadBalancer); host != "" {
		return host, nil
	}
	return "", notServed(o, fmt.Sprintf("Ingress %s/%s names no gateway inside the cluster", o.Namespace, o.Name))
}

// controlled returns an error unless an object was found and belongs to the one above it.
func controlled(o Owner, kind string, found metav1.Object, err error, above string, uid types.UID) error {
	switch {
	case apierrs.IsNotFound(err):
		return notServed(o, fmt.Sprintf("%s %s/%s does not exist", kind, o.Namespace, o.Name))
	case err != nil:
		return fmt.Errorf("reading %s %s/%s: %w", kind, o.Namespace, o.Name, err)
	}
	if controller := metav1.GetControllerOf(found); controller == nil || controller.UID != uid {
		return notServed(o, fmt.Sprintf("%s %s/%s is not controlled by the %s of that name; delete it, and Knative creates it again",
			kind, o.Namespace, o.Name, above))
	}
	return nil
}

// gateway of a load balancer: a host or an address, as in a URL; empty if there is none.
func gateway(b *networkingv1alpha1.LoadBalancerStatus) string {
	if b == nil {
		return ""
	}
	for _, i := range b.Ingress {
		for _, host := range []string{i.DomainInternal, i.Domain, i.IP} {
			if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
				return "[" + host + "]"
			}
			if host != "" {
				return host
			}
		}
	}
	return ""
}

func notServed(o Owner, why string) error {
	return notReady(o, "cannot be sent its dead letters: %s", why)
}
