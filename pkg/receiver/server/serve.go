// Package server puts the receiver together: what it listens on, reads and drains.
package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// lameDuck is how long new requests are still taken at the end: others need a
	// moment to learn that this replica goes.
	lameDuck = time.Second
	// drainTimeout is how long what has begun may take to end.
	drainTimeout = 30 * time.Second
	// certificateLife is longer than a pod's.
	certificateLife = 10 * 365 * 24 * time.Hour
)

// endpoint is an address and what answers there.
type endpoint struct {
	address string
	handler http.Handler
	tls     *tls.Config
}

// serve answers on all endpoints until ctx ends, then drains.
func serve(ctx context.Context, endpoints ...endpoint) error {
	group, running := errgroup.WithContext(ctx)
	for _, e := range endpoints {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.address)
		if err != nil {
			return err
		}
		if e.tls != nil {
			listener = tls.NewListener(listener, e.tls)
		}
		server := &http.Server{Handler: e.handler, ReadHeaderTimeout: 10 * time.Second}
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-running.Done()
			time.Sleep(lameDuck)
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
			defer cancel()
			err := server.Shutdown(drain)
			if errors.Is(err, context.DeadlineExceeded) {
				slog.Warn("requests were cut off at the end", "address", e.address)
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// selfSigned is a certificate for this process. Who connects does so through the
// API server, which knows the pod; the encryption keeps tokens from whoever listens
// on the way.
func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "knative-lambda-receiver"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequestClientCert, // access verifies what is sent
	}, nil
}
