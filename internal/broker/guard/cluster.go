package guard

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Indexes of the caches.
const (
	byAddress = "address"
	byService = "service"
)

// managedBySelector is the controller that writes EndpointSlices for Services with a
// selector. It puts those right that others write in its name.
const managedBySelector = "endpointslice-controller.k8s.io"

// caches are a Cluster of what informers hold.
type caches struct {
	services, slices cache.Indexer
	// namespaces, and the objects whose Services they make: they have what is allowed.
	// knative is nil where the cluster has no Knative Services.
	namespaces, knative, functions, agents cache.Indexer
	brokers                                eventinglisters.BrokerLister
}

var _ Cluster = (*caches)(nil)

// Service implements Cluster.
func (c *caches) Service(name types.NamespacedName) (Service, bool) {
	s, ok := c.service(name)
	if !ok {
		return Service{}, false
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return Service{ExternalName: s.Spec.ExternalName}, true
	}
	all, _ := c.slices.ByIndex(byService, name.String()) // it fails for an unknown index only
	known := Service{Headless: s.Spec.ClusterIP == corev1.ClusterIPNone}
	for _, o := range all {
		if slice, ok := o.(*discoveryv1.EndpointSlice); ok && !c.selected(slice) {
			known.Unmanaged = append(known.Unmanaged, addressesOf(slice)...)
		}
	}
	return known, true
}

// Owners implements Cluster.
func (c *caches) Owners(address netip.Addr) (owners []types.NamespacedName) {
	services, _ := c.services.ByIndex(byAddress, address.String())
	for _, o := range services {
		if s, ok := o.(*corev1.Service); ok {
			owners = append(owners, types.NamespacedName{Namespace: s.Namespace, Name: s.Name})
		}
	}
	found, _ := c.slices.ByIndex(byAddress, address.String())
	for _, o := range found {
		if slice, ok := o.(*discoveryv1.EndpointSlice); ok && c.selected(slice) {
			owners = append(owners, ownerOf(slice))
		}
	}
	return owners
}

// selected reports whether the endpoints are pods of the namespace, by the selector of
// their Service.
func (c *caches) selected(slice *discoveryv1.EndpointSlice) bool {
	s, ok := c.service(ownerOf(slice))
	return ok && len(s.Spec.Selector) > 0 && slice.Labels[discoveryv1.LabelManagedBy] == managedBySelector
}

func (c *caches) service(name types.NamespacedName) (*corev1.Service, bool) {
	o, ok, err := c.services.GetByKey(name.String())
	if err != nil || !ok {
		return nil, false
	}
	s, ok := o.(*corev1.Service)
	return s, ok
}

// Allows implements Cluster: by the Namespace, or by the object that users see. What is
// copied to the Service of a Knative Service stays there when the owner withdraws it.
func (c *caches) Allows(from string, to types.NamespacedName) bool {
	if c.allows(c.namespaces, to.Namespace, from) {
		return true
	}
	s, ok := c.service(to)
	if !ok {
		return false
	}
	owner := metav1.GetControllerOf(s)
	switch {
	case owner == nil:
		return allowsFrom(s, from)
	case owner.Kind == "Route" && strings.HasPrefix(owner.APIVersion, serving.GroupName+"/"):
		name := to.Namespace + "/" + s.Labels[serving.ServiceLabelKey]
		return c.allows(c.knative, name, from) || c.allows(c.functions, name, from) || c.allows(c.agents, name, from)
	case owner.Kind == "Broker":
		b, err := c.brokers.Brokers(to.Namespace).Get(owner.Name)
		return err == nil && allowsFrom(b, from)
	}
	return allowsFrom(s, from)
}

func (*caches) allows(objects cache.Indexer, key, from string) bool {
	if objects == nil {
		return false
	}
	o, ok, err := objects.GetByKey(key)
	if err != nil || !ok {
		return false
	}
	if a, ok := o.(*v1alpha1.LambdaAgent); ok && a.Spec.Eventing != nil && v1alpha1.AllowsNamespace(a.Spec.Eventing.AllowedSourceNamespaces, from) {
		return true
	}
	object, ok := o.(metav1.Object)
	return ok && allowsFrom(object, from)
}

func allowsFrom(o metav1.Object, from string) bool {
	names := strings.FieldsFunc(o.GetAnnotations()[lambda.AllowedSourceNamespacesAnnotationKey], func(r rune) bool { return r == ',' || r == ' ' })
	return v1alpha1.AllowsNamespace(names, from)
}

// ownerOf an EndpointSlice is its Service.
func ownerOf(slice *discoveryv1.EndpointSlice) types.NamespacedName {
	return types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
}

func addressesOf(slice *discoveryv1.EndpointSlice) (all []netip.Addr) {
	for i := range slice.Endpoints {
		all = appendAddresses(all, slice.Endpoints[i].Addresses...)
	}
	return all
}

// appendAddresses leaves out what is none, such as None, and names.
func appendAddresses(all []netip.Addr, texts ...string) []netip.Addr {
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a.Unmap().WithZone(""))
		}
	}
	return all
}

// indexers of Services and EndpointSlices.
var (
	serviceIndexers = cache.Indexers{byAddress: func(o any) ([]string, error) {
		s, ok := o.(*corev1.Service)
		if !ok {
			return nil, nil
		}
		return keys(appendAddresses(nil, append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP)...)), nil
	}}
	sliceIndexers = cache.Indexers{
		byAddress: func(o any) ([]string, error) {
			slice, ok := o.(*discoveryv1.EndpointSlice)
			if !ok {
				return nil, nil
			}
			return keys(addressesOf(slice)), nil
		},
		byService: func(o any) ([]string, error) {
			slice, ok := o.(*discoveryv1.EndpointSlice)
			if !ok {
				return nil, nil
			}
			return []string{ownerOf(slice).String()}, nil
		},
	}
)

func keys(addresses []netip.Addr) (all []string) {
	for _, a := range addresses {
		if text := a.String(); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}
