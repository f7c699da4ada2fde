package management

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// KeyURL is the key of a Secret with the URL of the management API.
const KeyURL = "management"

// ErrNotConfigured is returned if the Secret has no URL of the management API.
var ErrNotConfigured = errors.New("the Secret has no URL of RabbitMQ's management API: run the setup Job, or add the key " + KeyURL)

// Read a client from the files of a mounted Secret: management, username, password and,
// where there is one, ca.crt. It returns the virtual host that the Secret names, too.
func Read(dir string) (c *Client, virtualHost string, err error) {
	values := map[string]string{}
	for _, key := range []string{KeyURL, "username", "password", "vhost", "ca.crt"} {
		text, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		values[key] = strings.TrimSpace(string(text))
	}
	if values[KeyURL] == "" {
		return nil, "", ErrNotConfigured
	}
	virtualHost = values["vhost"]
	if virtualHost == "" {
		virtualHost = "/"
	}
	anywhere := func(string, netip.Addr) error { return nil }                                  // an administrator names the address
	client, transport := egress.Client(anywhere, 0), egress.Transport(egress.Dialer(anywhere)) // each request has a deadline
	if ca := values["ca.crt"]; ca != "" {
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, "", errors.New("ca.crt: expected certificates in PEM")
		}
	}
	transport.DisableKeepAlives = true // bounds are set seldom
	client.Transport = transport
	return &Client{URL: values[KeyURL], Username: values["username"], Password: values["password"], HTTP: client}, virtualHost, nil
}
