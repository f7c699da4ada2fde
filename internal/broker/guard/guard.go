// Package guard decides where the event plane may deliver. NetworkPolicies of all
// namespaces with subscribers admit the plane, so that a Trigger must not use it to reach
// what its own namespace may not.
//
// A Trigger may deliver to
//   - Services of its own namespace,
//   - Services of namespaces that allow it (Cluster.Allows),
//   - Services that Knative and the operator share between all namespaces (Guard.Shared),
//   - the public Internet, and networks that an administrator allows.
//
// A Service's name is judged by the namespace in it, as Knative Services are at the address
// of a gateway. The name is then followed: an ExternalName Service to what it stands for,
// endpoints that no selector has chosen to whose pods they are, and the address that is
// dialled to its owner. Any other name is judged by the address.
package guard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const (
	// AllowedKey is the configuration key of Settings.Allowed, for messages.
	AllowedKey = "config-eventing: delivery-allowed-networks"
	// GatewaysKey is that of Settings.Gateways.
	GatewaysKey = "config-eventing: delivery-gateways"
	// maxAliases is how many ExternalName Services are followed.
	maxAliases = 4
)

// Service is what decides about deliveries to a Service.
type Service struct {
	// ExternalName is another name that the Service stands for; empty if it has addresses.
	ExternalName string
	// Headless Services have no address of their own: their name is at their endpoints.
	Headless bool
	// Unmanaged are endpoints that were written by hand, or by a controller of another kind
	// than that of Kubernetes: they may be anybody's pods.
	Unmanaged []netip.Addr
}

// Cluster is what is known of Services and pods.
type Cluster interface {
	// Service of a name, and false if there is none.
	Service(name types.NamespacedName) (Service, bool)
	// Owners of an address: the Service that has it, or those that have selected the pod
	// which does. Users cannot make others the owner of their address.
	Owners(address netip.Addr) []types.NamespacedName
	// Allows reports whether the owner of a Service allows deliveries from another
	// namespace.
	Allows(from string, to types.NamespacedName) bool
}

// Settings are an administrator's.
type Settings struct {
	// Gateways are the Services of Knative Serving's ingress, to which names of Knative
	// Services lead. They choose the target by the name, which has been judged.
	Gateways []types.NamespacedName
	// Allowed networks may be delivered to although they are not public, Denied must not
	// although they are.
	Allowed, Denied []netip.Prefix
}

func (s *Settings) outside() egress.Policy {
	return egress.Policy{Allowed: s.Allowed, AllowedKey: AllowedKey, Denied: s.Denied}
}

// Guard decides about each address that is dialled for a delivery.
type Guard struct {
	// Domain of the cluster, such as cluster.local.
	Domain string
	// Shared Services take requests of all namespaces on ports 80 and 443.
	Shared   []types.NamespacedName
	Cluster  Cluster
	Settings func() *Settings
}

// request is one decision.
type request struct {
	*Guard

	settings *Settings
	from     string // namespace
	hostPort string
	web      bool // the port is 80 or 443
	address  netip.Addr
	followed bool // the name is an alias of another Service
}

// Permit is a delivery.Permit. The error is an *egress.ForbiddenError.
func (g *Guard) Permit(namespace, hostPort string, address netip.Addr) error {
	r := &request{Guard: g, settings: g.Settings(), from: namespace, hostPort: hostPort, address: address.Unmap().WithZone("")}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return r.forbidden("no host and port", "")
	}
	r.web = port == "80" || port == "443"
	if to, ok := serviceOf(host, g.Domain); ok {
		return r.service(to, 0)
	}
	return r.outside()
}

