package delivery

import (
	"net/netip"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// TestGuard: where a Trigger of namespace team may deliver.
func TestGuard(t *testing.T) {
	t.Parallel()
	g := Guard{
		Shared: []string{"knative-eventing", "kourier-system"},
		Agreed: func(from, to string) bool { return from == "team" && to == "partner" },
		Owner: func(a netip.Addr) (string, bool) {
			n, ok := map[string]string{"10.96.0.1": "team", "10.96.0.2": "other", "10.96.0.3": "kourier-system", "10.96.0.4": "partner"}[a.String()]
			return n, ok
		},
		Outside: egress.Policy{Allowed: egress.Prefixes("192.168.5.0/24"), Denied: egress.Prefixes("203.0.114.0/24")},
	}
	for name, tt := range map[string]struct {
		host, address string
		permitted     bool
	}{
		"own Service":                       {"fn.team.svc.cluster.local:80", "10.96.0.1", true},
		"own Service, short":                {"fn.team.svc:80", "10.96.0.1", true},
		"own Service, final dot, upper":     {"FN.Team.SVC.cluster.local.:80", "10.96.0.1", true},
		"own pod":                           {"pod.fn.team.svc.cluster.local:80", "10.244.0.9", true},
		"own name of a gateway":             {"fn.team.svc.cluster.local:80", "10.96.0.3", true},
		"own name of another's Service":     {"fn.team.svc.cluster.local:80", "10.96.0.2", false},
		"own name, mapped address":          {"fn.team.svc.cluster.local:80", "::ffff:10.96.0.2", false},
		"own name of a metadata service":    {"fn.team.svc.cluster.local:80", "169.254.169.254", false},
		"own name of this machine":          {"fn.team.svc.cluster.local:80", "127.0.0.1", false},
		"another's Service":                 {"fn.other.svc.cluster.local:80", "10.96.0.2", false},
		"another's Service, own address":    {"fn.other.svc.cluster.local:80", "10.96.0.1", false},
		"a namespace that agreed":           {"fn.partner.svc.cluster.local:80", "10.96.0.4", true},
		"a shared namespace":                {"ingress.knative-eventing.svc.cluster.local:80", "10.96.0.9", true},
		"a public name":                     {"example.test:443", "93.184.216.34", true},
		"a name of the user's, own Service": {"example.test:80", "10.96.0.1", false},
		"a name of the user's, another's":   {"example.test:80", "10.96.0.2", false},
		"an address, another's":             {"10.96.0.2:80", "10.96.0.2", false},
		"an address that is allowed":        {"192.168.5.9:80", "192.168.5.9", true},
		"an address that is denied":         {"203.0.114.1:80", "203.0.114.1", false},
		"a name that looks like a Service":  {"fn.team.svc.cluster.local.example.test:80", "10.96.0.2", false},
		"svc alone":                         {"svc:80", "10.96.0.2", false},
		"no namespace":                      {"team.svc:80", "10.96.0.1", false},
	} {
		err := g.Permit("team", tt.host, netip.MustParseAddr(tt.address))
		if (err == nil) != tt.permitted {
			t.Errorf("%s: %v, want permitted %t", name, err, tt.permitted)
		}
	}
}
