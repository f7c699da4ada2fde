package trigger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func wants(change ...func(*eventingv1.Trigger)) []clientgotesting.UpdateActionImpl {
	return []clientgotesting.UpdateActionImpl{{Object: trigger(change...)}}
}

func finalizers(names ...string) []clientgotesting.PatchActionImpl {
	if names == nil {
		names = []string{}
	}
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": names, "resourceVersion": ""}})
	return []clientgotesting.PatchActionImpl{{ActionImpl: clientgotesting.ActionImpl{Namespace: "team"}, Name: "orders", PatchType: types.MergePatchType, Patch: patch}}
}

var (
	added   = ltesting.Normal("FinalizerUpdate", `Updated "orders" finalizers`)
	pending = func(t *eventingv1.Trigger) { markReplicasPending(t) }
)

func dependsOn(name string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		t.Annotations = map[string]string{eventingv1.DependencyAnnotation: `{"kind":"PingSource","apiVersion":"sources.knative.dev/v1","name":"` + name + `"}`}
	}
}

func source(condition corev1.ConditionStatus, observed int64) func(*row) {
	return func(r *row) {
		s := &duckv1.Source{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
		s.Status.ObservedGeneration = observed
		s.Status.Conditions = duckv1.Conditions{{Type: apis.ConditionReady, Status: condition, Reason: "R", Message: "m"}}
		r.sources["ping"] = s
	}
}

// TestReconcile_Conditions is all but queues.
func TestReconcile_Conditions(t *testing.T) {
	t.Parallel()
	all := assigned()
	ready := trigger(status(all))
	sink := func(t *eventingv1.Trigger) {
		t.Spec.Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: &duckv1.Destination{URI: subscriberURL}}
	}
	brokerSink := func(b *eventingv1.Broker) {
		b.Spec.Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: &duckv1.Destination{URI: subscriberURL}}
	}
	resolved := func(b *eventingv1.Broker) { b.Status.DeadLetterSinkURI = subscriberURL }
	sunk := func(t *eventingv1.Trigger) {
		t.Status.DeadLetterSinkURI = subscriberURL
		t.Status.MarkDeadLetterSinkResolvedSucceeded()
	}
	noSubscriber := func(t *eventingv1.Trigger) {
		t.Spec.Subscriber = duckv1.Destination{Ref: &duckv1.KReference{Kind: "Service", Name: "x"}}
	}
	ltesting.Table{
		{Name: "bad key", Ctx: in(), Key: "too/many/parts"},
		{Name: "not found", Ctx: in(), Key: key},
		{Name: "ready", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), ready)},
		{Name: "Broker that is not ready", Ctx: in(declared(all)), Key: key,
			Objects:           ltesting.Objects(brokerObject(func(b *eventingv1.Broker) { b.Status.MarkDeadLetterSinkResolvedFailed("R", "m") }), ready),
			WantStatusUpdates: wants(status(all, func(t *eventingv1.Trigger) { t.Status.MarkBrokerFailed("R", "m") }))},
		{Name: "Broker in another namespace", Ctx: in(), Key: key,
			Objects: ltesting.Objects(brokerObject(func(b *eventingv1.Broker) { b.Namespace = "other" }), trigger(func(t *eventingv1.Trigger) {
				t.Spec.BrokerRef = &duckv1.KReference{Name: "default", Namespace: "other"}
			})),
			WantStatusUpdates: wants(func(t *eventingv1.Trigger) {
				t.Spec.BrokerRef = &duckv1.KReference{Name: "default", Namespace: "other"}
				t.GetConditionSet().Manage(&t.Status).InitializeConditions()
				t.Status.ObservedGeneration = 1
				t.Status.MarkBrokerFailed(ReasonOtherNamespace, "Broker other/default is in another namespace, which its class does not support: name a Broker of namespace team.")
			})},
		{Name: "subscriber that does not exist", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(noSubscriber, status(all))),
			WantStatusUpdates: wants(noSubscriber, status(all, func(t *eventingv1.Trigger) {
				t.Status.SubscriberURI = nil
				t.Status.MarkSubscriberResolvedFailed(ReasonSubscriberNotResolved, "the object does not exist")
			}))},
		{Name: "own dead letter sink", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(sink, status(all))), WantStatusUpdates: wants(sink, status(all, sunk))},
		{Name: "the Broker's dead letter sink", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(brokerSink, resolved), ready), WantStatusUpdates: wants(status(all, sunk))},
		{Name: "the Broker's dead letter sink is not resolved", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(brokerSink), ready),
			WantStatusUpdates: wants(status(all, func(t *eventingv1.Trigger) {
				t.Status.MarkDeadLetterSinkResolvedFailed(ReasonSinkNotResolved, `The dead letter sink of Broker "default" is not resolved.`)
			}))},
		{Name: "dependency", Ctx: in(declared(all), source(corev1.ConditionTrue, 2)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(dependsOn("ping"), status(all)))},
		{Name: "dependency that is not ready", Ctx: in(declared(all), source(corev1.ConditionFalse, 2)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(dependsOn("ping"), status(all))),
			WantStatusUpdates: wants(dependsOn("ping"), status(all, func(t *eventingv1.Trigger) { t.Status.MarkDependencyFailed("R", "m") }))},
		{Name: "dependency that is not reconciled", Ctx: in(declared(all), source(corev1.ConditionTrue, 1)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(dependsOn("ping"), status(all))),
			WantStatusUpdates: wants(dependsOn("ping"), status(all, func(t *eventingv1.Trigger) {
				t.Status.MarkDependencyUnknown("GenerationNotEqual", "The dependency's generation 2 is not observed yet, only 1.")
			}))},
		{Name: "dependency that does not exist", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(dependsOn("ping"), status(all))),
			WantStatusUpdates: wants(dependsOn("ping"), status(all, func(t *eventingv1.Trigger) {
				t.Status.MarkDependencyFailed("DependencyDoesNotExist", `Dependency does not exist: sources "ping" not found`)
			}))},
		{Name: "identity", Ctx: in(declared(all), flags(feature.Flags{feature.OIDCAuthentication: feature.Enabled})), Key: key, Objects: ltesting.Objects(brokerObject(), ready),
			WithReactors: []clientgotesting.ReactionFunc{tokens(true)},
			WantCreates:  []runtime.Object{serviceAccount(), review()}, SkipNamespaceValidation: true,
			WantStatusUpdates: wants(status(all, identified, func(t *eventingv1.Trigger) { t.Status.MarkOIDCIdentityCreatedSucceeded() }))},
		{Name: "identity without the overlay", Ctx: in(declared(all), flags(feature.Flags{feature.OIDCAuthentication: feature.Enabled})), Key: key,
			Objects:      ltesting.Objects(brokerObject(), ready, serviceAccount()),
			WithReactors: []clientgotesting.ReactionFunc{tokens(false)}, WantCreates: []runtime.Object{review()}, SkipNamespaceValidation: true,
			WantStatusUpdates: wants(status(all, identified, func(t *eventingv1.Trigger) {
				t.Status.MarkOIDCIdentityCreatedFailed(ReasonNoTokens,
					"ServiceAccount knative-testing/knative-lambda-broker may not create tokens of ServiceAccounts: install the overlay of the feature authentication-oidc.")
			}))},
	}.Test(t, newReconciler)
}

