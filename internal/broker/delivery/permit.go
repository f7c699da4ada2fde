package delivery

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// Permit returns an error for an address that Triggers of a namespace must not deliver
// to. hostPort is the destination as it was named, address what it resolved to.
type Permit func(namespace, hostPort string, address netip.Addr) error

// Guard keeps a Trigger from delivering where only the event plane may. NetworkPolicies
// of other namespaces admit the plane, so that a Trigger must not choose their Services.
type Guard struct {
	// ClusterDomain of Service names; default cluster.local.
	ClusterDomain string
	// Shared namespaces have Services for all: Knative's channels and gateways, Brokers.
	// A Service name of the Trigger's own namespace may resolve to theirs.
	Shared []string
	// Agreed reports whether Triggers of one namespace may deliver to Services of
	// another; nil is never.
	Agreed func(from, to string) bool
	// Owner returns the namespace whose Service or pod has an address, if it is known;
	// nil is never. Names of the user's own are judged by it.
	Owner func(netip.Addr) (namespace string, ok bool)
	// Outside is for names and addresses that are no Service's name.
	Outside egress.Policy
}

// Permit is a Permit.
func (g Guard) Permit(namespace, hostPort string, address netip.Addr) error {
	to, isService := g.serviceNamespace(hostPort)
	if !isService {
		return g.Outside.Check(hostPort, address)
	}
	if !g.allowed(namespace, to) {
		return &egress.ForbiddenError{Host: hostPort, Address: address, Reason: fmt.Sprintf("of namespace %q, to which Triggers of namespace %q must not deliver", to, namespace),
			Remedy: "label the other namespace, or agree on a route"}
	}
	// The name may be an alias for what another namespace has.
	if owner, known := g.owner(address); known && owner != to && !g.allowed(namespace, owner) {
		return &egress.ForbiddenError{Host: hostPort, Address: address, Reason: fmt.Sprintf("of namespace %q, to which Triggers of namespace %q must not deliver", owner, namespace)}
	}
	return egress.Policy{Cluster: true, Denied: g.Outside.Denied}.Check(hostPort, address)
}

func (g Guard) allowed(from, to string) bool {
	return from == to || slices.Contains(g.Shared, to) || g.Agreed != nil && g.Agreed(from, to)
}

func (g Guard) owner(address netip.Addr) (string, bool) {
	if g.Owner == nil {
		return "", false
	}
	return g.Owner(address.Unmap())
}

// serviceNamespace of a Service's name: [<pod>.]<service>.<namespace>.svc[.<domain>].
func (g Guard) serviceNamespace(hostPort string) (string, bool) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", false
	}
	domain := g.ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	host = strings.TrimSuffix(host, "."+domain)
	name, ok := strings.CutSuffix(host, ".svc")
	if !ok {
		return "", false
	}
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return "", false
	}
	return labels[len(labels)-1], true
}
