// Package control is the local cluster's own parts: network, registry, container
// runtime, etcd, Kubernetes and its DNS.
package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// client is who a kubeconfig is for.
type client struct{ file, user, group string }

var clients = []client{
	{"kubeconfig", "admin", "system:masters"},
	{"controller-manager.kubeconfig", "system:kube-controller-manager", ""},
	{"scheduler.kubeconfig", "system:kube-scheduler", ""},
	{"proxy.kubeconfig", "system:kube-proxy", ""},
	{"kubelet.kubeconfig", "system:node:" + env.NodeName, "system:nodes"},
}

// makePKI writes the certificate authority, the API server's certificates, the
// service accounts' key and everybody's kubeconfig, unless they are there.
func makePKI(e *env.Env) error {
	if _, err := os.Stat(e.Kubeconfig()); err == nil {
		return nil
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	files := map[string][]byte{"pki/ca.crt": ca.pem}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(env.BridgeIP), net.ParseIP(env.ServiceIP), net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
	}
	if files["pki/apiserver.crt"], files["pki/apiserver.key"], err = ca.issue(server); err != nil {
		return err
	}
	if files["pki/apiserver-kubelet.crt"], files["pki/apiserver-kubelet.key"], err = ca.issue(clientCertificate("kube-apiserver-kubelet-client", "system:masters")); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if files["pki/service-accounts.key"], err = keyPEM(key); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	files["pki/service-accounts.pub"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	for i := len(clients) - 1; i >= 0; i-- { // the administrator's last: it says that all is there
		c := clients[i]
		cert, key, err := ca.issue(clientCertificate(c.user, c.group))
		if err != nil {
			return err
		}
		if c.file != "kubeconfig" {
			files[c.file] = kubeconfig(ca.pem, cert, key)
			continue
		}
		for name, content := range files {
			if err := e.Write(name, string(content)); err != nil {
				return err
			}
		}
		if err := e.Write(c.file, string(kubeconfig(ca.pem, cert, key))); err != nil {
			return err
		}
	}
	return nil
}

func clientCertificate(user, group string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: user}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if group != "" {
		c.Subject.Organization = []string{group}
	}
	return c
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

const validity = 365 * 24 * time.Hour

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "knative-lambda-cluster"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &authority{cert: template, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func (a *authority) issue(template *x509.Certificate) (cert, keyText []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(validity)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	keyText, err = keyPEM(key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyText, err
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

func kubeconfig(ca, cert, key []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: knative-lambda
clusters:
- name: knative-lambda
  cluster: {server: %q, certificate-authority-data: %s}
contexts:
- name: knative-lambda
  context: {cluster: knative-lambda, user: knative-lambda}
users:
- name: knative-lambda
  user: {client-certificate-data: %s, client-key-data: %s}
`, env.APIServer, b64(ca), b64(cert), b64(key))
}
