package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Dial connects to an address.
type Dial func(ctx context.Context, network, hostPort string) (net.Conn, error)

// ForbiddenError says that what a name leads to must not be dialled.
type ForbiddenError struct {
	Host    string
	Address netip.Addr
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("%s is at %s, which is not on the public Internet", e.Host, e.Address)
}

const (
	dialTimeout = 5 * time.Second
	keepAlive   = 30 * time.Second
)

// Dialer connects where it is permitted: permitted is asked with the host:port as it is
// named, and with each address that the name leads to.
func Dialer(permitted func(hostPort string, address netip.Addr) bool) Dial {
	return func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: func(_ context.Context, _, to string, _ syscall.RawConn) error {
			address, err := Address(to)
			if err != nil {
				return err
			}
			if !permitted(hostPort, address) {
				return &ForbiddenError{Host: hostPort, Address: address}
			}
			return nil
		}}
		return d.DialContext(ctx, network, hostPort)
	}
}
