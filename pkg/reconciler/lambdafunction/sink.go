package lambdafunction

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
	pkgreconciler "knative.dev/pkg/reconciler"
	pkgresolver "knative.dev/pkg/resolver"
	"knative.dev/pkg/tracker"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdalisters "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
)

// destinationResolver finds the URL of a destination and enqueues the parent when
// it changes.
type destinationResolver interface {
	URIFromDestinationV1(ctx context.Context, dest duckv1.Destination, parent any) (*apis.URL, error)
	// Allowed returns the namespaces that may name the object as a sink, and enqueues the
	// parent when the object changes.
	Allowed(ctx context.Context, ref *duckv1.KReference, parent any) ([]string, error)
}

// sinkError says why a destination cannot be used. It does not distinguish a missing object
// of another namespace from one that does not allow this one.
type sinkError struct {
	message string
	// cause is an error that may pass; nil if only a change helps.
	cause error
}

func (e *sinkError) Error() string { return e.message }

// checkSink returns an error if a function may not name the object of a destination: it is
// of another kind than a sink may be, or in another namespace that does not allow it. An
// informer of the kind is only started for kinds on the list.
func (r *Reconciler) checkSink(ctx context.Context, f *v1alpha1.LambdaFunction, field string, d *duckv1.Destination) error {
	if d == nil || d.Ref == nil {
		return nil
	}
	ref := d.Ref
	if !v1alpha1.IsSink(ref) {
		return &sinkError{message: fmt.Sprintf("%s.ref.kind: %s, got %s (%s)", field, v1alpha1.ExpectedSinkKinds, ref.Kind, ref.APIVersion)}
	}
	if ref.Namespace == "" || ref.Namespace == f.Namespace {
		return nil
	}
	allowed, err := r.resolver.Allowed(ctx, ref, f)
	if err == nil && v1alpha1.AllowsNamespace(allowed, f.Namespace) {
		return nil
	}
	e := &sinkError{message: fmt.Sprintf("%s.ref: %s %q of namespace %q does not exist, or does not allow namespace %q, which its owner has to list in the annotation %s of the object (a LambdaAgent also in eventing.allowedSourceNamespaces)",
		field, ref.Kind, ref.Name, ref.Namespace, f.Namespace, lambda.AllowedSourceNamespacesAnnotationKey)}
	if err != nil && !apierrs.IsNotFound(err) {
		e.cause = e // tried again with the same words
	}
	return e
}

// reconcileSink finds out where replies go, before a revision is made that sends
// them there. The condition is the eventing phase's.
func (r *Reconciler) reconcileSink(ctx context.Context, p *pass) pkgreconciler.Event {
	e := p.Spec.ActiveEventing()
	if e == nil || e.Sink == nil {
		return nil
	}
	if p.sinkErr = r.checkSink(ctx, p.LambdaFunction, "eventing.sink", e.Sink); p.sinkErr != nil {
		return nil //nolint:nilerr // the eventing phase reports it
	}
	sink := *e.Sink.DeepCopy()
	if sink.Ref != nil && sink.Ref.Namespace == "" {
		sink.Ref.Namespace = p.Namespace
	}
	p.sink, p.sinkErr = r.resolver.URIFromDestinationV1(ctx, sink, p.LambdaFunction)
	return nil
}

// sinkTrouble returns the message of an error of a sink, and the error if it may pass
// without a change.
func sinkTrouble(field string, err error) (message string, again error) {
	var refused *sinkError
	switch {
	case errors.As(err, &refused):
		return refused.message, refused.cause
	case apierrs.IsNotFound(err), apierrs.IsBadRequest(err): // missing, or without an address: its changes enqueue
		return field + ": " + err.Error(), nil
	}
	return field + ": " + err.Error(), err
}

// addressables resolves destinations as Knative does, and finds out what their owners
// allow.
type addressables struct {
	resolver  *pkgresolver.URIResolver
	informers pkgapisduck.InformerFactory
	tracker   tracker.Interface
	agents    lambdalisters.LambdaAgentLister
}

var _ destinationResolver = (*addressables)(nil)

func newAddressables(ctx context.Context, t tracker.Interface, agents lambdalisters.LambdaAgentLister) *addressables {
	return &addressables{
		resolver: pkgresolver.NewURIResolverFromTracker(ctx, t), tracker: t, agents: agents,
		informers: &pkgapisduck.CachedInformerFactory{Delegate: &pkgapisduck.EnqueueInformerFactory{
			Delegate: addressable.Get(ctx), EventHandler: controller.HandleAll(t.OnChanged),
		}},
	}
}

// URIFromDestinationV1 implements destinationResolver.
func (a *addressables) URIFromDestinationV1(ctx context.Context, dest duckv1.Destination, parent any) (*apis.URL, error) {
	return a.resolver.URIFromDestinationV1(ctx, dest, parent)
}

// Allowed implements destinationResolver.
func (a *addressables) Allowed(ctx context.Context, ref *duckv1.KReference, parent any) (allowed []string, err error) {
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
