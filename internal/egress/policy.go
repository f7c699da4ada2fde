package egress

import (
	"fmt"
	"net/netip"
)

// DeniedKey is the configuration key of Policy.Denied, for messages.
const DeniedKey = "config-build: egress-denied-networks"

// Permit returns an error, usually a *ForbiddenError, for an address that must not be
// dialled. hostPort is the target as it was named, address what it resolved to.
type Permit func(hostPort string, address netip.Addr) error

// ForbiddenError reports an address that must not be dialled.
type ForbiddenError struct {
	// Host is the target as it was named, host:port.
	Host    string
	Address netip.Addr
	// Reason completes "<host> is at <address>, which is …".
	Reason string
	// Remedy says what an administrator can change; empty if nothing.
	Remedy string
}

func (e *ForbiddenError) Error() string {
	text := fmt.Sprintf("%s is at %s, which is %s", e.Host, e.Address, e.Reason)
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

// Policy says which addresses may be dialled. Denied wins over Allowed.
type Policy struct {
	// Cluster permits private networks too, that is pods, Services and neighbours of
	// the cluster, but not Own. Without it only the public Internet is permitted.
	Cluster bool
	// Allowed networks are permitted although they are not public.
	Allowed []netip.Prefix
	// AllowedKey is the configuration key of Allowed, for messages.
	AllowedKey string
	// Denied networks are refused although they are public or private.
	Denied []netip.Prefix
}

// Check is a Permit.
func (p Policy) Check(hostPort string, address netip.Addr) error {
	ip := address.Unmap().WithZone("")
	forbidden := &ForbiddenError{Host: hostPort, Address: ip}
	switch {
	case Within(p.Denied, ip):
		forbidden.Reason = "in a network that an administrator denies (" + DeniedKey + ")"
	case Within(p.Allowed, ip):
		return nil
	case !p.Cluster && Within(NonPublic, ip):
		forbidden.Reason = "not on the public Internet"
		if p.AllowedKey != "" {
			forbidden.Remedy = "to permit it, an administrator has to add its network to " + p.AllowedKey
		}
	case Within(Own, ip):
		forbidden.Reason = "the operator's own machine, its link or a metadata service"
	default:
		return nil
	}
	return forbidden
}

// Deliveries permits Services, pods and the public Internet. It is for deliveries to
// addresses that the operator or an administrator chooses, where denied networks may
// be the cluster's own pods.
func Deliveries(hostPort string, address netip.Addr) error {
	return Policy{Cluster: true}.Check(hostPort, address)
}