// service decides about a Service's name, followed over aliases.
func (r *request) service(to types.NamespacedName, aliases int) error {
	if !r.mayReach(to) {
		return r.foreign(to.Namespace)
	}
	s, ok := r.Cluster.Service(to)
	switch {
	case !ok:
		return r.forbidden(fmt.Sprintf("of a name without a Service in namespace %q", to.Namespace), "")
	case s.ExternalName == "":
		return r.endpoints(to, &s)
	case aliases == maxAliases:
		return r.forbidden("behind too many ExternalName Services", "")
	}
	target, ok := serviceOf(s.ExternalName, r.Domain)
	switch {
	case !ok:
		return r.outside()
	case r.web && slices.Contains(r.settings.Gateways, target):
		return r.at(target.Namespace)
	}
	r.followed = true
	return r.service(target, aliases+1)
}

// endpoints decides about a Service with addresses. Which endpoint gets a request is not
// known here, so that all have to be permitted.
func (r *request) endpoints(to types.NamespacedName, s *Service) error {
	if slices.Contains(r.Shared, to) {
		return r.at(to.Namespace)
	}
	for _, endpoint := range s.Unmanaged {
		if err := r.endpoint(to, s, endpoint); err != nil {
			return err
		}
	}
	if slices.Contains(s.Unmanaged, r.address) {
		return r.inside().Check(r.hostPort, r.address)
	}
	return r.at(to.Namespace)
}

func (r *request) endpoint(to types.NamespacedName, s *Service, endpoint netip.Addr) error {
	owners := r.Cluster.Owners(endpoint)
	if len(owners) == 0 {
		return r.settings.outside().Check(r.hostPort, endpoint)
	}
	permitted := func(owner types.NamespacedName) bool {
		// Knative Serving makes a Service with the address of its gateway, if it has no name.
		gateway := s.Headless && r.web && slices.Contains(r.settings.Gateways, owner)
		return gateway || owner.Namespace == to.Namespace || r.mayReach(owner)
	}
	if !slices.ContainsFunc(owners, permitted) {
		return r.refused("before endpoints of namespace", owners[0].Namespace)
	}
	return nil
}

// at decides about the address of a name that may be delivered to. It may have changed
// since the name was resolved.
func (r *request) at(namespace string) error {
	owners := r.Cluster.Owners(r.address)
	switch {
	case len(owners) == 0:
		policy := r.inside()
		policy.Denied = r.settings.Denied
		return policy.Check(r.hostPort, r.address)
	case !slices.ContainsFunc(owners, func(o types.NamespacedName) bool { return o.Namespace == namespace }):
		return r.foreign(owners[0].Namespace)
	}
	return r.inside().Check(r.hostPort, r.address)
}

// outside decides about a name that is no Service's: by the address.
func (r *request) outside() error {
	owners := r.Cluster.Owners(r.address)
	permitted := func(owner types.NamespacedName) bool {
		return r.mayReach(owner) || r.web && slices.Contains(r.settings.Gateways, owner)
	}
	if len(owners) > 0 && !slices.ContainsFunc(owners, permitted) {
		return r.foreign(owners[0].Namespace)
	}
	return r.settings.outside().Check(r.hostPort, r.address)
}

func (*request) inside() egress.Policy { return egress.Policy{Cluster: true} }

// mayReach reports whether a Trigger may name a Service.
func (r *request) mayReach(to types.NamespacedName) bool {
	return to.Namespace == r.from || r.web && slices.Contains(r.Shared, to) || r.Cluster.Allows(r.from, to)
}

func (r *request) foreign(namespace string) error { return r.refused("of namespace", namespace) }

func (r *request) refused(what, namespace string) error {
	remedy := "its owner has to list the namespace in the annotation " + lambda.AllowedSourceNamespacesAnnotationKey +
		" of the target, or of the Namespace"
	if r.followed {
		remedy += "; if the target is the ingress of Knative Serving, an administrator has to add it to " + GatewaysKey
	}
	return r.forbidden(fmt.Sprintf("%s %q, which does not allow deliveries from namespace %q", what, namespace, r.from), remedy)
}

func (r *request) forbidden(reason, remedy string) error {
	return &egress.ForbiddenError{Host: r.hostPort, Address: r.address, Reason: reason, Remedy: remedy}
}
