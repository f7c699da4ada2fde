package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

const (
	// SignatureAnnotation of a layer is the signature of the payload in it.
	SignatureAnnotation = "dev.cosignproject.cosign/signature"

	payloadType types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"

	// maxSignatures of one image are kept, of any signer: cosign refuses more than 1000,
	// and in a registry without authentication every client can add some. The oldest are dropped.
	maxSignatures = 256
)

// SignatureTag is where cosign keeps the signatures of an image.
func SignatureTag(repository name.Repository, digest v1.Hash) name.Tag {
	return repository.Tag(digest.Algorithm + "-" + digest.Hex + ".sig")
}

// Signed reports whether the registry has a valid signature of the image. The error is
// the registry's; an image without a signature is none.
func (k *Keys) Signed(ctx context.Context, puller *remote.Puller, i Image) (bool, error) {
	payload, err := i.payload()
	if err != nil {
		return false, err
	}
	kept, err := signatures(ctx, puller, i)
	return k.signedIn(kept, payload), err
}

func (k *Keys) signedIn(layers []v1.Descriptor, payload []byte) bool {
	digest := digestOf(payload)
	for _, l := range layers {
		if l.Digest == digest && k.verify(payload, l.Annotations[SignatureAnnotation]) == nil {
			return true
		}
	}
	return false
}

// signatures of an image, the operator's and others'. What is no list of signatures is
// as none: anybody may have put it there.
func signatures(ctx context.Context, puller *remote.Puller, i Image) ([]v1.Descriptor, error) {
	d, err := puller.Get(ctx, SignatureTag(i.Tag.Context(), i.Digest))
	var answered *transport.Error
	switch {
	case errors.As(err, &answered) && answered.StatusCode == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the signatures of %s: %w", i.Tag, err)
	case !d.MediaType.IsImage():
		return nil, nil
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		return nil, nil //nolint:nilerr // not a list of signatures
	}
	return manifest.Layers, nil
}

// Sign adds a signature of the image to those that the registry has, unless it has a
// valid one. It does not need the image to be there yet. The error is the registry's.
func (k *Keys) Sign(ctx context.Context, puller *remote.Puller, pusher *remote.Pusher, i Image) error {
	payload, err := i.payload()
	if err != nil {
		return err
	}
	to := SignatureTag(i.Tag.Context(), i.Digest)
	defer lock(to.Name())()
	kept, err := signatures(ctx, puller, i)
	if err != nil || k.signedIn(kept, payload) {
		return err
	}
	signature, err := k.sign(payload)
	if err != nil {
		return err
	}
	if err := push(ctx, pusher, to, join(kept, v1.Descriptor{
		MediaType: payloadType, Digest: digestOf(payload), Size: int64(len(payload)), Annotations: map[string]string{SignatureAnnotation: signature},
	}), payload); err != nil {
		return fmt.Errorf("pushing the signature of %s: %w", i.Tag, err)
	}
	return nil
}

// join adds a signature. One of the same payload is not valid any more.
func join(kept []v1.Descriptor, added v1.Descriptor) []v1.Descriptor {
	var all []v1.Descriptor
	for _, l := range kept {
		if l.Digest != added.Digest {
			all = append(all, l)
		}
	}
	if len(all) >= maxSignatures {
		all = all[len(all)-maxSignatures+1:]
	}
	return append(all, added)
}

// push writes the list of signatures, of which the registry lacks one payload.
func push(ctx context.Context, pusher *remote.Pusher, to name.Tag, layers []v1.Descriptor, payload []byte) error {
	file := v1.ConfigFile{RootFS: v1.RootFS{Type: "layers"}}
	for _, l := range layers {
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, l.Digest)
	}
	config, err := json.Marshal(file)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: digestOf(config), Size: int64(len(config))},
		Layers: layers,
	})
	if err != nil {
		return err
	}
	blobs, uploading := errgroup.WithContext(ctx)
	for _, blob := range []v1.Layer{static.NewLayer(payload, payloadType), static.NewLayer(config, types.OCIConfigJSON)} {
		blobs.Go(func() error { return pusher.Upload(uploading, to.Context(), blob) })
	}
	if err := blobs.Wait(); err != nil {
		return err
	}
	return pusher.Put(ctx, to, rawManifest(manifest))
}

// rawManifest implements remote.Taggable.
type rawManifest []byte

func (m rawManifest) RawManifest() ([]byte, error)        { return m, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func digestOf(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// locks keep two signatures of one image from replacing each other.
var locks struct {
	sync.Mutex
	held map[string]*heldLock
}

type heldLock struct {
	sync.Mutex
	users int
}

func lock(tag string) (unlock func()) {
	locks.Lock()
	if locks.held == nil {
		locks.held = map[string]*heldLock{}
	}
	l := locks.held[tag]
	if l == nil {
		l = &heldLock{}
		locks.held[tag] = l
	}
	l.users++
	locks.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		locks.Lock()
		defer locks.Unlock()
		if l.users--; l.users == 0 {
			delete(locks.held, tag)
		}
	}
}
