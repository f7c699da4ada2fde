// Package secret reads how to connect to RabbitMQ from a Secret that is mounted.
package secret

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Keys of the Secret, as RabbitMQ's cluster operator writes them. The key VirtualHost comes
// from the administrator.
const (
	ConnectionString = "connection_string"
	Host             = "host"
	Port             = "port"
	Username         = "username"
	Password         = "password"
	VirtualHost      = "vhost"
	TLS              = "tls"
	// Management has the URL of the management API.
	Management = "management"
	// CA has the certificates of RabbitMQ's authorities, in PEM.
	CA = "ca.crt"
)

// Read the values of keys from the files of a folder, without surrounding space. A key
// without a file has an empty value.
func Read(dir string, keys ...string) (map[string]string, error) {
	values := make(map[string]string, len(keys))
	for _, key := range keys {
		text, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		values[key] = strings.TrimSpace(string(text))
	}
	return values, nil
}

// Authorities are the certificates of the key CA.
func Authorities(ca string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New(CA + ": expected certificates in PEM")
	}
	return pool, nil
}
