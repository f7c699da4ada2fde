package lambdafunction

import (
	"testing"

	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// outcomesTo are destinations of outcomes.
func outcomesTo(onSuccess, onFailure *duckv1.Destination) option {
	return func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.OnSuccess, f.Spec.Eventing.OnFailure = onSuccess, onFailure
	}
}

// ready Trigger of the event plane.
func ready(t *eventingv1.Trigger) *eventingv1.Trigger {
	t = t.DeepCopy()
	t.Generation, t.Status.Status = 1, *readyStatus.DeepCopy()
	return t
}

func outcomeTriggers(f *v1alpha1.LambdaFunction) (all []*eventingv1.Trigger) {
	for _, o := range resources.Outcomes(f) {
		all = append(all, resources.MakeOutcomeTrigger(f, o, deadLetters(f), testConfig().Eventing))
	}
	return all
}

// TestReconcileOutcomes: destinations of outcomes are Triggers of the function's Broker.
func TestReconcileOutcomes(t *testing.T) {
	url := &duckv1.Destination{URI: apis.HTTP("done.test")}
	both := outcomesTo(url, destination("v1", "Service", namespace, "alarm"))
	f := upAnd(enabled, both)
	triggers := outcomeTriggers(f)
	success, failure := triggers[0], triggers[1]
	closed := outcomesTo(url, destination("v1", "Service", "other", "closed"))
	ltesting.Table{{
		Name: "makes them", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(enabled, both, flowing("default")), upService(enabled), broker("default"), triggerOf(f)),
		WantCreates: ltesting.Objects(success, failure),
		WantStatusUpdates: status(upAnd(enabled, both, flowing("default"),
			pends(v1alpha1.ReasonTriggerNotReady, `Trigger "greeter-on-success" of broker "default" is not reconciled yet.`))),
		WantEvents: created("Trigger", "greeter-on-success", "Trigger", "greeter-on-failure"),
	}, {
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, both, flowing("default")), upService(enabled), broker("default"), triggerOf(f), ready(success), ready(failure)),
	}, {
		Name: "removes one", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(enabled, outcomesTo(url, nil), flowing("default")), upService(enabled), broker("default"), triggerOf(f), ready(success), ready(failure)),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger("greeter-on-failure")},
		WantEvents:  deleted("Trigger", "greeter-on-failure"),
	}, {
		Name: "keeps one whose destination withdraws its consent", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, closed, flowing("default")), upService(enabled), broker("default"), triggerOf(f), ready(success), ready(failure)),
		WantStatusUpdates: status(upAnd(enabled, closed, flowing("default"),
			stuck(v1alpha1.ReasonSinkNotResolved, notAllowed("eventing.onFailure", "closed")))),
	}, {
		Name: "needs a Broker that reports outcomes", Key: theKey, Ctx: onRabbitMQ(),
		Objects: ltesting.Objects(upAnd(enabled, outcomesTo(url, nil), flowing("default")), upService(), broker("default", rabbitMQBroker), ready(newTriggers(f, "RabbitMQBroker")[0])),
		WantStatusUpdates: status(upAnd(enabled, outcomesTo(url, nil), flowing("default"), stuck(v1alpha1.ReasonCallsNotSupported,
			`eventing.onSuccess: broker "default" is not of class LambdaBroker, and reports no outcomes of calls: name another broker in eventing.broker, or remove the field.`), uncallable)),
	}}.Test(t, newReconciler)
}

// TestReconcileCalls: a function with triggers gets its calls by a Trigger of their own,
// which keeps its queue when the first trigger is added.
func TestReconcileCalls(t *testing.T) {
	before, both := upAnd(enabled), func(f *v1alpha1.LambdaFunction) {
		enabled(f)
		triggered("order.created")(f)
	}
	f := upAnd(both)
	made := newTriggers(f, lambda.BrokerClass)
	calls, orders := made[0], made[1]
	statuses := func(f *v1alpha1.LambdaFunction) {
		flowing("default")(f)
		f.Status.Brokers = append(f.Status.Brokers, v1alpha1.BrokerStatus{Name: "shop", URL: apis.HTTP("broker.test"), Ready: true})
	}
	old := triggerOf(before)
	if calls.Name != old.Name || calls.Annotations[lambda.OutcomeSourceAnnotationKey] == "" || orders.Annotations[lambda.OutcomeSourceAnnotationKey] != "" {
		t.Errorf("Trigger %s replaces %s, with %v beside %v", calls.Name, old.Name, calls.Annotations, orders.Annotations)
	}
	ltesting.Table{{
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(both, statuses), upService(enabled), broker("default"), broker("shop"), ready(calls), ready(orders)),
	}, {
		Name: "the first trigger is added", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(both, statuses), upService(enabled), broker("default"), broker("shop"), old),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: ready(calls)}},
		WantCreates: ltesting.Objects(orders),
		WantStatusUpdates: status(upAnd(both, statuses, pends(v1alpha1.ReasonTriggerNotReady,
			`Trigger "`+orders.Name+`" of broker "shop" is not reconciled yet.`))),
		WantEvents: append([]string{ltesting.Normal("Updated", `Updated Trigger "`+calls.Name+`"`)}, created("Trigger", orders.Name)...),
	}}.Test(t, newReconciler)
}
