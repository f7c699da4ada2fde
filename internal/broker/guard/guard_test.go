package guard

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

const (
	byHand   = "me"
	mirrored = "endpointslicemirroring-controller.k8s.io"
	gateway  = "kourier-internal.kourier-system.svc.cluster.local"
)

// cluster of team, other and partner.
func cluster(t *testing.T) *world {
	t.Helper()
	headless := at("team/db", "", "None")
	return newWorld(t, []runtime.Object{
		// team
		at("team/api", "", "10.96.0.1", "fd00:96::1"), endpoints("team/api", managedBySelector, "10.244.0.1", "fd00:244::1"),
		headless, endpoints("team/db", managedBySelector, "10.244.0.2"),
		knative("team/fn", gateway), knative("team/new", "new.team.example.test"),
		alias("team/channel", "imc-dispatcher.knative-eventing.svc.cluster.local"),
		alias("team/to-other", "api.other.svc.cluster.local"), alias("team/to-other-short", "API.Other.svc."),
		owned(alias("team/forged-route", "api.other.svc.cluster.local"), "serving.knative.dev/v1", "Route", "fn"),
		alias("team/to-alias", "to-other.team.svc.cluster.local"), alias("team/to-api", "api.team.svc.cluster.local"),
		alias("team/loop", "loop.team.svc.cluster.local"), alias("team/to-partner", "api.partner.svc.cluster.local"),
		knative("team/other-ingress", "private.traefik.svc.cluster.local"), at("traefik/private", "", "10.96.6.1"),
		alias("team/to-public", "example.test"), alias("team/to-webhook", "eventing-webhook.knative-eventing.svc.cluster.local"),
		alias("team/to-partner-alias", "to-other.partner.svc.cluster.local"),
		unselected("team/hijack", "10.96.0.2"), endpoints("team/hijack", byHand, "10.244.1.1"),
		unselected("team/mirror", "10.96.0.3"), endpoints("team/mirror", mirrored, "10.244.0.1", "10.244.1.1"),
		unselected("team/claims", "10.96.0.4"), endpoints("team/claims", managedBySelector, "10.244.1.1"),
		unselected("team/hijack-service", "10.96.0.5"), endpoints("team/hijack-service", byHand, "10.96.1.1"),
		at("team/extra", "", "10.96.0.6"), endpoints("team/extra", managedBySelector, "10.244.0.3"), endpoints("team/extra", byHand, "10.244.1.1"),
		unselected("team/hijack-headless", "None"), endpoints("team/hijack-headless", byHand, "10.244.1.1"),
		unselected("team/serving-ip", "None"), endpoints("team/serving-ip", mirrored, "10.244.3.1"),
		unselected("team/gateway-pods", "10.96.0.9"), endpoints("team/gateway-pods", byHand, "10.244.3.1"),
		unselected("team/mapped", "10.96.0.10"), endpoints("team/mapped", byHand, "::ffff:10.244.1.1"),
		unselected("team/own", "10.96.0.7"), endpoints("team/own", byHand, "10.244.0.1"),
		unselected("team/legacy", "10.96.0.8"), endpoints("team/legacy", byHand, "192.168.5.9"),
		unselected("team/node", "10.96.0.11"), endpoints("team/node", byHand, "172.16.0.1"),
		// other
		at("other/api", "", "10.96.1.1", "2400:cb00::1"), endpoints("other/api", managedBySelector, "10.244.1.1", "2400:cb00::9"),
		at("other/open", "shop, team", "10.96.1.2"), knative("other/withdrawn", gateway), knative("other/ksvc", gateway),
		knative("other/agent", gateway), knative("other/closed-agent", gateway), knative("other/function", gateway),
		owned(at("other/b-broker-ingress", "", "10.96.1.3"), "eventing.knative.dev/v1", "Broker", "b"),
		owned(at("other/c-broker-ingress", "*", "10.96.1.4"), "eventing.knative.dev/v1", "Broker", "c"),
		at("other/allowed-network", "", "10.96.7.1"),
		// partner allows team by its Namespace
		at("partner/api", "", "10.96.2.1"), alias("partner/to-other", "api.other.svc.cluster.local"), knative("partner/fn", gateway),
		// shared
		at("kourier-system/kourier-internal", "", "10.96.3.1"), endpoints("kourier-system/kourier-internal", managedBySelector, "10.244.3.1"),
		at("knative-lambda/knative-lambda-broker", "", "10.96.4.1"), at("knative-lambda/knative-lambda-controller", "", "10.96.4.2"),
		at("knative-eventing/imc-dispatcher", "", "10.96.5.1"), at("knative-eventing/eventing-webhook", "", "10.96.5.2"),
	}, []runtime.Object{
		partial("v1", "Namespace", "/team", ""), partial("v1", "Namespace", "/other", "shop"), partial("v1", "Namespace", "/partner", "shop,team"),
		partial("serving.knative.dev/v1", "Service", "other/ksvc", "*"), partial("serving.knative.dev/v1", "Service", "other/withdrawn", ""),
		partial("lambda.knative.io/v1alpha1", "LambdaFunction", "other/function", "team"),
	}, []runtime.Object{agent("other/agent", "team"), agent("other/closed-agent", "shop")},
		&eventingv1.Broker{ObjectMeta: meta("other/b", "team")}, &eventingv1.Broker{ObjectMeta: meta("other/c", "")})
}

