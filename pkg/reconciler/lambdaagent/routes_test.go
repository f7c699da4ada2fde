package lambdaagent

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func TestReconcileRoutes(t *testing.T) {
	declared := eventful(intends("order.created"))
	plain := agent(declared)
	shop := peer("shop", subscribes("io.shop.order.created"))
	const routeType = "io.shop.order.created"
	trigger := working(routeOf(plain, routeType, shop, false))
	byIntent := routed(v1alpha1.RouteIntent, routeType, "shop", "")
	waitsFor := func(what string) option {
		return func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingReadyBut(v1alpha1.ReasonWaitingForTarget, "The route of "+what+" waits for that agent and its broker.")
		}
	}
	both := eventful(intends("order.created"), forwards(routeType, "shop", true))
	relayed := working(routeOf(agent(both), routeType, shop, true))
	relaying := eventful(forwards("z", "shop", true))
	back := peer("shop", forwards("z", name, true))
	noLetters := eventful(intends("order.created"), func(e *v1alpha1.AgentEventing) {
		off := false
		e.DLQ = &v1alpha1.DeadLetterSpec{Enabled: &off}
	})
	forwarding := eventful(forwards("z", "shop", false))
	unheard := working(routeOf(plain, routeType, shop, false), unresolved)
	named := peer("elsewhere", func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = []v1alpha1.AgentSubscription{{EventType: routeType, Source: plain.EventSource()}}
	})
	named.Namespace = "data"
	bareMaker := makerOf(agent(noLetters))
	bareMaker.Dead = nil
	bare := working(bareMaker.Route(routeType, keyOf(shop), false))

	ltesting.Table{{
		Name: "an intent that somebody receives", Key: theKey,
		Objects:     world(t, with(t, declared, flowing), shop),
		WantCreates: ltesting.Objects(routeOf(plain, routeType, shop, false)),
		WantStatusUpdates: status(with(t, declared, flowing, routed(v1alpha1.RouteIntent, routeType, "shop", v1alpha1.ReasonTriggerNotReady),
			waits(v1alpha1.ReasonTriggerNotReady, `Trigger "`+trigger.Name+`" is not reconciled yet.`))),
		WantEvents: recorded("Created", "Trigger", trigger.Name),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, declared, flowing, byIntent), shop, trigger),
	}, {
		Name: "consent withdrawn", Key: theKey,
		Objects:           world(t, with(t, declared, flowing, byIntent), peer("shop"), trigger),
		WantDeletes:       []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name)},
		WantStatusUpdates: status(with(t, declared, flowing)),
		WantEvents:        recorded("Deleted", "Trigger", trigger.Name),
	}, {
		Name: "the agent's broker is not there yet, which holds nobody else up", Key: theKey,
		Objects: world(t, with(t, declared, flowing), shop, unheard),
		WantStatusUpdates: status(with(t, declared, flowing, routed(v1alpha1.RouteIntent, routeType, "shop", v1alpha1.ReasonTargetNotReady),
			waitsFor(routeType+" to agent team/shop"))),
	}, {
		Name: "an agent that asks for its events, in a namespace that is not allowed", Key: theKey,
		Objects: world(t, with(t, declared, flowing), named),
		WantStatusUpdates: status(with(t, declared, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.Routes = []v1alpha1.RouteStatus{{Kind: v1alpha1.RouteIntent, EventType: routeType, Agent: "elsewhere", Namespace: "data", Reason: v1alpha1.ReasonTargetNotAllowed}}
		})),
	}, {
		Name: "a forward waits", Key: theKey,
		Objects:           world(t, with(t, forwarding, flowing)),
		WantStatusUpdates: status(with(t, forwarding, flowing, routed(v1alpha1.RouteForward, "z", "shop", v1alpha1.ReasonTargetNotFound), waitsFor("z to agent team/shop"))),
	}, {
		Name: "an intent and a forward share a Trigger", Key: theKey,
		Objects: world(t, with(t, both, flowing, byIntent, routed(v1alpha1.RouteForward, routeType, "shop", "")), shop, relayed),
	}, {
		Name: "a route becomes a relay: its Trigger is edited in place", Key: theKey,
		Objects:     world(t, with(t, both, flowing, byIntent, routed(v1alpha1.RouteForward, routeType, "shop", "")), shop, trigger),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: relayed}},
		WantEvents:  recorded("Updated", "Trigger", trigger.Name),
	}, {
		Name: "relays that would pass events round", Key: theKey,
		Objects: world(t, with(t, relaying, flowing), back),
		WantStatusUpdates: status(with(t, relaying, flowing, routed(v1alpha1.RouteForward, "z", "shop", v1alpha1.ReasonRelayCircle), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingFailed(v1alpha1.ReasonRelayCircle, "Events of type z would go round for ever: team/bruno → team/shop → team/bruno. Take relay away from one of these.")
		})),
	}, {
		Name: "no dead letters", Key: theKey,
		Objects: world(t, with(t, noLetters, flowing, byIntent), shop, bare),
	}}.Test(t, newReconciler)
}

