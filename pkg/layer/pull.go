package layer

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pulled is what is known of an image in a registry without its layers: one
// variant for each platform, or the one that there is.
type pulled struct {
	repository name.Repository
	variants   []variant
}

// variant of an image. It holds no connection, so that it can be kept.
type variant struct {
	platform         v1.Platform
	digest           v1.Hash
	mediaType        types.MediaType
	manifest, config []byte
}

// pull asks a registry for an image.
func pull(ctx context.Context, puller *remote.Puller, ref name.Reference) (*pulled, error) {
	d, err := puller.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	p := &pulled{repository: ref.Context()}
	if !d.MediaType.IsIndex() {
		image, err := d.Image()
		if err != nil {
			return nil, err
		}
		return p, p.add(image)
	}
	index, err := d.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, m := range manifest.Manifests {
		if !m.MediaType.IsImage() || m.Platform == nil || m.Platform.OS != "linux" {
			continue // attestations and the like are no images for a node
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			return nil, err
		}
		if err := p.add(image); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pulled) add(image v1.Image) (err error) {
	v := variant{}
	if v.digest, err = image.Digest(); err != nil {
		return err
	}
	if v.mediaType, err = image.MediaType(); err != nil {
		return err
	}
	if v.manifest, err = image.RawManifest(); err != nil {
		return err
	}
	if v.config, err = image.RawConfigFile(); err != nil {
		return err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return err
	}
	if platform := file.Platform(); platform != nil {
		v.platform = *platform
	}
	p.variants = append(p.variants, v)
	return nil
}

// pair is a variant of the base image with that of the runtime's for the same
// platform.
type pair struct{ base, runtime variant }

// pairs are the platforms that both images offer.
func pairs(base, runtime *pulled) []pair {
	var both []pair
	for _, b := range base.variants {
		for _, r := range runtime.variants {
			if samePlatform(b.platform, r.platform) {
				both = append(both, pair{b, r})
				break
			}
		}
	}
	return both
}

// samePlatform compares the variant only where it names another instruction set:
// of arm64 there is only v8.
func samePlatform(a, b v1.Platform) bool {
	return a.OS == b.OS && a.Architecture == b.Architecture && (a.Architecture != "arm" || a.Variant == b.Variant)
}

// image of a variant, whose layers are read with the puller when they are asked
// for.
func (p *pulled) image(ctx context.Context, puller *remote.Puller, v variant) (v1.Image, error) {
	return partial.CompressedToImage(&core{ctx: ctx, puller: puller, repository: p.repository, variant: v})
}

// core implements partial.CompressedImageCore.
type core struct {
	ctx        context.Context // of one build: a v1.Layer is given none
	puller     *remote.Puller
	repository name.Repository
	variant
}

func (c *core) MediaType() (types.MediaType, error) { return c.mediaType, nil }
func (c *core) RawManifest() ([]byte, error)        { return c.manifest, nil }
func (c *core) RawConfigFile() ([]byte, error)      { return c.config, nil }
func (c *core) Manifest() (*v1.Manifest, error)     { return partial.Manifest(c) }
func (c *core) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	manifest, err := c.Manifest()
	if err != nil {
		return nil, err
	}
	for _, d := range manifest.Layers {
		if d.Digest == digest {
			return &remoteLayer{c, d}, nil
		}
	}
	return nil, fmt.Errorf("%s@%s has no layer %s", c.repository, c.digest, digest)
}

// remoteLayer implements partial.CompressedLayer.
type remoteLayer struct {
	*core
	v1.Descriptor
}

func (l *remoteLayer) Digest() (v1.Hash, error)            { return l.Descriptor.Digest, nil }
func (l *remoteLayer) Size() (int64, error)                { return l.Descriptor.Size, nil }
func (l *remoteLayer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }
func (l *remoteLayer) Compressed() (io.ReadCloser, error) {
	remote, err := l.puller.Layer(l.ctx, l.repository.Digest(l.Descriptor.Digest.String()))
	if err != nil {
		return nil, err
	}
	return remote.Compressed()
}

// How long what a reference names is taken for granted: a tag may come to name
// another image, a digest may only be deleted.
const (
	tagFor    = 5 * time.Minute
	digestFor = time.Hour
)

func goodFor(ref name.Reference) time.Duration {
	if _, ok := ref.(name.Digest); ok {
		return digestFor
	}
	return tagFor
}