// TestPermit: where a Trigger of namespace team may deliver.
func TestPermit(t *testing.T) {
	t.Parallel()
	w := cluster(t)
	const foreign, notPublic, own = "does not allow deliveries from namespace", "not on the public Internet", "own machine"
	for name, tt := range map[string]struct {
		host, address string
		want          string // part of the error; empty is permitted
	}{
		"own Service":                            {"api.team.svc.cluster.local:80", "10.96.0.1", ""},
		"own Service, any port":                  {"api.team.svc.cluster.local:8443", "10.96.0.1", ""},
		"own Service, short":                     {"api.team.svc:80", "10.96.0.1", ""},
		"own Service, final dot, upper":          {"API.Team.SVC.cluster.local.:80", "10.96.0.1", ""},
		"own Service, IPv6":                      {"api.team.svc.cluster.local:80", "fd00:96::1", ""},
		"own headless Service":                   {"db.team.svc.cluster.local:5432", "10.244.0.2", ""},
		"own pod by name":                        {"db-0.db.team.svc.cluster.local:5432", "10.244.0.2", ""},
		"own headless Service, pod not seen yet": {"db.team.svc.cluster.local:5432", "10.244.0.77", ""},
		"own headless Service, denied network":   {"db.team.svc.cluster.local:5432", "10.244.66.1", "administrator denies"},
		"own Service that does not exist":        {"nothing.team.svc.cluster.local:80", "10.96.0.1", "a name without a Service"},
		"own Service of own endpoints":           {"own.team.svc.cluster.local:80", "10.96.0.7", ""},
		"own Service of an allowed network":      {"legacy.team.svc.cluster.local:80", "10.96.0.8", ""},
		"own Service of a private address":       {"node.team.svc.cluster.local:80", "10.96.0.11", notPublic},
		"own Service at another's address":       {"api.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"own Service at another's pod":           {"api.team.svc.cluster.local:80", "10.244.1.1", foreign},
		"own Service at a mapped address":        {"api.team.svc.cluster.local:80", "::ffff:10.96.1.1", foreign},
		"own Service at a gateway":               {"api.team.svc.cluster.local:80", "10.96.3.1", foreign},
		"own Service at a metadata service":      {"db.team.svc.cluster.local:80", "169.254.169.254", own},
		"own Service at this machine":            {"db.team.svc.cluster.local:80", "127.0.0.1", own},
		"own Service at mapped loopback":         {"db.team.svc.cluster.local:80", "::ffff:127.0.0.1", own},
		"own Knative Service":                    {"fn.team.svc.cluster.local:80", "10.96.3.1", ""},
		"own Knative Service, TLS":               {"fn.team.svc.cluster.local:443", "10.96.3.1", ""},
		"own Knative Service, another port":      {"fn.team.svc.cluster.local:9000", "10.96.3.1", foreign},
		"own Knative Service at another's":       {"fn.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"own Knative Service at first":           {"new.team.svc.cluster.local:80", "93.184.216.34", ""},
		"own Knative Service at a gateway's IP":  {"serving-ip.team.svc.cluster.local:80", "10.244.3.1", ""},
		"own Knative Service, unknown gateway":   {"other-ingress.team.svc.cluster.local:80", "10.96.6.1", "add it to config-eventing: delivery-gateways"},
		"gateway's pods behind a port":           {"gateway-pods.team.svc.cluster.local:80", "10.96.0.9", foreign},
		"own Channel":                            {"channel.team.svc.cluster.local:80", "10.96.5.1", ""},
		"own Channel, another port":              {"channel.team.svc.cluster.local:9090", "10.96.5.1", foreign},
		"alias of an own Service":                {"to-api.team.svc.cluster.local:80", "10.96.0.1", ""},
		"alias of another's":                     {"to-other.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"alias of another's, short, upper":       {"to-other-short.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"alias of another's, as of a Route":      {"forged-route.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"alias of an alias of another's":         {"to-alias.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"alias of itself":                        {"loop.team.svc.cluster.local:80", "10.96.0.1", "too many ExternalName Services"},
		"alias of a partner's":                   {"to-partner.team.svc.cluster.local:80", "10.96.2.1", ""},
		"alias of a partner's, at another's":     {"to-partner.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"alias of a partner's alias":             {"to-partner-alias.team.svc.cluster.local:80", "10.96.1.1", foreign},
		"alias of a public name":                 {"to-public.team.svc.cluster.local:443", "93.184.216.34", ""},
		"alias of a public name at another's":    {"to-public.team.svc.cluster.local:443", "10.96.1.1", foreign},
		"alias of a public name at IPv6":         {"to-public.team.svc.cluster.local:443", "2400:cb00::1", foreign},
		"alias of a webhook":                     {"to-webhook.team.svc.cluster.local:443", "10.96.5.2", foreign},
		"endpoints of another's pods":            {"hijack.team.svc.cluster.local:80", "10.96.0.2", foreign},
		"mirrored endpoints of another's pods":   {"mirror.team.svc.cluster.local:80", "10.96.0.3", foreign},
		"endpoints in the controller's name":     {"claims.team.svc.cluster.local:80", "10.96.0.4", foreign},
		"endpoints of another's Service":         {"hijack-service.team.svc.cluster.local:80", "10.96.0.5", foreign},
		"endpoints beside those of a selector":   {"extra.team.svc.cluster.local:80", "10.96.0.6", foreign},
		"endpoints of a headless Service":        {"hijack-headless.team.svc.cluster.local:80", "10.244.1.1", foreign},
		"endpoints that are mapped":              {"mapped.team.svc.cluster.local:80", "10.96.0.10", foreign},
		"another's Service":                      {"api.other.svc.cluster.local:80", "10.96.1.1", foreign},
		"another's Service, own address":         {"api.other.svc.cluster.local:80", "10.96.0.1", foreign},
		"another's Service that does not exist":  {"nothing.other.svc.cluster.local:80", "10.96.1.1", foreign},
		"another's Service that allows it":       {"open.other.svc.cluster.local:80", "10.96.1.2", ""},
		"one that allows it, at another's":       {"open.other.svc.cluster.local:80", "10.96.0.1", foreign},
		"another's Knative Service":              {"ksvc.other.svc.cluster.local:80", "10.96.3.1", ""},
		"another's that does not allow any more": {"withdrawn.other.svc.cluster.local:80", "10.96.3.1", foreign},
		"another's LambdaFunction":               {"function.other.svc.cluster.local:80", "10.96.3.1", ""},
		"another's LambdaAgent":                  {"agent.other.svc.cluster.local:80", "10.96.3.1", ""},
		"another's LambdaAgent that does not":    {"closed-agent.other.svc.cluster.local:80", "10.96.3.1", foreign},
		"another's Broker":                       {"b-broker-ingress.other.svc.cluster.local:80", "10.96.1.3", ""},
		"another's Broker that does not":         {"c-broker-ingress.other.svc.cluster.local:80", "10.96.1.4", foreign},
		"a partner's Service":                    {"api.partner.svc.cluster.local:80", "10.96.2.1", ""},
		"a partner's Knative Service":            {"fn.partner.svc.cluster.local:80", "10.96.3.1", ""},
		"a partner's alias of another's":         {"to-other.partner.svc.cluster.local:80", "10.96.1.1", foreign},
		"the plane's ingress":                    {"knative-lambda-broker.knative-lambda.svc.cluster.local:80", "10.96.4.1", ""},
		"the plane's metrics":                    {"knative-lambda-broker.knative-lambda.svc.cluster.local:9090", "10.96.4.1", foreign},
		"the controller":                         {"knative-lambda-controller.knative-lambda.svc.cluster.local:80", "10.96.4.2", foreign},
		"Knative's Channels":                     {"imc-dispatcher.knative-eventing.svc.cluster.local:80", "10.96.5.1", ""},
		"Knative's webhook":                      {"eventing-webhook.knative-eventing.svc.cluster.local:443", "10.96.5.2", foreign},
		"a gateway by name":                      {gateway + ":80", "10.96.3.1", foreign},
		"a public name":                          {"example.test:443", "93.184.216.34", ""},
		"a public address":                       {"93.184.216.34:80", "93.184.216.34", ""},
		"a public address, IPv6":                 {"[2606:2800:220:1::1]:80", "2606:2800:220:1::1", ""},
		"a public name, denied":                  {"example.test:80", "203.0.114.1", "administrator denies"},
		"a name of an own Service":               {"example.test:80", "10.96.0.1", notPublic},
		"a name of another's Service":            {"example.test:80", "10.96.1.1", foreign},
		"a name of another's, IPv6":              {"example.test:80", "2400:cb00::1", foreign},
		"a name of another's pod":                {"example.test:80", "10.244.1.1", foreign},
		"a name of another's pod, IPv6":          {"example.test:80", "2400:cb00::9", foreign},
		"a name of another's, allowed network":   {"example.test:80", "10.96.7.1", foreign},
		"a name without a domain":                {"api.other:80", "10.96.1.1", foreign},
		"a pod's DNS name":                       {"10-244-1-1.other.pod.cluster.local:80", "10.244.1.1", foreign},
		"another's address":                      {"10.96.1.1:80", "10.96.1.1", foreign},
		"another's address, mapped":              {"[::ffff:10.96.1.1]:80", "::ffff:10.96.1.1", foreign},
		"another's address, IPv6":                {"[2400:cb00::1]:80", "2400:cb00::1", foreign},
		"another's pod":                          {"10.244.1.1:8080", "10.244.1.1", foreign},
		"an address by NAT64":                    {"[64:ff9b::a60:101]:80", "64:ff9b::a60:101", notPublic},
		"loopback":                               {"localhost:80", "127.0.0.1", notPublic},
		"a metadata service":                     {"169.254.169.254:80", "169.254.169.254", notPublic},
		"an address that is allowed":             {"192.168.5.9:80", "192.168.5.9", ""},
		"a private address":                      {"172.16.0.1:80", "172.16.0.1", notPublic},
		"a name that looks like a Service":       {"api.team.svc.cluster.local.example.test:80", "10.96.1.1", foreign},
		"svc alone":                              {"svc:80", "10.96.1.1", foreign},
		"no namespace":                           {"team.svc:80", "10.96.1.1", foreign},
		"empty labels":                           {"..svc:80", "10.96.1.1", foreign},
		"no port":                                {"api.team.svc.cluster.local", "10.96.0.1", "no host and port"},
	} {
		err := w.guard.Permit("team", tt.host, netip.MustParseAddr(tt.address))
		var forbidden *egress.ForbiddenError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v, want it permitted", name, err)
		case tt.want != "" && (!errors.As(err, &forbidden) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