// TestSubscriptions: prefixes and filters are the Trigger's, an agent does not get its own
// events, and no event twice.
func TestSubscriptions(t *testing.T) {
	subscribing := func(all ...v1alpha1.AgentSubscription) option {
		return eventful(intends("said"), func(e *v1alpha1.AgentEventing) { e.Subscriptions = all })
	}
	type filters = []eventingv1.SubscriptionsAPIFilter
	exact := func(eventType string) eventingv1.SubscriptionsAPIFilter {
		return eventingv1.SubscriptionsAPIFilter{Exact: map[string]string{"type": eventType}}
	}
	prefix := func(attribute, value string) eventingv1.SubscriptionsAPIFilter {
		return eventingv1.SubscriptionsAPIFilter{Prefix: map[string]string{attribute: value}}
	}
	notOwn := sharedresources.NotFrom("/team/bruno")
	cesql := eventingv1.SubscriptionsAPIFilter{CESQL: "TRUE"}
	for _, tt := range []struct {
		name string
		all  []v1alpha1.AgentSubscription
		want []filters
	}{
		{"a type", []v1alpha1.AgentSubscription{{EventType: "io.asked"}}, []filters{{exact("io.asked")}}},
		{"a type of its own", []v1alpha1.AgentSubscription{{EventType: "io.said"}}, []filters{{exact("io.said"), notOwn}}},
		{"its own events only", []v1alpha1.AgentSubscription{{EventType: "io.said", Source: "/team/bruno"}}, nil},
		{"a type of its own, of another", []v1alpha1.AgentSubscription{{EventType: "io.said", Source: "/team/shop"}}, []filters{{{Exact: map[string]string{"type": "io.said", "source": "/team/shop"}}}}},
		{"a prefix of types", []v1alpha1.AgentSubscription{{EventType: "io.example.k8s.*"}}, []filters{{prefix("type", "io.example.k8s."), notOwn}}},
		{"a prefix of sources", []v1alpha1.AgentSubscription{{EventType: "rpg.speak", Source: "/agent/character/*"}}, []filters{{exact("rpg.speak"), prefix("source", "/agent/character/")}}},
		{"a filter", []v1alpha1.AgentSubscription{{EventType: "io.asked", Filters: []v1alpha1.EventFilter{{SubscriptionsAPIFilter: cesql}}}}, []filters{{exact("io.asked"), cesql}}},
		{"a prefix that another has", []v1alpha1.AgentSubscription{{EventType: "io.example.k8s.*"}, {EventType: "io.example.*"}, {EventType: "io.example.k8s.pod"}}, []filters{{prefix("type", "io.example."), notOwn}}},
		{"a source that another has", []v1alpha1.AgentSubscription{{EventType: "rpg.speak", Source: "/agent/character/*"}, {EventType: "rpg.speak"}}, []filters{{exact("rpg.speak")}}},
		{"what filters select is not compared", []v1alpha1.AgentSubscription{{EventType: "io.asked", Filters: []v1alpha1.EventFilter{{SubscriptionsAPIFilter: cesql}}}, {EventType: "io.asked", Source: "/s"}},
			[]filters{{exact("io.asked"), cesql}, {{Exact: map[string]string{"type": "io.asked", "source": "/s"}}}}},
	} {
		a := agent(subscribing(tt.all...))
		e := &eventing{LambdaAgent: a, maker: *makerOf(a)}
		var got []filters
		seen := map[string]bool{}
		for i := range a.Spec.Eventing.Subscriptions {
			made, _ := e.subscriptionTrigger(&a.Spec.Eventing.Subscriptions[i])
			if made != nil && !seen[made.Name] {
				seen[made.Name] = true
				got = append(got, made.Spec.Filters)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want, +got): %s", tt.name, diff)
		}
	}
}

