package trigger

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/duck"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// dependencies are sources that Triggers wait for.
type dependencies interface {
	// Source that a Trigger depends on. Its changes enqueue the Trigger.
	Source(ctx context.Context, t *eventingv1.Trigger, ref corev1.ObjectReference) (*duckv1.Source, error)
}

// sources of all kinds, by their duck type.
type sources struct{ tracker duck.ListableTracker }

// Source implements dependencies.
func (s *sources) Source(ctx context.Context, t *eventingv1.Trigger, ref corev1.ObjectReference) (*duckv1.Source, error) {
	if err := s.tracker.TrackInNamespace(ctx, t)(ref); err != nil {
		return nil, fmt.Errorf("failed to watch the dependency: %w", err)
	}
	lister, err := s.tracker.ListerFor(ref)
	if err != nil {
		return nil, fmt.Errorf("failed to watch the dependency: %w", err)
	}
	object, err := lister.ByNamespace(t.Namespace).Get(ref.Name)
	if err != nil {
		return nil, err
	}
	source, ok := object.(*duckv1.Source)
	if !ok {
		return nil, fmt.Errorf("%s %q is no source", ref.Kind, ref.Name)
	}
	return source, nil
}

// dependency of the Trigger, which Knative's annotation names.
func (r *Reconciler) dependency(ctx context.Context, t *eventingv1.Trigger) error {
	annotation, ok := t.Annotations[eventingv1.DependencyAnnotation]
	if !ok {
		t.Status.MarkDependencySucceeded()
		return nil
	}
	ref, err := eventingv1.GetObjRefFromDependencyAnnotation(annotation)
	if err != nil {
		t.Status.MarkDependencyFailed("ReferenceError", "Unable to unmarshal objectReference from dependency annotation of trigger: %v", err)
		return nil
	}
	source, err := r.dependencies.Source(ctx, t, ref)
	switch {
	case apierrs.IsNotFound(err):
		t.Status.MarkDependencyFailed("DependencyDoesNotExist", "Dependency does not exist: %v", err)
	case err != nil:
		t.Status.MarkDependencyUnknown("DependencyGetFailed", "Failed to get dependency: %v", err)
		return err
	case source.Generation != source.Status.ObservedGeneration:
		t.Status.MarkDependencyUnknown("GenerationNotEqual",
			"The dependency's generation %d is not observed yet, only %d.",
			source.Generation, source.Status.ObservedGeneration)
	default:
		t.Status.PropagateDependencyStatus(source)
	}
	return nil
}
