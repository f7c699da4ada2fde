// Package connection is how Brokers get a RabbitMQ of their own. The controller reads the
// Secrets that users name, and copies what they say into one Secret of the operator's
// namespace. The controller and the event plane open what that Secret has, and nothing
// else: the event plane has no right to read a user's Secret.
package connection

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
)

// keyURI is a key of Secrets that eventing-rabbitmq uses, with the management API. The
// others of a user's Secret are those of the installation's.
const keyURI = "uri"

// bounds of the values, in bytes: all connections are in one Secret.
const (
	maxValue = 1 << 10
	maxCA    = 32 << 10
)

var keys = []string{secret.ConnectionString, secret.Host, secret.Port, secret.Username, secret.Password, secret.VirtualHost, secret.TLS, keyURI, secret.Management, secret.CA}

// Settings of a connection.
type Settings struct {
	// From is the namespace of the Secret or RabbitmqCluster. The connection may lead where
	// Triggers of that namespace may deliver.
	From string `json:"from"`
	// Source is what the settings are from, for people.
	Source string `json:"source"`

	Host        string `json:"host"`
	Port        string `json:"port"`
	Username    string `json:"username"`
	Password    string `json:"password"`
	VirtualHost string `json:"vhost"`
	TLS         bool   `json:"tls,omitempty"`
	// CA has the certificates of RabbitMQ's authorities in PEM; empty for the system's.
	CA string `json:"ca,omitempty"`
	// Management is the URL of the management API; empty if it is not known.
	Management string `json:"management,omitempty"`
	// QueueType of the queues of Triggers; empty for that of the installation.
	QueueType string `json:"queueType,omitempty"`
}

// Parse the data of a user's Secret. The error names the key and what is expected.
func Parse(data map[string][]byte) (s Settings, err error) {
	v := map[string]string{}
	for _, key := range keys {
		limit := maxValue
		if key == secret.CA {
			limit = maxCA
		}
		if v[key] = strings.TrimSpace(string(data[key])); len(v[key]) > limit {
			return s, fmt.Errorf("key %s: expected at most %d bytes", key, limit)
		}
	}
	if err := fromURI(v); err != nil {
		return s, err
	}
	if v[secret.ConnectionString] == "" {
		for _, key := range []string{secret.Host, secret.Username, secret.Password} {
			if v[key] == "" {
				return s, fmt.Errorf("key %s: missing", key)
			}
		}
	}
	if t := v[secret.TLS]; t != "" && t != "true" && t != "false" {
		return s, fmt.Errorf("key %s: expected true or false", secret.TLS)
	}
	uri, err := amqp.NewCredentials(v).URI()
	if err != nil {
		if v[secret.ConnectionString] == "" { // it is made of the others, and quotes none of them
			err = fmt.Errorf("keys %s and %s: expected a host name or IP address, and a number", secret.Host, secret.Port)
		}
		return s, err
	}
	s = Settings{
		Host: uri.Host, Port: strconv.Itoa(uri.Port), Username: uri.Username, Password: uri.Password, VirtualHost: uri.Vhost,
		TLS: uri.Scheme == "amqps", CA: v[secret.CA], Management: v[secret.Management],
	}
	return s, s.validate()
}

// fromURI fills in what a Secret of eventing-rabbitmq says by the URL of the management API.
func fromURI(v map[string]string) error {
	if v[secret.Host] != "" || v[keyURI] == "" {
		return nil
	}
	text, encrypted := v[keyURI], v[secret.TLS] == "true" || v[secret.CA] != ""
	if !strings.Contains(text, "://") {
		text = map[bool]string{false: "http://", true: "https://"}[encrypted] + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("key %s: expected the URL of the management API, http[s]://host:port without user and password", keyURI)
	}
	if encrypted && u.Scheme == "http" && v[secret.Management] == "" { // the password would be sent in the clear
		return fmt.Errorf("key %s: expected https://, because %s is true or %s is set", keyURI, secret.TLS, secret.CA)
	}
	v[secret.Host] = u.Hostname()
	if v[secret.Management] == "" {
		v[secret.Management] = text
	}
	if v[secret.TLS] == "" && u.Scheme == "https" && v[secret.ConnectionString] == "" {
		v[secret.TLS] = "true"
	}
	return nil
}

var errHost = errors.New("key " + secret.Host + ": expected an IP address or a name with dots, a Service as <name>.<namespace>.svc")

func (s *Settings) validate() error {
	if net.ParseIP(s.Host) == nil && !strings.Contains(strings.Trim(s.Host, "."), ".") {
		return errHost // a name without a namespace would be one of the operator's
	}
	if n, err := strconv.Atoi(s.Port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("key %s: expected a number from 1 to 65535", secret.Port)
	}
	if len(s.VirtualHost) > 255 {
		return fmt.Errorf("key %s: expected at most 255 bytes", secret.VirtualHost)
	}
	if s.CA != "" {
		if _, err := secret.Authorities(s.CA); err != nil {
			return fmt.Errorf("key %w", err)
		}
	}
	if s.Management == "" {
		return nil
	}
	if u, err := url.Parse(s.Management); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("key %s: expected http[s]://host:port without user and password", secret.Management)
	}
	return nil
}

// Name of the connection for Brokers of a namespace. It has the namespace, a dot, and a
// hash of what leads to the queues: a new user or password is the same connection, another
// virtual host is another one.
func (s *Settings) Name(namespace string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{s.From, s.Source, s.Host, s.Port, s.VirtualHost}, "\x00")))
	return namespace + "." + hex.EncodeToString(sum[:8])
}

// NamespaceOf the Brokers that may use a connection.
func NamespaceOf(name string) string {
	namespace, _, _ := strings.Cut(name, ".")
	return namespace
}

// Credentials for AMQP.
func (s *Settings) Credentials() amqp.Credentials {
	return amqp.NewCredentials(map[string]string{
		secret.Host: s.Host, secret.Port: s.Port, secret.Username: s.Username, secret.Password: s.Password, secret.VirtualHost: s.VirtualHost,
		secret.TLS: strconv.FormatBool(s.TLS), secret.CA: s.CA,
	})
}
