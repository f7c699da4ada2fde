// Package registry asks registries about images in the background: a reconcile never
// waits for one.
package registry

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// Image is an image in a registry, as one namespace sees it.
type Image struct {
	// Namespace that asks.
	Namespace string
	// Reference of the image: a tag that is made from its content, or a digest.
	Reference string
	// PushSecret and PullSecret name Secrets of the namespace with credentials; empty is
	// none.
	PushSecret, PullSecret string
	// Insecure registries speak plain HTTP.
	Insecure bool
}

// Checker answers questions about images. The first time it only starts to ask and
// returns ErrPending; the key is enqueued when the answer is there. What is known of an
// image is known to the namespace that asked with these credentials, and to no other.
type Checker interface {
	// Find returns the digest (sha256:…) of the image if the registry has it with a
	// signature of the operator for this reference and namespace. Otherwise it returns
	// ErrNotFound, or an error that wraps ErrUnavailable.
	Find(key types.NamespacedName, image Image) (digest string, err error)
	// Confirm makes sure that the reference has the digest that a build has reported, and
	// signs it. The error is ErrPending or nil.
	Confirm(key types.NamespacedName, image Image, digest string) (build.Outcome, error)
	// Exists returns nil if the registry has the image, signed or not. Otherwise it
	// returns the errors of Find.
	Exists(key types.NamespacedName, image Image) error
	// Forget drops the answer that the registry does not have the reference.
	Forget(reference string)
	// Lost drops all answers on a reference that the registry does not have any more.
	Lost(reference string)
}

// Asker asks registries, and waits for their answers. Its methods are those of Checker.
type Asker interface {
	Find(ctx context.Context, image Image) (digest string, err error)
	Confirm(ctx context.Context, image Image, digest string) build.Outcome
	Exists(ctx context.Context, image Image) error
}

// Errors of Find and Exists.
var (
	ErrPending     = errors.New("the registry is being asked")
	ErrNotFound    = errors.New("the registry does not have the image with a signature of the operator")
	ErrUnavailable = errors.New("the registry could not be asked")
)
