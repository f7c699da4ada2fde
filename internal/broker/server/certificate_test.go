package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificate for the name "broker" into the folder.
func writeCertificate(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"broker"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{"tls.crt": public, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	c := &certificate{folder: t.TempDir()}
	now := time.Now()
	if _, err := c.get(now); !errors.Is(err, errNoCertificate) {
		t.Errorf("without files: %v", err)
	}
	writeCertificate(t, c.folder)
	if _, err := c.get(now.Add(time.Second)); !errors.Is(err, errNoCertificate) {
		t.Errorf("the files are read again within a second: %v", err)
	}
	first, err := c.get(now.Add(certificateAge))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.folder, "tls.key"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pair, err := c.get(now.Add(2 * certificateAge)); err != nil || pair != first {
		t.Errorf("a pair that is being replaced: %v", err)
	}
	writeCertificate(t, c.folder)
	if pair, err := c.get(now.Add(3 * certificateAge)); err != nil || pair == first {
		t.Errorf("a new pair is not used: %v", err)
	}
}
