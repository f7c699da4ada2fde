package plane

import (
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/replicas"
)

// Endpoints of the event plane.
type Endpoints struct {
	Slices cache.Store // of EndpointSlices
	Secret cache.Store // of the ingress's certificate
}

// Ready are the addresses of the replicas that are ready, host:port of what the
// controller asks them, in order.
func (e *Endpoints) Ready() []string {
	var all []string
	for _, obj := range e.Slices.List() {
		slice, ok := obj.(*discoveryv1.EndpointSlice)
		if !ok {
			continue
		}
		for i := range slice.Endpoints {
			ready := slice.Endpoints[i].Conditions.Ready
			if ready != nil && !*ready { // nil counts as ready
				continue
			}
			for _, a := range slice.Endpoints[i].Addresses {
				all = append(all, net.JoinHostPort(a, strconv.Itoa(replicas.Port)))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// CACerts of the ingress, nil where it has no certificate.
func (e *Endpoints) CACerts() *string { return caCerts(e.Secret) }
