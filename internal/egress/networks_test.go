package egress

import (
	"net/netip"
	"strings"
	"testing"
)

// TestNetworks: which addresses are not public, and which are the machine's own.
func TestNetworks(t *testing.T) {
	for _, tt := range []struct {
		address        string
		nonPublic, own bool
	}{
		{"93.184.216.34:443", false, false},
		{"[2606:2800:220:1::1]:443", false, false},
		{"[2001:4860:4860::8888]:443", false, false},
		{"[2400:cb00::1]:443", false, false},
		{"10.96.0.1:443", true, false},
		{"192.168.1.1:80", true, false},
		{"[fd00::1]:80", true, false},
		{"127.0.0.1:80", true, true},
		{"[::1]:80", true, true},
		{"[fe80::1%eth0]:80", true, true},
		{"169.254.169.254:80", true, true},
		{"[::ffff:169.254.169.254]:80", true, true},
		{"[64:ff9b::a9fe:a9fe]:80", true, true},
		{"100.100.100.200:80", true, true},
		{"[fd00:ec2::254]:80", true, true},
		{"168.63.129.16:80", false, true},
		{"255.255.255.255:80", true, true},
		// Documentation, benchmarking, relays, discard and segment routing.
		{"192.0.2.1:80", true, false},
		{"198.51.100.1:80", true, false},
		{"203.0.113.1:80", true, false},
		{"192.88.99.1:80", true, false},
		{"198.19.0.1:80", true, false},
		{"[2001:db8::1]:80", true, false},
		{"[2001:2::1]:80", true, false},
		{"[2001:20::1]:80", true, false},
		{"[3fff::1]:80", true, false},
		{"[5f00::1]:80", true, false},
		{"[100::1]:80", true, false},
		{"[100:0:0:1::1]:80", true, false},
		{"[4000::1]:80", true, false},
	} {
		ip, err := Address(tt.address)
		if err != nil {
			t.Errorf("Address(%s) = %v", tt.address, err)
		}
		if nonPublic, own := Within(NonPublic, ip), Within(Own, ip); nonPublic != tt.nonPublic || own != tt.own {
			t.Errorf("%s: not public %t, own %t; want %t, %t", tt.address, nonPublic, own, tt.nonPublic, tt.own)
		}
	}
	if _, err := Address("localhost:80"); err == nil {
		t.Error("a name is taken for an address")
	}
}

// TestPolicy: what each policy permits. Denied networks win.
func TestPolicy(t *testing.T) {
	private := Prefixes("10.0.0.0/8")
	for _, tt := range []struct {
		name    string
		policy  Policy
		address string
		want    string // part of the error; empty is permitted
	}{
		{"public", Policy{}, "93.184.216.34", ""},
		{"metadata at a public address", Policy{}, "168.63.129.16", "metadata service"},
		{"private", Policy{}, "10.1.2.3", "not on the public Internet"},
		{"private, with the remedy", Policy{AllowedKey: "config-x: key"}, "10.1.2.3", "add its network to config-x: key"},
		{"private, allowed", Policy{Allowed: private}, "10.1.2.3", ""},
		{"mapped, allowed", Policy{Allowed: private}, "::ffff:10.1.2.3", ""},
		{"public, denied", Policy{Denied: Prefixes("93.184.216.0/24")}, "93.184.216.34", "egress-denied-networks"},
		{"public IPv6, denied", Policy{Denied: Prefixes("2606:2800::/32")}, "2606:2800:220:1::1", "egress-denied-networks"},
		{"mapped, denied", Policy{Denied: Prefixes("93.184.216.0/24")}, "::ffff:93.184.216.34", "egress-denied-networks"},
		{"allowed and denied", Policy{Allowed: private, Denied: Prefixes("10.1.0.0/16")}, "10.1.2.3", "egress-denied-networks"},
		{"cluster: a Service", Policy{Cluster: true}, "10.96.0.1", ""},
		{"cluster: loopback", Policy{Cluster: true}, "127.0.0.1", "own machine"},
		{"cluster: metadata", Policy{Cluster: true}, "169.254.169.254", "metadata service"},
		{"cluster: a node, denied", Policy{Cluster: true, Denied: Prefixes("192.168.7.0/24")}, "192.168.7.9", "egress-denied-networks"},
	} {
		err := tt.policy.Check("host.test:443", netip.MustParseAddr(tt.address))
		switch {
		case err == nil && tt.want != "":
			t.Errorf("%s: permitted, want %q", tt.name, tt.want)
		case err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "host.test:443 is at ")):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
