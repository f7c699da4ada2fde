package guard

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDialer: what decides is the address that a name leads to, unless the name itself
// is trusted.
func TestDialer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	dial := Dialer(func(hostPort string, address netip.Addr) bool {
		asked = append(asked, hostPort)
		return hostPort == "127.0.0.1:"+port || Permitted(address, nil)
	})
	conn, err := dial(t.Context(), "tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal("what is trusted is not dialled:", err)
	}
	conn.Close()
	_, err = dial(t.Context(), "tcp4", "localhost:"+port)
	var forbidden *ForbiddenError
	if !errors.As(err, &forbidden) || forbidden.Host != "localhost:"+port || forbidden.Address.String() != "127.0.0.1" {
		t.Errorf("dial(localhost) = %v, want it forbidden", err)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:" + port, "localhost:" + port}, asked); diff != "" {
		t.Error("asked about (-want, +got):", diff)
	}
}
