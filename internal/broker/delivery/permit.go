package delivery

import "net/netip"

// Permit returns an error for an address that Triggers of a namespace must not deliver
// to. hostPort is the destination as it was named, address what it resolved to. Package
// guard has one.
type Permit func(namespace, hostPort string, address netip.Addr) error
