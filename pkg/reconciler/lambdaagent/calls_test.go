package lambdaagent

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	clientgotesting "k8s.io/client-go/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// TestReconcileOutcomes: destinations of outcomes are Triggers of the agent's Broker. One
// that leads to another Broker is no route.
func TestReconcileOutcomes(t *testing.T) {
	outcomes := func(onSuccess, onFailure *duckv1.Destination) option {
		return eventful(func(e *v1alpha1.AgentEventing) { e.OnSuccess, e.OnFailure = onSuccess, onFailure })
	}
	url := &duckv1.Destination{URI: apis.HTTP("done.test")}
	toBroker := &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: namespace, Name: "default"}}
	closed := &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: "other", Name: "closed"}}
	both := outcomes(url, toBroker)
	maker := makerOf(agent(both))
	success, failure := working(maker.OutcomeTrigger(maker.Outcomes()[0])), working(maker.OutcomeTrigger(maker.Outcomes()[1]))
	ltesting.Table{{
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, both, flowing), success, failure),
	}, {
		Name: "removes one that leads to a Broker", Key: theKey,
		Objects:     world(t, with(t, outcomes(url, nil), flowing), success, failure),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger("bruno-on-failure")},
		WantEvents:  recorded("Deleted", "Trigger", "bruno-on-failure"),
	}, {
		Name: "keeps one whose destination withdraws its consent", Key: theKey,
		Objects: world(t, with(t, outcomes(url, closed), flowing), success, failure),
		WantStatusUpdates: status(with(t, outcomes(url, closed), flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingFailed(v1alpha1.ReasonSinkNotResolved, `eventing.onFailure.ref: Service "closed" of namespace "other" does not exist, or does not allow namespace "team", `+
				"which its owner has to list in the annotation lambda.knative.io/allowed-source-namespaces of the object (a LambdaAgent also in eventing.allowedSourceNamespaces)")
		})),
	}}.Test(t, newReconciler)
}

// addresses says that Services named open allow every namespace.
type addresses struct{}

func (addresses) URIFromDestinationV1(context.Context, duckv1.Destination, any) (*apis.URL, error) {
	return apis.HTTP("resolved.test"), nil
}

func (addresses) Allowed(_ context.Context, ref *duckv1.KReference, _ any) ([]string, error) {
	if ref.Name == "open" {
		return []string{"*"}, nil
	}
	return nil, apierrs.NewNotFound(corev1.Resource("services"), ref.Name)
}