// TestEditedSubscription: a Trigger keeps its queue when what it selects changes.
func TestEditedSubscription(t *testing.T) {
	before, declared := agent(eventful(subscribes("x.y"))), eventful(subscribes("x.z"))
	old := working(subscriptionOf(before, "x.y"))
	edited := working(subscriptionOf(agent(declared), "x.z"))
	edited.Name = old.Name
	own := eventful(intends("said"), func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = []v1alpha1.AgentSubscription{{EventType: "io.said", Source: "/team/bruno"}, {EventType: "io.said", Source: "/team/shop"}}
	})
	fromShop := working(makerOf(agent(own)).Subscription(map[string]string{"type": "io.said", "source": "/team/shop"}, nil))
	ltesting.Table{{
		Name: "edited in place", Key: theKey,
		Objects:     world(t, with(t, declared, flowing, routed(v1alpha1.RouteSubscription, "x.z", "", "")), old),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: edited}},
		WantEvents:  recorded("Updated", "Trigger", old.Name),
	}, {
		Name: "steady then", Key: theKey,
		Objects: world(t, with(t, declared, flowing, routed(v1alpha1.RouteSubscription, "x.z", "", "")), edited),
	}, {
		Name: "a subscription to its own events only is not made", Key: theKey,
		Objects: world(t, with(t, own, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.Routes = []v1alpha1.RouteStatus{
				{Kind: v1alpha1.RouteSubscription, EventType: "io.said", Reason: v1alpha1.ReasonOwnEvents},
				{Kind: v1alpha1.RouteSubscription, EventType: "io.said", Ready: true},
			}
			a.Status.MarkRoutingReadyBut(v1alpha1.ReasonOwnEvents, `eventing.subscriptions[0] to io.said delivers no events: the agent emits them itself (intent "said") and would get its own. Set its source.`)
		}), fromShop),
	}}.Test(t, newReconciler)
}

// TestReconcileReceiverTriggers: what leads to the receiver and back comes and goes with
// the spec, and is no route.
func TestReconcileReceiverTriggers(t *testing.T) {
	asking := func(a *v1alpha1.LambdaAgent) {
		eventful()(a)
		a.Spec.OperationMode = v1alpha1.ModeSupervised
		a.Spec.Approval = &v1alpha1.ApprovalSpec{Custom: &v1alpha1.CustomApproval{Endpoint: "https://approvals.test"}}
	}
	wanted := func() []*eventingv1.Trigger { return makerOf(agent(asking)).ReceiverTriggers(nil, testKeys()) }
	requests, outcomes := wanted()[0], wanted()[1]
	first, second := working(wanted()[0]), working(wanted()[1])
	names := []string{first.Name, second.Name}
	slices.Sort(names) // the order in which they go

	ltesting.Table{{
		Name: "they come", Key: theKey,
		Objects:           world(t, with(t, asking, flowing)),
		WantCreates:       ltesting.Objects(requests, outcomes),
		WantStatusUpdates: status(with(t, asking, flowing, waits(v1alpha1.ReasonTriggerNotReady, `Trigger "`+requests.Name+`" is not reconciled yet.`))),
		WantEvents:        recorded("Created", "Trigger", requests.Name, "Trigger", outcomes.Name),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, asking, flowing), first, second),
	}, {
		Name: "they go", Key: theKey,
		Objects:     world(t, with(t, eventful(), flowing), first, second),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(names[0]), goneTrigger(names[1])},
		WantEvents:  recorded("Deleted", "Trigger", names[0], "Trigger", names[1]),
	}}.Test(t, newReconciler)
}

