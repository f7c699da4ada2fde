// Package child makes what a reconciler owns be as desired: one function for
// every kind of child object, so that ownership checks, Kubernetes events and
// conflict handling are written once.
package child

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/kmeta"
)

// Object is what a child has to be: an API object of the concrete type T that
// can copy itself.
type Object[T any] interface {
	metav1.Object
	runtime.Object
	DeepCopy() T
}

// Lister reads one namespace of the informer's cache.
type Lister[T any] interface {
	Get(name string) (T, error)
}

// Client is the writing half of a typed client of one namespace. Get is used
// only where the cache has proved to be wrong: after an AlreadyExists.
type Client[T any] interface {
	Create(ctx context.Context, obj T, opts metav1.CreateOptions) (T, error)
	Update(ctx context.Context, obj T, opts metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
}

// NotOwnedError says that an object with the child's name is there already and
// belongs to somebody else. It is the user's to resolve; retrying cannot help.
type NotOwnedError struct {
	Kind, Namespace, Name string
}

func (e *NotOwnedError) Error() string {
	return fmt.Sprintf("%s %s/%s exists already and is not owned by this resource: delete or rename one of the two",
		e.Kind, e.Namespace, e.Name)
}

// IsNotOwned tells whether err is or wraps a *NotOwnedError.
func IsNotOwned(err error) bool {
	var notOwned *NotOwnedError
	return errors.As(err, &notOwned)
}

// IsRejected tells whether err is the API server's (or one of its admission
// webhooks') refusal of the child's content: retrying the same content cannot
// help, the user has to change something.
func IsRejected(err error) bool {
	return apierrs.IsInvalid(err) || apierrs.IsBadRequest(err)
}

// ErrNamespaceTerminating says that the namespace is being deleted, so that nothing can
// be created in it. The owner is deleted with the namespace: there is nothing to report
// and nothing to retry. The API server's own error, which is of the kind of an exceeded
// quota, is not wrapped.
var ErrNamespaceTerminating = errors.New("the namespace is being deleted")

// Set is where children of one kind are read and written, in one namespace.
type Set[T Object[T]] struct {
	// Kind names the children in events and errors.
	Kind   string
	Lister Lister[T]
	Client Client[T]
}

// Ensure makes the child exist and be as desired, and returns it as it is
// afterwards. mutate sets on a copy of the existing child the fields that this
// project owns; only a difference is written. A nil mutate says that the child
// never changes once it is made.
//
// The error is a *NotOwnedError where the name is taken, wraps ErrNamespaceTerminating
// where the namespace is being deleted, and else wraps the API server's.
func (s Set[T]) Ensure(ctx context.Context, owner kmeta.OwnerRefable, desired T, mutate func(existing, desired T)) (T, error) {
	existing, err := s.Lister.Get(desired.GetName())
	switch {
	case apierrs.IsNotFound(err):
		return s.create(ctx, owner, desired, func(existing T) (T, error) { return s.update(ctx, owner, existing, desired, mutate) })
	case err != nil:
		return existing, fmt.Errorf("failed to get %s %q: %w", s.Kind, desired.GetName(), err)
	}
	return s.update(ctx, owner, existing, desired, mutate)
}

// Delete removes the child if it is there and the owner's. Its own children
// follow in the background.
func (s Set[T]) Delete(ctx context.Context, owner kmeta.OwnerRefable, name string) error {
	existing, err := s.Lister.Get(name)
	if apierrs.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("failed to get %s %q: %w", s.Kind, name, err)
	}
	if !metav1.IsControlledBy(existing, owner.GetObjectMeta()) || existing.GetDeletionTimestamp() != nil {
		return nil
	}
	uid, background := existing.GetUID(), metav1.DeletePropagationBackground
	err = s.Client.Delete(ctx, name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &uid},
		PropagationPolicy: &background,
	})
	if err != nil && !apierrs.IsNotFound(err) && !apierrs.IsConflict(err) {
		s.event(ctx, owner, corev1.EventTypeWarning, "DeleteFailed", "Failed to delete %s %q: %v", name, err)
		return fmt.Errorf("failed to delete %s %q: %w", s.Kind, name, err)
	}
	s.event(ctx, owner, corev1.EventTypeNormal, "Deleted", "Deleted %s %q", name)
	return nil
}

// create the child, or do what is to be done with one that is there though the cache
// has not seen it.
func (s Set[T]) create(ctx context.Context, owner kmeta.OwnerRefable, desired T, found func(existing T) (T, error)) (T, error) {
	name := desired.GetName()
	created, err := s.Client.Create(ctx, desired, metav1.CreateOptions{})
	if apierrs.IsAlreadyExists(err) {
		// The cache has not seen it: it is somebody else's without our label,
		// our own with the label taken off, or of a moment ago.
		existing, getErr := s.Client.Get(ctx, name, metav1.GetOptions{})
		if getErr != nil {
			return existing, fmt.Errorf("failed to get %s %q: %w", s.Kind, name, getErr)
		}
		return found(existing)
	}
	if apierrs.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return created, fmt.Errorf("failed to create %s %q: %w", s.Kind, name, ErrNamespaceTerminating)
	}
	if err != nil {
		s.event(ctx, owner, corev1.EventTypeWarning, "CreateFailed", "Failed to create %s %q: %v", name, err)
		return created, fmt.Errorf("failed to create %s %q: %w", s.Kind, name, err)
	}
	s.event(ctx, owner, corev1.EventTypeNormal, "Created", "Created %s %q", name)
	return created, nil
}

func (s Set[T]) update(ctx context.Context, owner kmeta.OwnerRefable, existing, desired T, mutate func(existing, desired T)) (T, error) {
	name := desired.GetName()
	if !metav1.IsControlledBy(existing, owner.GetObjectMeta()) {
		return existing, &NotOwnedError{Kind: s.Kind, Namespace: desired.GetNamespace(), Name: name}
	}
	if mutate == nil || existing.GetDeletionTimestamp() != nil {
		return existing, nil
	}
	changed := existing.DeepCopy()
	mutate(changed, desired)
	if equality.Semantic.DeepEqual(existing, changed) {
		return existing, nil
	}
	updated, err := s.Client.Update(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		if !apierrs.IsConflict(err) { // the next event brings the newer one: no news to the user
			s.event(ctx, owner, corev1.EventTypeWarning, "UpdateFailed", "Failed to update %s %q: %v", name, err)
		}
		return existing, fmt.Errorf("failed to update %s %q: %w", s.Kind, name, err)
	}
	s.event(ctx, owner, corev1.EventTypeNormal, "Updated", "Updated %s %q", name)
	return updated, nil
}

func (s Set[T]) event(ctx context.Context, owner kmeta.OwnerRefable, eventType, reason, format string, args ...any) {
	object, ok := owner.(runtime.Object)
	if !ok {
		return
	}
	controller.GetEventRecorder(ctx).Eventf(object, eventType, reason, format, append([]any{s.Kind}, args...)...)
}

// MergeMap sets in dst what want has and keeps everything else: labels and
// annotations of others stay. It returns dst, made if it was nil and needed.
func MergeMap(dst, want map[string]string) map[string]string {
	if dst == nil && len(want) > 0 {
		dst = make(map[string]string, len(want))
	}
	for k, v := range want {
		dst[k] = v
	}
	return dst
}
