package lambdafunction

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/client/injection/ducks/duck/v1/addressable"
	"knative.dev/pkg/controller"
	fakedynamicclient "knative.dev/pkg/injection/clients/dynamicclient/fake"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdalisters "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func destination(apiVersion, kind, namespace, name string) *duckv1.Destination {
	return &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}}
}

// notAllowed is all that is said of a Service of another namespace.
func notAllowed(field, name string) string {
	return field + `.ref: Service "` + name + `" of namespace "other" does not exist, or does not allow namespace "team", which its owner has to list in the annotation lambda.knative.io/allowed-source-namespaces of the object (a LambdaAgent also in eventing.allowedSourceNamespaces)`
}

// TestSinksOfOtherNamespaces: the condition does not tell a missing object of another
// namespace from one that does not allow this one, for replies and dead letters alike.
func TestSinksOfOtherNamespaces(t *testing.T) {
	f := upAnd(enabled)
	replies := func(d *duckv1.Destination) option {
		return func(f *v1alpha1.LambdaFunction) { f.Spec.Eventing.Sink = d }
	}
	noAddress := func(f *v1alpha1.LambdaFunction) {
		f.Status.MarkServiceWaiting(v1alpha1.ReasonSinkNotResolved, "The sink of the replies has no address yet. Revision greeter-00001 serves on.")
	}
	for name, d := range map[string]*duckv1.Destination{"missing": destination("v1", "Service", "other", "missing"), "closed": destination("v1", "Service", "other", "closed")} {
		ltesting.Table{{
			Name: "replies to an object that is " + name, Key: theKey, Ctx: in(absent),
			Objects: ltesting.Objects(upAnd(enabled, replies(d), flowing("default")), upService(enabled), broker("default"), triggerOf(f)),
			WantStatusUpdates: status(upAnd(enabled, replies(d), flowing("default"), noAddress,
				stuck(v1alpha1.ReasonSinkNotResolved, notAllowed("eventing.sink", name)))),
		}}.Test(t, newReconciler)
	}
	secret := replies(destination("v1", "Secret", "other", "password"))
	ltesting.Table{{
		Name: "replies to a kind that admission refuses", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, secret, flowing("default")), upService(enabled), broker("default"), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, secret, flowing("default"), noAddress,
			stuck(v1alpha1.ReasonSinkNotResolved, "eventing.sink.ref.kind: "+v1alpha1.ExpectedSinkKinds+", got Secret (v1)"))),
	}}.Test(t, newReconciler)

	letters := func(d *duckv1.Destination) option {
		return func(f *v1alpha1.LambdaFunction) {
			triggered("order.created")(f)
			f.Spec.Triggers[0].Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: d}
		}
	}
	for name, d := range map[string]*duckv1.Destination{"missing": destination("v1", "Service", "other", "missing"), "closed": destination("v1", "Service", "other", "closed")} {
		ltesting.Table{{
			Name: "dead letters to an object that is " + name + ", of a Trigger that exists", Key: theKey, Ctx: in(absent),
			Objects: ltesting.Objects(upAnd(letters(d), flowing("shop")), upService(letters(d)), broker("shop"), triggerOf(upAnd(triggered("order.created")))),
			WantStatusUpdates: status(upAnd(letters(d), flowing("shop"),
				stuck(v1alpha1.ReasonSinkNotResolved, notAllowed("triggers[0].delivery.deadLetterSink", name)))),
		}}.Test(t, newReconciler)
	}
}

// TestCheckSink: only kinds on the list are looked up, and only consent lets another
// namespace's object pass. An error of the API is tried again, in the same words.
func TestCheckSink(t *testing.T) {
	r := &Reconciler{resolver: addresses{}}
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
		err := r.checkSink(t.Context(), f, "sink", tt.d)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			continue
		}
		var refused *sinkError
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
	a := newAddressables(ctx, &rtesting.FakeTracker{}, lambdalisters.NewLambdaAgentLister(agents))
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
	r := &Reconciler{resolver: a}
	before := len(client.Actions())
	for _, kind := range []string{"Secret", "ConfigMap", "Pod"} {
		if err := r.checkSink(ctx, f, "sink", destination("v1", kind, "other", "x")); err == nil {
			t.Errorf("a %s is allowed", kind)
		}
	}
	if more := client.Actions()[before:]; len(more) > 0 {
		t.Errorf("%v was requested for kinds that are no sink", more)
	}
}
