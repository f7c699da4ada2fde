package layer

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/brunovlucena/knative-lambda-operator/internal/signing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
)

// Find implements registry.Asker.
func (m *Maker) Find(ctx context.Context, image registry.Image) (string, error) {
	digest, err := ask(ctx, m, image, func(w *work, ref name.Reference) (v1.Hash, error) {
		d, err := w.puller.Head(ctx, ref)
		if err != nil {
			return v1.Hash{}, err
		}
		signed, err := w.signed(ctx, ref, d.Digest)
		if err == nil && !signed {
			err = registry.ErrNotFound
		}
		return d.Digest, err
	})
	if err != nil {
		return "", unavailable(err)
	}
	return digest.String(), nil
}

// Exists implements registry.Asker.
func (m *Maker) Exists(ctx context.Context, image registry.Image) error {
	_, err := ask(ctx, m, image, func(w *work, ref name.Reference) (*v1.Descriptor, error) { return w.puller.Head(ctx, ref) })
	return unavailable(err)
}

// Confirm implements registry.Asker: the image's push was another process's, which only
// says that it succeeded.
func (m *Maker) Confirm(ctx context.Context, image registry.Image, digest string) build.Outcome {
	_, err := ask(ctx, m, image, func(w *work, ref name.Reference) (v1.Hash, error) {
		d, err := w.puller.Head(ctx, ref)
		switch {
		case notFound(err):
			return v1.Hash{}, &unconfirmedError{fmt.Sprintf("The build reports image %s, but the registry does not have %s.", digest, image.Reference)}
		case err != nil:
			return v1.Hash{}, err
		case d.Digest.String() != digest:
			return v1.Hash{}, &unconfirmedError{fmt.Sprintf("The build reports image %s, but %s is %s: something else pushes to that repository.", digest, image.Reference, d.Digest)}
		}
		return d.Digest, w.sign(ctx, ref, d.Digest)
	})
	if err != nil {
		return outcome(in(build.StepPush, err))
	}
	return build.Outcome{Digest: digest}
}

// ask a registry with the credentials of an image's namespace.
func ask[T any](ctx context.Context, m *Maker, image registry.Image, question func(*work, name.Reference) (T, error)) (answer T, err error) {
	w, err := m.begin(ctx, &Request{Namespace: image.Namespace, PushSecret: image.PushSecret, PullSecret: image.PullSecret,
		Insecure: func(string) bool { return image.Insecure }})
	if err != nil {
		return answer, err
	}
	ref, err := w.parse(image.Reference)
	if err != nil {
		return answer, err
	}
	answer, err = question(w, ref)
	if err != nil && !notFound(err) {
		m.sessions.drop(w.id) // it may hold a failed handshake
	}
	return answer, err
}

// signed reports whether the image has the operator's signature.
func (w *work) signed(ctx context.Context, ref name.Reference, digest v1.Hash) (bool, error) {
	statement, err := w.statement(ref, digest)
	if err != nil {
		return false, err
	}
	return w.keys().Signed(ctx, w.puller, statement)
}

// sign pushes the operator's signature of the image, which need not be there yet.
func (w *work) sign(ctx context.Context, ref name.Reference, digest v1.Hash) error {
	statement, err := w.statement(ref, digest)
	if err != nil {
		return err
	}
	return w.keys().Sign(ctx, w.puller, w.pusher, statement)
}

func (w *work) statement(ref name.Reference, digest v1.Hash) (signing.Image, error) {
	tag, ok := ref.(name.Tag)
	if !ok {
		return signing.Image{}, fmt.Errorf("%s: expected an image with a tag", ref)
	}
	return signing.Image{Tag: tag, Digest: digest, Namespace: w.Namespace}, nil
}

// unavailable classes an error as one of the registry package's.
func unavailable(err error) error {
	switch {
	case err == nil || errors.Is(err, registry.ErrNotFound):
		return err
	case notFound(err):
		return registry.ErrNotFound
	}
	return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
}

func notFound(err error) bool {
	var answered *transport.Error
	return errors.As(err, &answered) && answered.StatusCode == http.StatusNotFound
}

// unconfirmedError says that the registry does not have what a build reports.
type unconfirmedError struct{ message string }

func (e *unconfirmedError) Error() string { return e.message }
