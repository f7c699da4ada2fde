// Package sinks resolves the destinations of events that specs name, and checks that their
// owners allow it.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/apis"
	pkgapisduck "knative.dev/pkg/apis/duck"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/client/injection/ducks/duck/v1/addressable"
	"knative.dev/pkg/controller"
	pkgresolver "knative.dev/pkg/resolver"
	"knative.dev/pkg/tracker"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdalisters "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
)

// Resolver finds the URL of a destination and enqueues the parent when
// it changes.
type Resolver interface {
	URIFromDestinationV1(ctx context.Context, dest duckv1.Destination, parent any) (*apis.URL, error)
	// Allowed returns the namespaces that may name the object as a sink, and enqueues the
	// parent when the object changes.
	Allowed(ctx context.Context, ref *duckv1.KReference, parent any) ([]string, error)
}

// Error says why a destination cannot be used. It does not distinguish a missing object
// of another namespace from one that does not allow this one.
type Error struct {
	message string
	// cause is an error that may pass; nil if only a change helps.
	cause error
}

func (e *Error) Error() string { return e.message }

// Check returns an error if an owner may not name the object of a destination: it is of
// another kind than a sink may be, or in another namespace that does not allow it. An
// informer of the kind is only started for kinds on the list.
func Check(ctx context.Context, r Resolver, owner metav1.Object, field string, d *duckv1.Destination) error {
	if d == nil || d.Ref == nil {
		return nil
	}
	ref := d.Ref
	if !v1alpha1.IsSink(ref) {
		return &Error{message: fmt.Sprintf("%s.ref.kind: %s, got %s (%s)", field, v1alpha1.ExpectedSinkKinds, ref.Kind, ref.APIVersion)}
	}
	if ref.Namespace == "" || ref.Namespace == owner.GetNamespace() {
		return nil
	}
	allowed, err := r.Allowed(ctx, ref, owner)
	if err == nil && v1alpha1.AllowsNamespace(allowed, owner.GetNamespace()) {
		return nil
	}
	e := &Error{message: fmt.Sprintf("%s.ref: %s %q of namespace %q does not exist, or does not allow namespace %q, which its owner has to list in the annotation %s of the object (a LambdaAgent also in eventing.allowedSourceNamespaces)",
		field, ref.Kind, ref.Name, ref.Namespace, owner.GetNamespace(), lambda.AllowedSourceNamespacesAnnotationKey)}
	if err != nil && !apierrs.IsNotFound(err) {
		e.cause = e // tried again with the same words
	}
	return e
}

// Trouble returns the message of an error of a sink, and the error if it may pass
// without a change.
func Trouble(field string, err error) (message string, again error) {
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return refused.message, refused.cause
	case apierrs.IsNotFound(err), apierrs.IsBadRequest(err): // missing, or without an address: its changes enqueue
		return field + ": " + err.Error(), nil
	}
	return field + ": " + err.Error(), err
}

// Addressables resolves destinations as Knative does, and finds out what their owners
// allow.
type Addressables struct {
	resolver  *pkgresolver.URIResolver
	informers pkgapisduck.InformerFactory
	tracker   tracker.Interface
	agents    lambdalisters.LambdaAgentLister
}

var _ Resolver = (*Addressables)(nil)

// New returns a Resolver whose tracker enqueues those that name a destination.
func New(ctx context.Context, t tracker.Interface, agents lambdalisters.LambdaAgentLister) *Addressables {
	return &Addressables{
		resolver: pkgresolver.NewURIResolverFromTracker(ctx, t), tracker: t, agents: agents,
		informers: &pkgapisduck.CachedInformerFactory{Delegate: &pkgapisduck.EnqueueInformerFactory{
			Delegate: addressable.Get(ctx), EventHandler: controller.HandleAll(t.OnChanged),
		}},
	}
}

// URIFromDestinationV1 implements Resolver.
func (a *Addressables) URIFromDestinationV1(ctx context.Context, dest duckv1.Destination, parent any) (*apis.URL, error) {
	return a.resolver.URIFromDestinationV1(ctx, dest, parent)
}

// Allowed implements Resolver.
func (a *Addressables) Allowed(ctx context.Context, ref *duckv1.KReference, parent any) (allowed []string, err error) {
	if err := a.tracker.TrackReference(tracker.Reference{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}, parent); err != nil {
		return nil, err
	}
	resource, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	_, lister, err := a.informers.Get(ctx, resource)
	if err != nil {
		return nil, err
	}
	object, err := lister.ByNamespace(ref.Namespace).Get(ref.Name)
	if err != nil {
		return nil, err
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	allowed = allowedBy(accessor)
	if ref.Kind == "LambdaAgent" {
		agent, err := a.agents.LambdaAgents(ref.Namespace).Get(ref.Name)
		if err != nil {
			return nil, err
		}
		if e := agent.Spec.Eventing; e != nil {
			allowed = append(allowed, e.AllowedSourceNamespaces...)
		}
	}
	return allowed, nil
}

// allowedBy are the namespaces in the annotation of an object.
func allowedBy(o metav1.Object) []string {
	names := strings.FieldsFunc(o.GetAnnotations()[lambda.AllowedSourceNamespacesAnnotationKey], func(r rune) bool { return r == ',' || r == ' ' })
	return slices.Clip(names)
}
