package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// certificateAge is how long a certificate is used before its files are read again.
const certificateAge = 10 * time.Second

var errNoCertificate = errors.New("the ingress has no certificate")

// certificate of the ingress, in the files of a mounted Secret that is renewed, or made,
// while the program runs.
type certificate struct {
	folder string

	mu   sync.Mutex
	read time.Time
	pair *tls.Certificate
	err  error
}

func (c *certificate) config() *tls.Config {
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(time.Now()) }
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get}
}

func (c *certificate) get(now time.Time) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.read) < certificateAge {
		return c.pair, c.err
	}
	c.read = now
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.folder, corev1.TLSCertKey), filepath.Join(c.folder, corev1.TLSPrivateKeyKey))
	switch {
	case err == nil:
		c.pair, c.err = &pair, nil
	case errors.Is(err, fs.ErrNotExist):
		c.pair, c.err = nil, errNoCertificate
	case c.pair == nil:
		c.err = fmt.Errorf("cannot read the certificate of the ingress: %w", err)
	default: // while the files are replaced, the last pair holds
	}
	return c.pair, c.err
}
