package child

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// Children that several owners share carry a plain owner reference for each of
// them: Kubernetes deletes such a child with its last owner.

// SharedRef is the owner reference of one of several owners.
func SharedRef(owner kmeta.OwnerRefable) metav1.OwnerReference {
	ref := *kmeta.NewControllerRef(owner)
	ref.Controller, ref.BlockOwnerDeletion = nil, nil
	return ref
}

// IsShared tells whether the child was made by Join.
func IsShared(o metav1.Object) bool {
	return o.GetLabels()[lambda.ManagedByLabelKey] == lambda.ManagedBy && metav1.GetControllerOf(o) == nil
}

// Join makes the child exist and the owner one of its owners. What is there
// stays as it is otherwise: compare it yourself. The error is a *NotOwnedError
// where the child is none of this project.
func (s Set[T]) Join(ctx context.Context, owner kmeta.OwnerRefable, desired T) (T, error) {
	existing, err := s.Lister.Get(desired.GetName())
	switch {
	case apierrs.IsNotFound(err):
		desired.SetOwnerReferences([]metav1.OwnerReference{SharedRef(owner)})
		return s.create(ctx, owner, desired, func(existing T) (T, error) { return s.join(ctx, owner, existing) })
	case err != nil:
		return existing, fmt.Errorf("failed to get %s %q: %w", s.Kind, desired.GetName(), err)
	}
	return s.join(ctx, owner, existing)
}

func (s Set[T]) join(ctx context.Context, owner kmeta.OwnerRefable, existing T) (T, error) {
	if !IsShared(existing) {
		return existing, &NotOwnedError{Kind: s.Kind, Namespace: existing.GetNamespace(), Name: existing.GetName()}
	}
	if owns(owner, existing) || existing.GetDeletionTimestamp() != nil {
		return existing, nil
	}
	changed := existing.DeepCopy()
	changed.SetOwnerReferences(append(changed.GetOwnerReferences(), SharedRef(owner)))
	updated, err := s.Client.Update(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return existing, fmt.Errorf("failed to update %s %q: %w", s.Kind, existing.GetName(), err)
	}
	s.event(ctx, owner, corev1.EventTypeNormal, "Updated", "Updated %s %q", existing.GetName())
	return updated, nil
}

// Leave takes the owner off the child's owners, and deletes the child where it
// was the last. A child that the owner has never joined is left alone.
func (s Set[T]) Leave(ctx context.Context, owner kmeta.OwnerRefable, existing T) error {
	if !IsShared(existing) || !owns(owner, existing) || existing.GetDeletionTimestamp() != nil {
		return nil
	}
	name, uid := existing.GetName(), owner.GetObjectMeta().GetUID()
	others := slices.DeleteFunc(slices.Clone(existing.GetOwnerReferences()), func(r metav1.OwnerReference) bool { return r.UID == uid })
	if len(others) > 0 {
		changed := existing.DeepCopy()
		changed.SetOwnerReferences(others)
		if _, err := s.Client.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("failed to update %s %q: %w", s.Kind, name, err)
		}
		return nil
	}
	// Should another owner have joined meanwhile, its version is another.
	childUID, version, background := existing.GetUID(), existing.GetResourceVersion(), metav1.DeletePropagationBackground
	err := s.Client.Delete(ctx, name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &childUID, ResourceVersion: &version},
		PropagationPolicy: &background,
	})
	if err != nil && !apierrs.IsNotFound(err) {
		return fmt.Errorf("failed to delete %s %q: %w", s.Kind, name, err)
	}
	s.event(ctx, owner, corev1.EventTypeNormal, "Deleted", "Deleted %s %q", name)
	return nil
}

func owns(owner kmeta.OwnerRefable, o metav1.Object) bool {
	uid := owner.GetObjectMeta().GetUID()
	return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == uid })
}
