package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// Most bytes that are read from the network.
const (
	// maxListing is for finding out what a source is by now: some 200,000 refs.
	maxListing = 16 << 20
	// downloaded is for all of it, as a multiple of what the files may have: git sends
	// history where a server knows no shallow clones, and all is encrypted and framed.
	downloaded = 2
)

// network dials what is public or allowed, and reads so many bytes of it at most.
// The check is of the address that is dialled, after names are resolved: what
// redirects and DNS servers say makes no difference.
type network struct {
	policy egress.Policy
	most   int64
	left   atomic.Int64
	reach  egress.Dial

	mu      sync.Mutex
	refused error
	clients []*http.Transport
}

func newNetwork(r *Request, most int64) *network {
	n := &network{most: most, policy: egress.Policy{Allowed: r.AllowedNetworks, AllowedKey: "config-build, source-allowed-networks", Denied: r.DeniedNetworks}}
	n.left.Store(most)
	n.reach = egress.Dialer(n.check)
	return n
}

// check is an egress.Permit that fails with this package's reason.
func (n *network) check(hostPort string, address netip.Addr) error {
	if err := n.policy.Check(hostPort, address); err != nil {
		return n.refuse(because(ReasonAddressForbidden, "%v", err))
	}
	return nil
}

// refuse remembers the first refusal: the error may get lost on its way up.
func (n *network) refuse(err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refused == nil {
		n.refused = err
	}
	return err
}

func (n *network) refusal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused
}

// dial connects, and counts what is read.
func (n *network) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	conn, err := n.reach(ctx, protocol, address)
	if err != nil {
		return nil, err
	}
	return &metered{Conn: conn, network: n}, nil
}

// metered is a connection that counts.
type metered struct {
	net.Conn
	network *network
}

func (m *metered) Read(p []byte) (int, error) {
	count, err := m.Conn.Read(p)
	if m.network.left.Add(-int64(count)) < 0 {
		return 0, m.network.refuse(because(ReasonTooLarge, "the source is too large: more than %s came over the network", mebibytes(m.network.most)))
	}
	return count, err
}

// transport is for HTTP. It does not decompress responses.
func (n *network) transport(credentials Credentials) (*http.Transport, error) {
	t := egress.Transport(n.dial)
	t.ResponseHeaderTimeout, t.IdleConnTimeout = ResolveTimeout, 10*time.Second
	t.MaxResponseHeaderBytes, t.DisableCompression = 1<<20, true
	if ca, ok := credentials[keyCA]; ok {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(ca) {
			return nil, because(ReasonSecretInvalid, "the key %s of the Secret holds no certificate in PEM form", keyCA)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	n.mu.Lock()
	n.clients = append(n.clients, t)
	n.mu.Unlock()
	return t, nil
}

// close lets go of connections that wait for more to do.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.clients {
		t.CloseIdleConnections()
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
