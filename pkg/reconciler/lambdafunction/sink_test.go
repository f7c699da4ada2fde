package lambdafunction

import (
	"testing"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
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
