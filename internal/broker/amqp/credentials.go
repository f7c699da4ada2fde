package amqp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
)

const (
	plainPort = "5672"
	tlsPort   = "5671"
)

// ErrNotConfigured is returned if the Secret is missing or names no host.
var ErrNotConfigured = errors.New("no RabbitMQ is configured: the Secret needs connection_string, or host, port, username and password")

var allKeys = []string{secret.ConnectionString, secret.Host, secret.Port, secret.Username, secret.Password, secret.VirtualHost, secret.TLS, secret.CA}

// Credentials say where RabbitMQ is and how to log in.
type Credentials struct {
	values map[string]string
}

// NewCredentials returns those of the keys and values of a Secret: connection_string, or
// host, port, username and password; vhost; tls; ca.crt. A connection uses TLS if the
// connection string says amqps or, without a connection string, if tls is true, if there
// is a ca.crt, or if the port is 5671.
func NewCredentials(values map[string]string) Credentials { return Credentials{values: values} }

// ReadCredentials reads the files of a mounted Secret, with the keys of NewCredentials.
func ReadCredentials(dir string) (Credentials, error) {
	values, err := secret.Read(dir, allKeys...)
	return Credentials{values: values}, err
}

// fingerprint is equal for equal credentials only.
func (c Credentials) fingerprint() string {
	values := make([]string, 0, len(allKeys))
	for _, key := range allKeys {
		values = append(values, fmt.Sprintf("%q", c.values[key]))
	}
	return strings.Join(values, ",")
}

// URI of the connection. Its query is not used: it could name files of this program.
// The error does not contain the password.
func (c Credentials) URI() (amqp.URI, error) {
	text := c.values[secret.ConnectionString]
	if text == "" {
		var err error
		if text, err = c.compose(); err != nil {
			return amqp.URI{}, err
		}
	}
	plain, _, _ := strings.Cut(text, "?")
	uri, err := amqp.ParseURI(plain)
	if err != nil { // it quotes the URI, with the password
		return amqp.URI{}, errors.New("key " + secret.ConnectionString + ": expected amqp[s]://user:password@host:port/virtual-host")
	}
	if c.values[secret.ConnectionString] != "" {
		if err := c.validate(plain); err != nil {
			return amqp.URI{}, err
		}
	}
	if v := c.values[secret.VirtualHost]; v != "" {
		uri.Vhost = v
	}
	return uri, nil
}

// validate a connection string. The client library has defaults for a missing user and
// password, and takes the scheme alone for whether to use TLS.
func (c Credentials) validate(text string) error {
	u, err := url.Parse(text)
	if err != nil { // it quotes the password
		return errors.New("key " + secret.ConnectionString + ": expected a URL")
	}
	if password, _ := u.User.Password(); u.User.Username() == "" || password == "" {
		return errors.New("key " + secret.ConnectionString + ": expected a user and a password, as in amqp[s]://user:password@host:port/virtual-host")
	}
	if u.Scheme == "amqps" {
		return nil
	}
	if c.values[secret.TLS] == "true" {
		return errors.New("key " + secret.ConnectionString + ": expected amqps://, because " + secret.TLS + " is true")
	}
	if c.values[secret.CA] != "" {
		return errors.New("key " + secret.ConnectionString + ": expected amqps://, because " + secret.CA + " is set")
	}
	return nil
}

func (c Credentials) compose() (string, error) {
	host, port := c.values[secret.Host], c.values[secret.Port]
	if host == "" {
		return "", ErrNotConfigured
	}
	u := url.URL{Scheme: "amqp", Path: "/"}
	if c.values[secret.CA] != "" || c.values[secret.TLS] == "true" || port == tlsPort {
		u.Scheme = "amqps"
	}
	if port == "" {
		port = map[string]string{"amqp": plainPort, "amqps": tlsPort}[u.Scheme]
	}
	u.Host = net.JoinHostPort(host, port)
	if c.values[secret.Username] != "" {
		u.User = url.UserPassword(c.values[secret.Username], c.values[secret.Password])
	}
	return u.String(), nil
}

// tls is nil for a connection in the clear. Without a ca.crt, the authorities of the
// system hold.
func (c Credentials) tls(uri *amqp.URI) (*tls.Config, error) {
	if uri.Scheme != "amqps" {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: uri.Host}
	if ca := c.values[secret.CA]; ca != "" {
		var err error
		if out.RootCAs, err = secret.Authorities(ca); err != nil {
			return nil, err
		}
	}
	return out, nil
}
