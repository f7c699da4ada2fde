// Package layer makes images without a pod, where making them runs nothing: a
// base image and a layer or two, put together by the controller itself in the
// background and pushed.
package layer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/internal/signing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// Request is an image to be made.
type Request struct {
	// Namespace whose build this is.
	Namespace string
	// Reference of the image, by content.
	Reference string
	// Recipe of the image.
	Recipe *build.Recipe
	// Files of the source; nil where it has to be fetched.
	Files []File
	// Fetch writes the source's files into a folder, which is removed afterwards.
	Fetch func(ctx context.Context, dir string) error
	// Dependencies is the manifest of the language: a fetched source that has it,
	// and so has something to install, takes a pod.
	Dependencies string
	// Salt asks anew what the base image is.
	Salt string
	// Handler that the source must have, and the language's main file.
	Handler, File string
	// PushSecret and PullSecret name Secrets of the namespace; empty is none.
	PushSecret, PullSecret string
	// Insecure tells of a registry whether it speaks plain HTTP.
	Insecure func(registry string) bool
	// Timeout of it all.
	Timeout time.Duration
	// Attempt that this is, from 1.
	Attempt int32
}

// Maker makes images and keeps what the next ones need again.
type Maker struct {
	secret    GetSecret
	transport http.RoundTripper
	// keys with which images are signed, as they are now.
	keys func() *signing.Keys
	// sessions with registries, by credentials.
	sessions *cache[*session]
	// images that others are made from, by credentials and reference.
	images *cache[*pulled]
	// layers from other images, by the image's digest and what is copied.
	layers *cache[*layer]
	// places in which a registry has a layer, so that it can be mounted
	// elsewhere.
	places *cache[name.Repository]
}

// What is kept. Of layers there are as many as languages, for each platform.
const (
	sessionFor  = 5 * time.Minute
	mostSession = 256
	mostImages  = 64
	layerFor    = 24 * time.Hour
	mostLayers  = 16
	placeFor    = time.Hour
	mostPlaces  = 1024

	prepareTimeout = 2 * time.Minute
)

// NewMaker returns a Maker that reads credentials with secret, reaches registries with
// dial and signs with keys.
func NewMaker(secret GetSecret, clock clock.PassiveClock, dial egress.Dial, keys func() *signing.Keys) *Maker {
	return &Maker{
		secret: secret, transport: egress.Transport(dial), keys: keys,
		sessions: newCache[*session](clock, mostSession), images: newCache[*pulled](clock, mostImages),
		layers: newCache[*layer](clock, mostLayers), places: newCache[name.Repository](clock, mostPlaces),
	}
}

// session with registries: connections that are authenticated, and blobs that
// have been seen there.
type session struct {
	puller *remote.Puller
	pusher *remote.Pusher
}

func (m *Maker) session(c *credentials) (*session, error) {
	return m.sessions.get(c.id, sessionFor, func() (*session, error) {
		options := []remote.Option{
			remote.WithTransport(m.transport), remote.WithAuthFromKeychain(c),
			// A build that fails is tried again as a whole.
			remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}),
		}
		puller, err := remote.NewPuller(options...)
		if err != nil {
			return nil, err
		}
		pusher, err := remote.NewPusher(options...)
		return &session{puller, pusher}, err
	})
}

// Make makes the image, pushes it and signs it. It does nothing, and returns found, if the
// registry has the image with a signature of the operator for the namespace.
func (m *Maker) Make(ctx context.Context, r *Request) (o build.Outcome, found bool) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	digest, found, err := m.make(ctx, r)
	if err != nil {
		return outcome(err), false
	}
	return build.Outcome{Digest: digest.String()}, found
}

func (m *Maker) make(ctx context.Context, r *Request) (v1.Hash, bool, error) {
	w, err := m.begin(ctx, r)
	if err != nil {
		return v1.Hash{}, false, in(build.StepPush, err)
	}
	digest, found, err := w.run(ctx)
	if err != nil {
		// It may hold a failed handshake, or blobs that are gone by now.
		m.sessions.drop(w.id)
	}
	return digest, found, err
}

func (m *Maker) begin(ctx context.Context, r *Request) (*work, error) {
	c, err := m.credentials(ctx, r)
	if err != nil {
		return nil, err
	}
	s, err := m.session(c)
	return &work{Maker: m, Request: r, credentials: c, session: s}, err
}

