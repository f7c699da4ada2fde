package layer

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// mountable is an image of which layers that its registry has in another
// repository are mounted from there, not pushed. The registry checks that the
// credentials may read that repository; where it does not mount, they are pushed.
type mountable struct {
	v1.Image
	platform v1.Platform
	// code is the function's own layer, which no other repository has; program is
	// the runtime's, which has been made here.
	code, program v1.Hash
	base          name.Repository
	places        *cache[name.Repository]
	// registry that the image goes to.
	registry name.Registry
}

// Layers implements v1.Image.
func (m *mountable) Layers() ([]v1.Layer, error) {
	layers, err := m.Image.Layers()
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return nil, err
		}
		if digest == m.code {
			continue
		}
		place, known := m.places.look(placeKey(m.registry, digest))
		switch {
		case known:
		case digest == m.program:
			continue
		default: // where this is in another registry it is not mounted
			place = m.base
		}
		layers[i] = &remote.MountableLayer{Layer: l, Reference: place.Digest(digest.String())}
	}
	return layers, nil
}

// pushed remembers where the image's layers are.
func (m *mountable) pushed(to name.Repository) error {
	layers, err := m.Image.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return err
		}
		if digest != m.code {
			m.places.put(placeKey(m.registry, digest), to, placeFor)
		}
	}
	return nil
}

func placeKey(registry name.Registry, digest v1.Hash) string {
	return registry.Name() + " " + digest.String()
}