func serviceAccount() *corev1.ServiceAccount {
	return auth.GetOIDCServiceAccountForResource(eventingv1.SchemeGroupVersion.WithKind("Trigger"), trigger().ObjectMeta)
}

func identified(t *eventingv1.Trigger) {
	account := serviceAccount().Name
	t.Status.Auth = &duckv1.AuthStatus{ServiceAccountName: &account}
}

func review() *authorizationv1.SubjectAccessReview {
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:knative-testing:knative-lambda-broker",
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "serviceaccounts", Subresource: "token"},
	}}
}

func tokens(allowed bool) clientgotesting.ReactionFunc {
	return func(a clientgotesting.Action) (bool, runtime.Object, error) {
		if !a.Matches("create", "subjectaccessreviews") {
			return false, nil, nil
		}
		r := review()
		r.Status.Allowed = allowed
		return true, r, nil
	}
}

func nested(depth int) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		f := eventingv1.SubscriptionsAPIFilter{CESQL: "TRUE"}
		for range depth - 1 {
			f = eventingv1.SubscriptionsAPIFilter{Not: f.DeepCopy()}
		}
		t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{f}
	}
}

// cesql that Knative's own validation accepts.
func cesql(t *eventingv1.Trigger) {
	t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "SUBSTRING('abc', -2147483648, 2147483647) = 'x' OR 1/0 = 1"}}
}

func delay(text string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) { t.Spec.Delivery = &eventingduckv1.DeliverySpec{Timeout: &text} }
}

// crowd of other Triggers with queues.
func crowd(n int) (all []runtime.Object) {
	for i := range n {
		t := trigger(func(t *eventingv1.Trigger) { t.Name = fmt.Sprintf("other-%d", i); t.UID = types.UID(t.Name) })
		a, err := assignment.Wanted("b1", t, "quorum")
		must(err)
		a.Record(t)
		all = append(all, t)
	}
	return all
}

