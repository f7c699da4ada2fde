// Package guard says which addresses what users name must not lead to. Whoever
// dials for them checks the address of each connection, after names are resolved:
// what redirects and DNS servers say makes no difference.
package guard

import (
	"fmt"
	"net/netip"
)

// Special networks are not on the public Internet: one's own machine and link
// (with the metadata services of clouds), private and shared ones (with the
// pods and Services of a cluster), and those that carry such an address in them.
var Special = Prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// Own networks are those of Special that are no neighbour's: one's own machine and
// link, groups, the metadata services of clouds wherever they are, and those that
// carry such an address in them. Pods and Services of a cluster are not among them.
var Own = Prefixes(
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", // metadata of Alibaba, Azure, AWS
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fe80::/10", "fec0::/10", "ff00::/8",
)

// Prefixes parses networks that are known to be right.
func Prefixes(list ...string) (parsed []netip.Prefix) {
	for _, p := range list {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

// Within tells whether one of the networks has the address.
func Within(list []netip.Prefix, address netip.Addr) bool {
	for _, p := range list {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// Address is the one in what a net.Dialer is about to connect to.
func Address(hostPort string) (netip.Addr, error) {
	to, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is no address to connect to", hostPort)
	}
	return to.Addr().Unmap().WithZone(""), nil
}

// Permitted tells whether an address may be dialled because a user named what is
// there: it is on the public Internet, or in one of the networks.
func Permitted(address netip.Addr, networks []netip.Prefix) bool {
	ip := address.Unmap().WithZone("")
	return !Within(Special, ip) || Within(networks, ip)
}
