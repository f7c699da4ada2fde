package delivery

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

const (
	maxIdlePerHost = 100
	maxIdle        = 1000
	// unusedFor is how long a transport is kept without a request, and maxAge how long it
	// is used: trust bundles change, and so does what a namespace may deliver to.
	unusedFor = 5 * time.Minute
	maxAge    = 10 * time.Minute
)

// TLSConfig returns the TLS configuration for CA certificates in PEM format. nil is none
// besides those that the cluster trusts.
type TLSConfig func(caCerts *string) (*tls.Config, error)

// trust is what decides whether two requests may share a connection. An address is
// checked when it is dialled, so that namespaces must not share connections: one of
// them may be permitted what the other is not.
type trust struct {
	namespace, scheme, caCerts string
}

type transport struct {
	*http.Transport
	made, used time.Time
}

// transports keeps one HTTP transport for each trust.
type transports struct {
	permit Permit
	tls    TLSConfig
	now    func() time.Time

	mu    sync.Mutex
	all   map[trust]*transport
	swept time.Time
}

func newTransports(permit Permit, config TLSConfig) *transports {
	if config == nil {
		config = trustCertificates
	}
	return &transports{permit: permit, tls: config, now: time.Now, all: map[trust]*transport{}}
}

// get returns the transport of a trust. The error says why the certificates are not
// usable.
func (t *transports) get(namespace, scheme string, caCerts *string) (*http.Transport, error) {
	key := trust{namespace: namespace, scheme: scheme}
	if scheme == "https" && caCerts != nil {
		key.caCerts = *caCerts
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	found := t.all[key]
	if found == nil {
		made, err := t.make(key)
		if err != nil {
			return nil, err
		}
		found = &transport{Transport: made, made: now}
		t.all[key] = found
	}
	found.used = now
	return found.Transport, nil
}

func (t *transports) make(key trust) (*http.Transport, error) {
	made := egress.Transport(egress.Dialer(func(hostPort string, address netip.Addr) error {
		return t.permit(key.namespace, hostPort, address)
	}))
	made.MaxIdleConns, made.MaxIdleConnsPerHost = maxIdle, maxIdlePerHost
	// A compressed reply could be any length.
	made.DisableCompression = true
	if key.scheme == "https" {
		var certificates *string
		if key.caCerts != "" {
			certificates = &key.caCerts
		}
		config, err := t.tls(certificates)
		if err != nil {
			return nil, fmt.Errorf("cannot use the CA certificates of the destination: %w", err)
		}
		made.TLSClientConfig = config
	}
	return made, nil
}

// sweep forgets transports that are unused or too old, once a minute. Requests in
// flight end on them.
func (t *transports) sweep(now time.Time) {
	if now.Sub(t.swept) < time.Minute {
		return
	}
	t.swept = now
	for key, one := range t.all {
		if now.Sub(one.used) > unusedFor || now.Sub(one.made) > maxAge {
			delete(t.all, key)
			one.CloseIdleConnections()
		}
	}
}

func (t *transports) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, one := range t.all {
		delete(t.all, key)
		one.CloseIdleConnections()
	}
}
