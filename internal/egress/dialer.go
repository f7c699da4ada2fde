package egress

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// Dial connects to an address.
type Dial func(ctx context.Context, network, hostPort string) (net.Conn, error)

const (
	dialTimeout = 5 * time.Second
	keepAlive   = 30 * time.Second
)

// Dialer returns a Dial that asks permit about each address that a name resolves to,
// before it connects.
func Dialer(permit Permit) Dial {
	return func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: func(_ context.Context, _, to string, _ syscall.RawConn) error {
			address, err := Address(to)
			if err != nil {
				return err
			}
			return permit(hostPort, address)
		}}
		return d.DialContext(ctx, network, hostPort)
	}
}

// Secure starts TLS on a connection of a Dial. It closes the connection if that fails.
func Secure(ctx context.Context, raw net.Conn, config *tls.Config) (net.Conn, error) {
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return secured, nil
}
