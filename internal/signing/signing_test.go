package signing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func generate(t *testing.T) map[string][]byte {
	t.Helper()
	data, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func keys(t *testing.T, data map[string][]byte) *Keys {
	t.Helper()
	k, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// world is a registry in this process.
type world struct {
	t      *testing.T
	host   string
	puller *remote.Puller
	pusher *remote.Pusher
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	w := &world{t: t, host: strings.TrimPrefix(server.URL, "http://")}
	var err error
	if w.puller, err = remote.NewPuller(); err == nil {
		w.pusher, err = remote.NewPusher()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) image(reference, digest, namespace string) Image {
	w.t.Helper()
	tag, err := name.NewTag(w.host + "/" + reference)
	if err != nil {
		w.t.Fatal(err)
	}
	return Image{Tag: tag, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digest, 64)}, Namespace: namespace}
}

func (w *world) sign(k *Keys, i Image) {
	w.t.Helper()
	if err := k.Sign(w.t.Context(), w.puller, w.pusher, i); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) signed(k *Keys, i Image) bool {
	w.t.Helper()
	ok, err := k.Signed(w.t.Context(), w.puller, i)
	if err != nil {
		w.t.Fatal(err)
	}
	return ok
}

// TestSigned: a signature is of one digest under one reference for one namespace, by
// one of the keys that are accepted.
func TestSigned(t *testing.T) {
	w := newWorld(t)
	data, other := generate(t), generate(t)
	own, foreign := keys(t, data), keys(t, other)
	image := w.image("team/python:new", "a", "team")
	w.sign(own, image)
	w.sign(foreign, w.image("team/python:forged", "b", "team"))
	rotated := maps.Clone(other)
	rotated[PreviousPublicKey] = data[PublicKey]
	for name, tt := range map[string]struct {
		keys  *Keys
		image Image
		want  bool
	}{
		"signed":                              {own, image, true},
		"signed before the key was rotated":   {keys(t, rotated), image, true},
		"signed with another key":             {own, w.image("team/python:forged", "b", "team"), false},
		"signed before, key not accepted":     {foreign, image, false},
		"signed digest under another tag":     {own, w.image("team/python:old", "a", "team"), false},
		"signed digest in another repository": {own, w.image("other/python:new", "a", "team"), false},
		"signed for another namespace":        {own, w.image("team/python:new", "a", "other"), false},
		"another digest under a signed tag":   {own, w.image("team/python:new", "c", "team"), false},
	} {
		if got := w.signed(tt.keys, tt.image); got != tt.want {
			t.Errorf("%s: Signed() = %t, want %t", name, got, tt.want)
		}
	}
}

// TestSignAddsToOthers: signatures of other tags and of other programs stay, one that is
// not valid is replaced, and a valid one is not pushed twice.
func TestSignAddsToOthers(t *testing.T) {
	w := newWorld(t)
	k, foreign := keys(t, generate(t)), keys(t, generate(t))
	first, second := w.image("team/python:1", "a", "team"), w.image("team/python:2", "a", "team")
	w.sign(foreign, first)
	w.sign(k, second)
	w.sign(k, first)
	if !w.signed(k, first) || !w.signed(k, second) {
		t.Error("a signature is lost when another is added")
	}
	manifest := func() *remote.Descriptor {
		d, err := w.puller.Get(t.Context(), SignatureTag(first.Tag.Context(), first.Digest))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := manifest()
	if m, err := v1.ParseManifest(bytes.NewReader(before.Manifest)); err != nil || len(m.Layers) != 2 {
		t.Errorf("%d signatures (%v), want one of each tag", len(m.Layers), err)
	}
	w.sign(k, first)
	if after := manifest(); after.Digest != before.Digest {
		t.Error("a valid signature is pushed a second time")
	}
}

// TestHostileSignatures: whatever is kept where signatures are is no signature, and the
// operator's takes its place.
func TestHostileSignatures(t *testing.T) {
	for name, put := range map[string]func(*world, Image) error{
		"an index": func(w *world, i Image) error {
			index, err := random.Index(16, 1, 2)
			if err == nil {
				err = w.pusher.Push(t.Context(), SignatureTag(i.Tag.Context(), i.Digest), index)
			}
			return err
		},
		"an image": func(w *world, i Image) error {
			image, err := random.Image(16, 2)
			if err == nil {
				err = w.pusher.Push(t.Context(), SignatureTag(i.Tag.Context(), i.Digest), image)
			}
			return err
		},
		"more signatures than are kept": func(w *world, i Image) error {
			var layers []v1.Descriptor
			for n := range maxSignatures + 10 {
				layers = append(layers, v1.Descriptor{MediaType: payloadType, Digest: digestOf(fmt.Append(nil, n)), Annotations: map[string]string{SignatureAnnotation: "bm9uZQ=="}})
			}
			return push(t.Context(), w.pusher, SignatureTag(i.Tag.Context(), i.Digest), layers, []byte("x"))
		},
		"the payload with a signature that is none": func(w *world, i Image) error {
			payload, err := i.payload()
			if err == nil {
				err = push(t.Context(), w.pusher, SignatureTag(i.Tag.Context(), i.Digest), []v1.Descriptor{{MediaType: payloadType, Digest: digestOf(payload), Size: int64(len(payload)),
					Annotations: map[string]string{SignatureAnnotation: "not base64 at all"}}}, payload)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			k := keys(t, generate(t))
			image := w.image("team/python:1", "a", "team")
			if err := put(w, image); err != nil {
				t.Fatal(err)
			}
			if w.signed(k, image) {
				t.Error("it is believed without a signature")
			}
			w.sign(k, image)
			if !w.signed(k, image) {
				t.Error("it is not signed after Sign()")
			}
			kept, err := signatures(t.Context(), w.puller, image)
			if err != nil || len(kept) > maxSignatures {
				t.Errorf("%d signatures kept (%v), want at most %d", len(kept), err, maxSignatures)
			}
		})
	}
}

// TestSignAtOnce: signatures of one digest that are made at once do not replace each
// other.
func TestSignAtOnce(t *testing.T) {
	w := newWorld(t)
	k := keys(t, generate(t))
	var wg sync.WaitGroup
	for n := range 8 {
		image := w.image(fmt.Sprint("team/python:", n), "a", "team")
		wg.Go(func() {
			if err := k.Sign(t.Context(), w.puller, w.pusher, image); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for n := range 8 {
		if !w.signed(k, w.image(fmt.Sprint("team/python:", n), "a", "team")) {
			t.Errorf("the signature of tag %d is lost", n)
		}
	}
	if len(locks.held) != 0 {
		t.Errorf("%d locks are left", len(locks.held))
	}
}

// TestRegistryTrouble: a registry that does not answer is an error, and not an image
// without a signature.
func TestRegistryTrouble(t *testing.T) {
	w := newWorld(t)
	k := keys(t, generate(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	image := w.image("team/python:1", "a", "team")
	if ok, err := k.Signed(ctx, w.puller, image); ok || err == nil {
		t.Errorf("Signed() = %t, %v, want the registry's error", ok, err)
	}
	if err := k.Sign(ctx, w.puller, w.pusher, image); err == nil || !strings.Contains(err.Error(), "signatures of") {
		t.Errorf("Sign() = %v, want the registry's error", err)
	}
}

func TestNewRefuses(t *testing.T) {
	data := generate(t)
	with := func(key, value string) map[string][]byte {
		changed := maps.Clone(data)
		changed[key] = []byte(value)
		return changed
	}
	for want, data := range map[string]map[string][]byte{
		`cosign-private.pem: expected a PEM block "PRIVATE KEY"`:               {},
		`cosign.pub: expected a PEM block "PUBLIC KEY"`:                        with(PublicKey, "key"),
		`previous-cosign.pub: expected a PEM block "PUBLIC KEY"`:               with(PreviousPublicKey, "key"),
		`cosign.pub: expected the public key of cosign-private.pem`:            with(PublicKey, string(generate(t)[PublicKey])),
		`previous-cosign.pub: expected a PKIX public key of ECDSA`:             with(PreviousPublicKey, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		`cosign-private.pem: expected a PKCS #8 private key of ECDSA on P-256`: with(PrivateKey, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
	} {
		if _, err := New(data); err == nil || err.Error() != want {
			t.Errorf("New() = %v, want %q", err, want)
		}
	}
}

// TestOpen: an empty Secret is filled, a change is taken over, and one that is invalid is
// not.
func TestOpen(t *testing.T) {
	kube := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "operator", Name: SecretName}})
	store, err := Open(t.Context(), kube, "operator")
	if err != nil {
		t.Fatal(err)
	}
	secrets := kube.CoreV1().Secrets("operator")
	secret, err := secrets.Get(t.Context(), SecretName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys(t, secret.Data).accepted, store.Newest().accepted); diff != "" {
		t.Error("keys of the filled Secret (-want, +got):", diff)
	}
	rotated := generate(t)
	rotated[PreviousPublicKey] = secret.Data[PublicKey]
	for _, data := range []map[string][]byte{{PublicKey: []byte("broken")}, rotated} {
		secret.Data = data
		if secret, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); len(store.Newest().accepted) != 2; {
		if time.Now().After(deadline) {
			t.Fatal("the rotated keys are not taken over")
		}
		time.Sleep(time.Millisecond)
	}
}
