package sinks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/client/injection/ducks/duck/v1/addressable"
	"knative.dev/pkg/controller"
	fakedynamicclient "knative.dev/pkg/injection/clients/dynamicclient/fake"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdalisters "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
)

const namespace = "team"

func function() *v1alpha1.LambdaFunction {
	return &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "greeter"}}
}

func destination(apiVersion, kind, namespace, name string) *duckv1.Destination {
	return &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}}
}

func notAllowed(field, name string) string {
	return fmt.Sprintf("%s.ref: Service %q of namespace \"other\" does not exist, or does not allow namespace %q", field, name, namespace)
}

// addresses say what the Services open and closed of any namespace allow. Other kinds
// cannot be listed.
type addresses struct{}

func (addresses) URIFromDestinationV1(context.Context, duckv1.Destination, any) (*apis.URL, error) {
	return nil, errors.New("nothing is resolved")
}

func (addresses) Allowed(_ context.Context, ref *duckv1.KReference, _ any) ([]string, error) {
	switch {
	case ref.Kind != "Service":
		return nil, fmt.Errorf("%s cannot be listed", ref.Kind)
	case ref.Name == "closed":
		return []string{"data"}, nil
	case ref.Name == "open":
		return []string{"data", namespace}, nil
	}
	return nil, apierrs.NewNotFound(corev1.Resource("services"), ref.Name)
}

// TestCheck: only kinds on the list are looked up, and only consent lets another
// namespace's object pass. An error of the API is tried again, in the same words.
func TestCheck(t *testing.T) {
	f := function()
	for _, tt := range []struct {
		name  string
		d     *duckv1.Destination
		want  string
		again bool
	}{
		{"a URL", &duckv1.Destination{}, "", false},
		{"its own namespace", destination("v1", "Service", "", "x"), "", false},
		{"its own namespace, named", destination("v1", "Service", namespace, "x"), "", false},
		{"one that allows it", destination("v1", "Service", "other", "open"), "", false},
		{"one that allows another", destination("v1", "Service", "other", "closed"), notAllowed("sink", "closed"), false},
		{"one that is missing", destination("v1", "Service", "other", "missing"), notAllowed("sink", "missing"), false},
		{"a kind that cannot be listed now", destination("eventing.knative.dev/v1", "Broker", "other", "b"), strings.Replace(notAllowed("sink", "b"), "Service", "Broker", 1), true},
		{"a Secret", destination("v1", "Secret", "", "x"), "sink.ref.kind: expected Service", false},
		{"a Job of another namespace", destination("batch/v1", "Job", "other", "x"), "got Job (batch/v1)", false},
	} {
		err := Check(t.Context(), addresses{}, f, "sink", tt.d)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			continue
		}
		var refused *Error
		if errors.As(err, &refused) && (refused.cause != nil) != tt.again {
			t.Errorf("%s: tried again: %v, want %v", tt.name, refused.cause, tt.again)
		}
	}
}

// TestAllowed: owners allow namespaces in an annotation of the object, and for an agent in
// its spec as well.
func TestAllowed(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	meta := func(name, annotation string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "other", Name: name, Annotations: map[string]string{lambda.AllowedSourceNamespacesAnnotationKey: annotation}}
	}
	agent := &v1alpha1.LambdaAgent{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "LambdaAgent"}, ObjectMeta: meta("bruno", "data"),
		Spec: v1alpha1.LambdaAgentSpec{Eventing: &v1alpha1.AgentEventing{AllowedSourceNamespaces: []string{"team"}}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx, client := fakedynamicclient.With(ctx, scheme, agent,
		&corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta("open", "data, team")},
		&corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "closed"}})
	ctx = addressable.WithDuck(controller.WithResyncPeriod(ctx, controller.DefaultResyncPeriod))
	agents := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := agents.Add(agent); err != nil {
		t.Fatal(err)
	}
	a := New(ctx, &rtesting.FakeTracker{}, lambdalisters.NewLambdaAgentLister(agents))
	f := function()
	for name, want := range map[string][]string{"open": {"data", "team"}, "closed": nil} {
		if got, err := a.Allowed(ctx, destination("v1", "Service", "other", name).Ref, f); err != nil || !slices.Equal(got, want) {
			t.Errorf("Service %s allows %v, %v; want %v", name, got, err, want)
		}
	}
	if got, err := a.Allowed(ctx, destination("lambda.knative.io/v1alpha1", "LambdaAgent", "other", "bruno").Ref, f); err != nil || !slices.Equal(got, []string{"data", "team"}) {
		t.Errorf("the agent allows %v, %v; want data and team", got, err)
	}
	if _, err := a.Allowed(ctx, destination("v1", "Service", "other", "missing").Ref, f); !apierrs.IsNotFound(err) {
		t.Errorf("a missing Service: %v, want not found", err)
	}
	before := len(client.Actions())
	for _, kind := range []string{"Secret", "ConfigMap", "Pod"} {
		if err := Check(ctx, a, f, "sink", destination("v1", kind, "other", "x")); err == nil {
			t.Errorf("a %s is allowed", kind)
		}
	}
	if more := client.Actions()[before:]; len(more) > 0 {
		t.Errorf("%v was requested for kinds that are no sink", more)
	}
}
