// Package signing signs the images that the operator pushes, and recognizes them. It
// writes what cosign verifies: a payload of the simple signing format, kept in the
// image's repository under a tag that is made from the image's digest.
//
// Specification: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Keys of the Secret's data, PEM each.
const (
	// PrivateKey signs: PKCS #8, ECDSA on the curve P-256.
	PrivateKey = "cosign-private.pem"
	// PublicKey is that of PrivateKey, under the name by which cosign reads it.
	PublicKey = "cosign.pub"
	// PreviousPublicKey is accepted as well. It is set while the key is rotated.
	PreviousPublicKey = "previous-cosign.pub"
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// Keys sign with one key and accept the signatures of that key and of the previous one.
// They are immutable.
type Keys struct {
	private  *ecdsa.PrivateKey
	accepted []*ecdsa.PublicKey
}

// Generate returns the data of a new Secret.
func Generate() (map[string][]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		PrivateKey: pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}),
		PublicKey:  pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: public}),
	}, nil
}

// New returns the keys of a Secret's data. The error names the key of the data.
func New(data map[string][]byte) (*Keys, error) {
	der, err := decode(data, PrivateKey, privateBlock)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: expected a PKCS #8 private key of ECDSA on P-256", PrivateKey)
	}
	k := &Keys{private: private}
	for _, key := range []string{PublicKey, PreviousPublicKey} {
		if key == PreviousPublicKey && len(data[key]) == 0 {
			continue
		}
		der, err := decode(data, key, publicBlock)
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParsePKIXPublicKey(der)
		public, ok := parsed.(*ecdsa.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: expected a PKIX public key of ECDSA", key)
		}
		if key == PublicKey && !private.PublicKey.Equal(public) {
			return nil, fmt.Errorf("%s: expected the public key of %s", PublicKey, PrivateKey)
		}
		k.accepted = append(k.accepted, public)
	}
	return k, nil
}

func decode(data map[string][]byte, key, block string) ([]byte, error) {
	if b, _ := pem.Decode(data[key]); b != nil && b.Type == block {
		return b.Bytes, nil
	}
	return nil, fmt.Errorf("%s: expected a PEM block %q", key, block)
}

// Image is what a signature states: the operator has made the image of this digest,
// under this tag, for this namespace. The tag is a hash of what the image is made from,
// so a signed image under another tag proves nothing.
type Image struct {
	Tag       name.Tag
	Digest    v1.Hash
	Namespace string
}

// NamespaceAnnotation is the signed annotation with the namespace.
const NamespaceAnnotation = "lambda.knative.io/namespace"

// payload is the text that is signed. It is the same each time, so that an image's
// signatures can be checked without reading their payloads.
func (i Image) payload() ([]byte, error) {
	var p simpleSigning
	p.Critical.Identity.DockerReference = i.Tag.Name()
	p.Critical.Image.DockerManifestDigest = i.Digest.String()
	p.Critical.Type = "cosign container image signature"
	p.Optional = map[string]string{NamespaceAnnotation: i.Namespace}
	return json.Marshal(p)
}

type simpleSigning struct {
	Critical struct {
		Identity struct {
			DockerReference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			DockerManifestDigest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]string `json:"optional"`
}

// sign returns the signature of a payload, in base64.
func (k *Keys) sign(payload []byte) (string, error) {
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	return base64.StdEncoding.EncodeToString(signature), err
}

var errSignature = errors.New("the signature is not one of the operator's keys")

// verify checks a signature in base64.
func (k *Keys) verify(payload []byte, signature string) error {
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return errSignature
	}
	sum := sha256.Sum256(payload)
	for _, public := range k.accepted {
		if ecdsa.VerifyASN1(public, sum[:], raw) {
			return nil
		}
	}
	return errSignature
}
