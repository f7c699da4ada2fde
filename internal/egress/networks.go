// Package egress decides which addresses the operator may connect to on behalf of
// users, and holds the only HTTP clients and dialers that do so. The check is of the
// address that is dialled, after name resolution: neither DNS answers nor redirects
// can change its outcome.
package egress

import (
	"fmt"
	"net/netip"
)

// NonPublic networks are not part of the public Internet: the special-purpose
// networks of the IANA registries (https://www.iana.org/assignments/iana-ipv4-special-registry
// and iana-ipv6-special-registry) that are not globally reachable, multicast, reserved
// space, and networks that embed an IPv4 address.
var NonPublic = Prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	// IPv6 outside of global unicast, 2000::/3: loopback, NAT64 (64:ff9b::/96), discard
	// (100::/64), SRv6 (5f00::/16), unique local, link-local, site-local and multicast.
	"::/3", "4000::/2", "8000::/1",
	// Within it: protocol assignments with Teredo, benchmarking and ORCHID;
	// documentation; 6to4.
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// Own networks are this machine and its link, multicast, metadata services of clouds
// wherever they are, and networks that embed such an address. Pods and Services are
// not among them.
var Own = Prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", // metadata of Alibaba, Azure, AWS
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fe80::/10", "fec0::/10", "ff00::/8",
)

// Prefixes parses constant networks; it panics for text that is none.
func Prefixes(list ...string) (parsed []netip.Prefix) {
	for _, p := range list {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

// Within reports whether one of the networks contains the address.
func Within(list []netip.Prefix, address netip.Addr) bool {
	for _, p := range list {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// Address parses the address that a net.Dialer is about to connect to. IPv4-mapped
// addresses become IPv4, and zones are dropped.
func Address(hostPort string) (netip.Addr, error) {
	to, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address with a port", hostPort)
	}
	return to.Addr().Unmap().WithZone(""), nil
}