// Prepare keeps what images of the recipe need, but for the function itself: the
// first of them takes no longer than others then. Nothing is pushed.
func (m *Maker) Prepare(ctx context.Context, recipe *build.Recipe, insecure func(string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	w, err := m.begin(ctx, &Request{Recipe: recipe, Insecure: insecure})
	if err == nil {
		_, err = w.variants(ctx, nil, name.Registry{})
	}
	if err != nil && w != nil {
		m.sessions.drop(w.id)
	}
	return err
}

// work is the making of one image.
type work struct {
	*Maker
	*Request
	*credentials
	*session
}

func (w *work) run(ctx context.Context) (v1.Hash, bool, error) {
	ref, err := w.parse(w.Reference)
	if err != nil {
		return v1.Hash{}, false, in(build.StepPush, err)
	}
	var answered *transport.Error
	switch d, err := w.puller.Head(ctx, ref); {
	case err == nil:
		// A tag alone proves nothing: another client may have pushed it.
		if signed, err := w.signed(ctx, ref, d.Digest); signed || err != nil {
			return d.Digest, signed, in(build.StepPush, err)
		}
	case !errors.As(err, &answered):
		return v1.Hash{}, false, in(build.StepPush, err) // nobody there to push to
	}
	files, remove, err := w.source(ctx)
	defer remove()
	if err != nil {
		return v1.Hash{}, false, in(build.StepSource, err)
	}
	variants, err := w.variants(ctx, files, ref.Context().Registry)
	if err != nil {
		return v1.Hash{}, false, in(build.StepBuild, err)
	}
	image := together(variants)
	digest, err := image.Digest()
	if err != nil {
		return v1.Hash{}, false, in(build.StepBuild, err)
	}
	if err := w.push(ctx, ref, image, digest); err != nil {
		return v1.Hash{}, false, in(build.StepPush, err)
	}
	for _, v := range variants {
		if err := v.pushed(ref.Context()); err != nil {
			return v1.Hash{}, false, err
		}
	}
	return digest, false, nil
}

// push the image and its signature, at once: what the signature states is true before the
// registry has the image.
func (w *work) push(ctx context.Context, ref name.Reference, image pushable, digest v1.Hash) error {
	group, pushing := errgroup.WithContext(ctx)
	group.Go(func() error { return w.pusher.Push(pushing, ref, image) })
	group.Go(func() error { return w.sign(pushing, ref, digest) })
	return group.Wait()
}

func (w *work) parse(reference string) (name.Reference, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, err
	}
	if w.Insecure(ref.Context().RegistryStr()) {
		return name.ParseReference(reference, name.Insecure)
	}
	return ref, nil
}

// pushable is an image or an index of some.
type pushable interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// together is one image, or an index of several.
func together(variants []*mountable) pushable {
	if len(variants) == 1 {
		return variants[0]
	}
	var index v1.ImageIndex = empty.Index
	for _, v := range variants {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: v, Descriptor: v1.Descriptor{Platform: &v.platform}})
	}
	if t, err := variants[0].MediaType(); err == nil && t == types.DockerManifestSchema2 {
		index = mutate.IndexMediaType(index, types.DockerManifestList)
	}
	return index
}

// variants of the image: one for each platform that base and runtime offer.
func (w *work) variants(ctx context.Context, files []File, registry name.Registry) ([]*mountable, error) {
	function, from, copies := w.split(files)
	base, err := w.pulled(ctx, w.Recipe.Base)
	if err != nil {
		return nil, err
	}
	runtime, err := w.pulled(ctx, from)
	if err != nil {
		return nil, err
	}
	code, err := newLayer(function)
	if err != nil {
		return nil, err
	}
	var variants []*mountable
	for _, p := range pairs(base, runtime) {
		program, err := w.program(ctx, runtime, p.runtime, copies)
		if err != nil {
			return nil, err
		}
		below, err := base.image(ctx, w.puller, p.base)
		if err != nil {
			return nil, err
		}
		image, err := assemble(below, w.Recipe, program, code)
		if err != nil {
			return nil, err
		}
		variants = append(variants, &mountable{Image: image, platform: p.base.platform, code: code.digest, program: program.digest,
			base: base.repository, places: w.places, registry: registry})
	}
	if len(variants) == 0 {
		return nil, &missingError{w.Recipe.Base, "platform that " + from + " is for"}
	}
	return variants, nil
}

// split the recipe's copies: the function's files, and what comes from the
// runtime's image.
func (w *work) split(files []File) (function map[string]entry, from string, copies []build.Copy) {
	function = map[string]entry{}
	for _, c := range w.Recipe.Copies {
		if c.Image != "" {
			from, copies = c.Image, append(copies, c)
			continue
		}
		maps.Copy(function, entriesAt(c.To, files))
	}
	return function, from, copies
}

// program is the layer with the runtime.
func (w *work) program(ctx context.Context, runtime *pulled, v variant, copies []build.Copy) (*layer, error) {
	return w.layers.get(fmt.Sprint(v.digest, copies), layerFor, func() (*layer, error) {
		image, err := runtime.image(ctx, w.puller, v)
		if err != nil {
			return nil, err
		}
		entries, err := extract(image, copies)
		if err != nil {
			return nil, err
		}
		return newLayer(entries)
	})
}

// pulled is the image of a reference.
func (w *work) pulled(ctx context.Context, reference string) (*pulled, error) {
	ref, err := w.parse(reference)
	if err != nil {
		return nil, err
	}
	return w.images.get(w.id+" "+reference+" "+w.Salt, goodFor(ref), func() (*pulled, error) { return pull(ctx, w.puller, ref) })
}