// TestRoutesToOtherNamespaces: a forward into another namespace is made only if the other
// agent allows it, and the status is the same whether it does not or does not exist.
func TestRoutesToOtherNamespaces(t *testing.T) {
	sends := func(a *v1alpha1.LambdaAgent) {
		eventful(forwards("z", "shop", false), func(e *v1alpha1.AgentEventing) {
			e.EventSource, e.Forwards[0].TargetNamespace = "/bank", "other"
		})(a)
		a.Spec.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableTriggerCreation: true, DisableFunctionCreation: true, AllowedTargetNamespaces: []string{"*"}}
		a.Status.Permissions = &v1alpha1.PermissionsStatus{}
		a.Status.MarkPermissionsVerified()
	}
	there := func(change func(*v1alpha1.AgentEventing)) *v1alpha1.LambdaAgent {
		a := peer("shop", change)
		a.Namespace = "other"
		return a
	}
	sender := agent(sends)
	children := ltesting.Objects(resources.MakeRole(sender, nil), resources.MakeServiceAccount(sender), resources.MakeRoleBinding(sender))
	notAllowed := func(a *v1alpha1.LambdaAgent) {
		a.Status.Routes = []v1alpha1.RouteStatus{{Kind: v1alpha1.RouteForward, EventType: "z", Agent: "shop", Namespace: "other", Reason: v1alpha1.ReasonSourceNotAllowed}}
		a.Status.MarkRoutingReadyBut(v1alpha1.ReasonSourceNotAllowed, `The route of z to agent other/shop is not made: the agent does not exist, has no broker, or does not list namespace "team" in its eventing.allowedSourceNamespaces, which its owner has to set.`)
	}
	allowing := there(func(e *v1alpha1.AgentEventing) { e.AllowedSourceNamespaces = []string{"team"} })
	route := working(routeOf(sender, "z", allowing, false))
	refused := func(name string, other ...*v1alpha1.LambdaAgent) ltesting.Table {
		objects := world(t, with(t, sends, flowing), children...)
		for _, o := range other {
			objects = append(objects, o)
		}
		return ltesting.Table{{Name: name, Key: theKey, Objects: objects, WantStatusUpdates: status(with(t, sends, flowing, notAllowed))}}
	}
	refused("the agent is missing").Test(t, newReconciler)
	refused("the agent does not allow it", there(func(*v1alpha1.AgentEventing) {})).Test(t, newReconciler)
	refused("it subscribes to the source that the sender claims", there(func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = []v1alpha1.AgentSubscription{{EventType: "z", Source: "/bank"}}
	})).Test(t, newReconciler)
	ltesting.Table{{
		Name: "it allows the sender's namespace", Key: theKey,
		Objects: append(world(t, with(t, sends, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.Routes = []v1alpha1.RouteStatus{{Kind: v1alpha1.RouteForward, EventType: "z", Agent: "shop", Namespace: "other", Ready: true}}
		}), children...), allowing, route),
	}}.Test(t, newReconciler)
}

// TestBounded: of too many routes those that do not work are told, in the order in
// which all are.
func TestBounded(t *testing.T) {
	var routes []v1alpha1.RouteStatus
	for i := range 2 * maxRoutes {
		routes = append(routes, v1alpha1.RouteStatus{Kind: v1alpha1.RouteIntent, EventType: "t", Agent: strings.Repeat("a", i+1), Ready: i != 2*maxRoutes-1})
	}
	got := bounded(routes)
	if len(got) != maxRoutes || got[maxRoutes-1].Ready || !got[0].Ready || len(got[0].Agent) != 1 {
		t.Errorf("%d routes, the first of %+v, the last %+v", len(got), got[0], got[len(got)-1])
	}
}