// TestReconcile_Queues is one pass; TestWorld has more than one.
func TestReconcile_Queues(t *testing.T) {
	t.Parallel()
	all := assigned()
	unsubscribed := func(reason, message string) func(*eventingv1.Trigger) {
		return func(t *eventingv1.Trigger) { t.Status.MarkNotSubscribed(reason, "%s", message) }
	}
	unassigned := assignment.Assignment{}
	ready := trigger(status(all))
	const invalidCESQL = `spec.filters[0] is not valid: expected a CloudEvents SQL expression: strconv.ParseInt: parsing "2147483648": value out of range`
	const delayProblem = "the delivery spec is not valid: failed to parse Spec.Timeout: expected 'P' period mark at the start: soon"
	ltesting.Table{
		{Name: "new", Ctx: in(), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(fresh)),
			WantPatches: finalizers(lambda.TriggerFinalizer), WantEvents: []string{added}, WantStatusUpdates: wants(fresh, status(all))},
		{Name: "new, replicas lag", Ctx: in(stale), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(fresh)),
			WantPatches: finalizers(lambda.TriggerFinalizer), WantEvents: []string{added}, WantStatusUpdates: wants(fresh, status(all, pending))},
		{Name: "another filter is recorded first", Ctx: in(stale, declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(status(all), filtered)),
			WantStatusUpdates: wants(filtered, status(all.Towards(assigned(filtered)), pending))},
		{Name: "and bound when replicas serve it", Ctx: in(declared(all)), Key: key,
			Objects:           ltesting.Objects(brokerObject(), trigger(filtered, status(all.Towards(assigned(filtered)), pending))),
			WantStatusUpdates: wants(filtered, status(assigned(filtered)))},
		{Name: "another subscriber", Ctx: in(stale, declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(status(all), func(t *eventingv1.Trigger) { t.Generation = 2 })),
			WantStatusUpdates: wants(func(t *eventingv1.Trigger) { t.Generation = 2 }, status(all, pending))},
		{Name: "parallelism that is no number", Ctx: in(), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(parallel("x"))),
			WantStatusUpdates: wants(parallel("x"), status(unassigned,
				unsubscribed(ReasonInvalidParallelism, `annotation rabbitmq.eventing.knative.dev/parallelism: expected a number from 1 to 1000, got "x"`)))},
		{Name: "filters that are nested too deep", Ctx: in(), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(nested(200))),
			WantStatusUpdates: wants(nested(200), status(unassigned,
				unsubscribed(ReasonInvalidFilter, "expected filters that are nested at most 8 deep: spec.filters[0]"+strings.Repeat(".not", 8))))},
		{Name: "CESQL that does not compile", Ctx: in(), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(cesql)),
			WantStatusUpdates: wants(cesql, status(unassigned, unsubscribed(ReasonInvalidFilter, invalidCESQL)))},
		{Name: "CESQL that does not compile, of a Trigger with a queue", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(cesql, status(all))),
			WantStatusUpdates: wants(cesql, status(all, unsubscribed(ReasonInvalidFilter, invalidCESQL)))},
		{Name: "delivery that is no duration", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(delay("soon"), status(all))),
			WantStatusUpdates: wants(delay("soon"), status(all, unsubscribed(ReasonInvalidDelivery, delayProblem)))},
		{Name: "as many Triggers as a namespace may have", Ctx: in(), Key: key, Objects: append(ltesting.Objects(brokerObject(), trigger()), crowd(maxTriggers)...),
			WantStatusUpdates: wants(status(unassigned,
				unsubscribed(ReasonTooManyTriggers, "Namespace team has 500 Triggers with queues, and may have no more: delete some.")))},
		{Name: "one of as many Triggers as a namespace may have", Ctx: in(declared(all)), Key: key,
			Objects: append(ltesting.Objects(brokerObject(), ready), crowd(maxTriggers)...)},
		{Name: "one less", Ctx: in(), Key: key, Objects: append(ltesting.Objects(brokerObject(), trigger()), crowd(maxTriggers-1)...), WantStatusUpdates: wants(status(all))},
		{Name: "RabbitMQ is away", Ctx: in(away), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(status(all))),
			WantStatusUpdates: wants(status(all, unsubscribed(ReasonUnavailable, "connection refused")))},
		{Name: "RabbitMQ has not been tried", Ctx: in(func(r *row) { r.unchecked = true }), Key: key, Objects: ltesting.Objects(brokerObject(), trigger(status(all)))},
		{Name: "Broker deleted", Ctx: in(declared(all)), Key: key, Objects: ltesting.Objects(trigger(status(all))),
			WantStatusUpdates: wants(status(all, func(t *eventingv1.Trigger) {
				t.Status.MarkBrokerFailed("BrokerDoesNotExist", `Broker "default" does not exist`)
			}))},
		{Name: "Brokers are not known", Ctx: in(func(r *row) { r.unfilled = true }), Key: key, Objects: ltesting.Objects(trigger(status(all))), WantErr: true,
			WantEvents: []string{ltesting.Warning("InternalError", "the Brokers of the cluster are not known yet")}},
		{Name: "failed status update", Ctx: in(), Key: key, Objects: ltesting.Objects(brokerObject(), trigger()), WantErr: true,
			WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("update", "triggers")}, WantStatusUpdates: wants(status(all)),
			WantEvents: []string{ltesting.Warning("UpdateFailed", `Failed to update status for "orders": inducing failure for update triggers`)}},
	}.Test(t, newReconciler)
}
