package management

import (
	"crypto/tls"
	"errors"
	"net/netip"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// ErrNotConfigured is returned if the Secret has no URL of the management API.
var ErrNotConfigured = errors.New("the Secret has no URL of RabbitMQ's management API: run the setup Job, or add the key " + secret.Management)

// Read a client from the files of a mounted Secret: management, username, password and,
// where there is one, ca.crt. It returns the virtual host that the Secret names, too.
func Read(dir string) (c *Client, virtualHost string, err error) {
	values, err := secret.Read(dir, secret.Management, secret.Username, secret.Password, secret.VirtualHost, secret.CA)
	if err != nil {
		return nil, "", err
	}
	if values[secret.Management] == "" {
		return nil, "", ErrNotConfigured
	}
	virtualHost = values[secret.VirtualHost]
	if virtualHost == "" {
		virtualHost = "/"
	}
	c, err = New(values[secret.Management], values[secret.Username], values[secret.Password], values[secret.CA])
	return c, virtualHost, err
}

// New returns a client that trusts the certificates in ca or, if it is empty, those of the
// system. An administrator names the URL, which may be at any address.
func New(url, username, password, ca string) (*Client, error) {
	return Over(egress.Dialer(func(string, netip.Addr) error { return nil }), url, username, password, ca)
}

// Over is New for a URL that a user names: dial decides where it may lead.
func Over(dial egress.Dial, url, username, password, ca string) (*Client, error) {
	transport := egress.Transport(dial)
	transport.DisableKeepAlives = true // requests are seldom
	if ca != "" {
		authorities, err := secret.Authorities(ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	}
	// Each request has a deadline.
	return &Client{URL: url, Username: username, Password: password, HTTP: egress.ClientOver(transport, 0)}, nil
}
