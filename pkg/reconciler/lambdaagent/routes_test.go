package lambdaagent

import (
	"slices"
	"strings"
	"testing"
	"time"

	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func TestReconcileRoutes(t *testing.T) {
	declared := eventful(intends("order.created"))
	plain := agent(declared)
	shop := peer("shop", subscribes("io.shop.order.created"))
	trigger, binding := working(plain, routeOf(plain, "io.shop.order.created", shop, false))
	const routeType = "io.shop.order.created"
	byIntent := routed(v1alpha1.RouteIntent, routeType, "shop", "")
	waitsFor := func(what string) option {
		return func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingReadyBut(v1alpha1.ReasonWaitingForTarget, "The route of "+what+" waits for that agent and its broker.")
		}
	}
	leaving, leavingBinding := working(plain, routeOf(plain, routeType, shop, false), retired(shop, 0))
	left, leftBinding := working(plain, routeOf(plain, routeType, shop, false), retired(shop, time.Hour))
	retirement := resources.MakeRetirement(plain, trigger, "", keyOf(shop), testConfig().Eventing)
	led, ledBinding := working(plain, routeOf(plain, routeType, shop, false), ledAway(plain, shop, 0))
	ledAnHour, ledAnHourBinding := working(plain, routeOf(plain, routeType, shop, false), ledAway(plain, shop, time.Hour))
	without := func(more ...option) *v1alpha1.LambdaAgent {
		return with(t, declared, append([]option{flowing, routed(v1alpha1.RouteIntent, routeType, "shop", v1alpha1.ReasonTargetGone), waitsFor(routeType + " to agent team/shop")}, more...)...)
	}
	forwarding := eventful(forwards("z", "shop", false))
	forwarder := agent(forwarding)
	forwarded, forwardedBinding := working(forwarder, routeOf(forwarder, "z", shop, false))
	both := eventful(intends("order.created"), forwards(routeType, "shop", true))
	relayed, relayedBinding := working(agent(both), routeOf(agent(both), routeType, shop, true))
	stale, staleBinding := working(plain, routeOf(plain, routeType, shop, false))
	settled, settledBinding := working(agent(both), routeOf(agent(both), routeType, shop, true), readySince(time.Minute))
	relaying := eventful(forwards("z", "shop", true))
	back := peer("shop", forwards("z", name, true))
	queue, policy := lettersOf(plain)
	noLetters := eventful(intends("order.created"), func(e *v1alpha1.AgentEventing) {
		off := false
		e.DLQ = &v1alpha1.DeadLetterSpec{Enabled: &off}
	})
	unheard, unheardBinding := working(plain, routeOf(plain, routeType, shop, false), unresolved)
	leavingStill, leavingStillBinding := working(plain, routeOf(plain, routeType, shop, false), retired(shop, time.Minute))
	named := peer("elsewhere", func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = []v1alpha1.AgentSubscription{{EventType: routeType, Source: plain.EventSource()}}
	})
	named.Namespace = "data"
	talking := eventful(intends("said"), subscribes("io.said"), func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = append(e.Subscriptions, v1alpha1.AgentSubscription{EventType: "io.said", Source: "/team/shop"})
	})
	talker := agent(talking)
	shopSaid := map[string]string{"type": "io.said", "source": "/team/shop"}
	fromShop := resources.MakeSubscription(talker, shopSaid, resources.DeadLetterSink(talker, testKeys(), testConfig().Eventing), testConfig().Eventing)
	subscribers(talker, testKeys()).Sign(fromShop)
	listens, listensBinding := working(talker, fromShop)
	bare, _ := working(plain, resources.MakeRoute(agent(noLetters), routeType, keyOf(shop), false, nil, testConfig().Eventing))

	ltesting.Table{{
		Name: "an intent that somebody receives", Key: theKey,
		Objects:     world(t, with(t, declared, flowing), shop),
		WantCreates: ltesting.Objects(routeOf(plain, routeType, shop, false)),
		WantStatusUpdates: status(with(t, declared, flowing, routed(v1alpha1.RouteIntent, routeType, "shop", v1alpha1.ReasonTriggerNotReady),
			waits(v1alpha1.ReasonTriggerNotReady, `Trigger "`+trigger.Name+`" is not reconciled yet.`))),
		WantEvents: events("Created", "Trigger", trigger.Name),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, declared, flowing, byIntent), shop, trigger, binding),
	}, {
		Name: "consent withdrawn", Key: theKey,
		Objects:           world(t, with(t, declared, flowing, byIntent), peer("shop"), trigger, binding),
		WantDeletes:       []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name), goneBinding(binding.Name)},
		WantStatusUpdates: status(with(t, declared, flowing)),
		WantEvents:        events("Deleted", "Trigger", trigger.Name, "Binding", binding.Name),
	}, {
		Name: "the agent goes: RabbitMQ makes dead letters of what waits, and the Trigger leads where it led", Key: theKey,
		Objects:           world(t, with(t, declared, flowing, byIntent), trigger, binding),
		WantCreates:       ltesting.Objects(retirement),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: leaving}},
		WantStatusUpdates: status(without()),
		WantEvents:        append(events("Created", "Policy", retirement.Name), events("Updated", "Trigger", trigger.Name)...),
	}, {
		Name: "the agent goes, on a RabbitMQ that has no dead letter queues: the Trigger leads to the receiver", Key: theKey,
		Objects:           elsewhere(world(t, with(t, declared, flowing, byIntent), trigger)),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: led}},
		WantStatusUpdates: status(without()),
		WantEvents:        events("Updated", "Trigger", trigger.Name),
	}, {
		Name: "what waits is being led away", Key: theKey,
		Objects: world(t, without(), led, ledBinding),
	}, {
		Name: "what waited has been led away", Key: theKey,
		Objects:           world(t, without(), ledAnHour, ledAnHourBinding),
		WantDeletes:       []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name), goneBinding(binding.Name)},
		WantStatusUpdates: status(with(t, declared, flowing)),
		WantEvents:        events("Deleted", "Trigger", trigger.Name, "Binding", binding.Name),
	}, {
		Name: "the agent has gone", Key: theKey,
		Objects:           world(t, without(), left, leftBinding, retirementOf(plain, left, shop, time.Hour)),
		WantDeletes:       []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name), gonePolicy(retirement.Name), goneBinding(binding.Name)},
		WantStatusUpdates: status(with(t, declared, flowing)),
		WantEvents:        events("Deleted", "Trigger", trigger.Name, "Policy", retirement.Name, "Binding", binding.Name),
	}, {
		Name: "RabbitMQ has made dead letters for a minute only", Key: theKey,
		Objects: world(t, without(), left, leftBinding, retirementOf(plain, left, shop, time.Minute)),
	}, {
		Name: "RabbitMQ has not begun to make dead letters: nothing is thrown away", Key: theKey,
		Objects: world(t, without(), left, leftBinding, pending(retirementOf(plain, left, shop, 0))),
	}, {
		Name: "RabbitMQ refuses to make dead letters", Key: theKey,
		Objects: world(t, without(), left, leftBinding, refused(retirementOf(plain, left, shop, 0))),
		WantStatusUpdates: status(without(func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingFailed(v1alpha1.ReasonDeadLetterQueueNotReady, `Policy "`+retirement.Name+`" is not ready: FailedCreateOrUpdate: no`)
		})),
	}, {
		Name: "the agent comes back", Key: theKey,
		Objects:           world(t, without(), shop, leaving, leavingBinding, retirementOf(plain, leaving, shop, 0)),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: trigger}},
		WantDeletes:       []clientgotesting.DeleteActionImpl{gonePolicy(retirement.Name)},
		WantStatusUpdates: status(with(t, declared, flowing, byIntent)),
		WantEvents:        append(events("Updated", "Trigger", trigger.Name), events("Deleted", "Policy", retirement.Name)...),
	}, {
		Name: "the agent comes back, of which the events were led away", Key: theKey,
		Objects:           world(t, without(), shop, led, ledBinding),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: trigger}},
		WantStatusUpdates: status(with(t, declared, flowing, byIntent)),
		WantEvents:        events("Updated", "Trigger", trigger.Name),
	}, {
		Name: "the agent comes back and does not receive: what waited still becomes dead letters", Key: theKey,
		Objects: world(t, with(t, declared, flowing), peer("shop"), leavingStill, leavingStillBinding, retirementOf(plain, leavingStill, shop, time.Minute)),
	}, {
		Name: "the agent's broker is not there yet, which holds nobody else up", Key: theKey,
		Objects: world(t, with(t, declared, flowing), shop, unheard, unheardBinding),
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
		Name: "a forward whose agent goes", Key: theKey,
		Objects:     world(t, with(t, forwarding, flowing, routed(v1alpha1.RouteForward, "z", "shop", "")), forwarded, forwardedBinding),
		WantCreates: ltesting.Objects(resources.MakeRetirement(forwarder, forwarded, "", keyOf(shop), testConfig().Eventing)),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: func() *eventingv1.Trigger {
			t := forwarded.DeepCopy()
			retired(shop, 0)(t)
			return t
		}()}},
		WantStatusUpdates: status(with(t, forwarding, flowing, routed(v1alpha1.RouteForward, "z", "shop", v1alpha1.ReasonTargetGone), waitsFor("z to agent team/shop"))),
		WantEvents:        append(events("Created", "Policy", resources.MakeRetirement(forwarder, forwarded, "", keyOf(shop), testConfig().Eventing).Name), events("Updated", "Trigger", forwarded.Name)...),
	}, {
		Name: "an intent and a forward share a Trigger", Key: theKey,
		Objects: world(t, with(t, both, flowing, byIntent, routed(v1alpha1.RouteForward, routeType, "shop", "")), shop, relayed, relayedBinding),
	}, {
		Name: "a route becomes a relay: the one of before stays until the new one has settled", Key: theKey,
		Objects: world(t, with(t, both, flowing, byIntent, routed(v1alpha1.RouteForward, routeType, "shop", "")), shop, stale, staleBinding, relayed, relayedBinding),
	}, {
		Name: "the new one has settled", Key: theKey,
		Objects:     world(t, with(t, both, flowing, byIntent, routed(v1alpha1.RouteForward, routeType, "shop", "")), shop, stale, staleBinding, settled, settledBinding),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(stale.Name), goneBinding(staleBinding.Name)},
		WantEvents:  events("Deleted", "Trigger", stale.Name, "Binding", staleBinding.Name),
	}, {
		Name: "relays that would pass events round", Key: theKey,
		Objects: world(t, with(t, relaying, flowing), back),
		WantStatusUpdates: status(with(t, relaying, flowing, routed(v1alpha1.RouteForward, "z", "shop", v1alpha1.ReasonRelayCircle), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingFailed(v1alpha1.ReasonRelayCircle, "Events of type z would go round for ever: team/bruno → team/shop → team/bruno. Take relay away from one of these.")
		})),
	}, {
		Name: "a subscription to its own events is not made, and the one to another's is as narrow as it says", Key: theKey,
		Objects: world(t, with(t, talking, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.Routes = []v1alpha1.RouteStatus{
				{Kind: v1alpha1.RouteSubscription, EventType: "io.said", Reason: v1alpha1.ReasonOwnEvents},
				{Kind: v1alpha1.RouteSubscription, EventType: "io.said", Ready: true},
			}
			a.Status.MarkRoutingReadyBut(v1alpha1.ReasonOwnEvents, `eventing.subscriptions[0] to io.said delivers no events: the agent emits them itself (intent "said") and would get its own. Set its source.`)
		}), listens, listensBinding),
	}, {
		Name: "no dead letters", Key: theKey,
		Objects:     append(world(t, with(t, noLetters, flowing, byIntent))[:5], shop, bare, queue, policy),
		WantDeletes: []clientgotesting.DeleteActionImpl{gone("rabbitmq.com", "v1beta1", "policies", policy.Name), gone("rabbitmq.com", "v1beta1", "queues", queue.Name)},
		WantEvents:  events("Deleted", "Policy", policy.Name, "Queue", queue.Name),
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
	supervised := agent(asking)
	wanted := func() []*eventingv1.Trigger {
		return resources.MakeReceiverTriggers(supervised, nil, resources.DeadLetterSink(supervised, testKeys(), testConfig().Eventing), testKeys(), testConfig().Eventing)
	}
	requests, outcomes := wanted()[0], wanted()[1]
	first, firstBinding := working(supervised, wanted()[0])
	second, secondBinding := working(supervised, wanted()[1])
	names := []string{first.Name, second.Name}
	slices.Sort(names) // the order in which they go

	ltesting.Table{{
		Name: "they come", Key: theKey,
		Objects:           world(t, with(t, asking, flowing)),
		WantCreates:       ltesting.Objects(requests, outcomes),
		WantStatusUpdates: status(with(t, asking, flowing, waits(v1alpha1.ReasonTriggerNotReady, `Trigger "`+requests.Name+`" is not reconciled yet.`))),
		WantEvents:        events("Created", "Trigger", requests.Name, "Trigger", outcomes.Name),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, asking, flowing), first, firstBinding, second, secondBinding),
	}, {
		Name: "they go", Key: theKey,
		Objects: world(t, with(t, eventful(), flowing), first, firstBinding, second, secondBinding),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(names[0]), goneTrigger(names[1]),
			goneBinding(names[0] + "-dead-letters"), goneBinding(names[1] + "-dead-letters")},
		WantEvents: events("Deleted", "Trigger", names[0], "Trigger", names[1], "Binding", names[0]+"-dead-letters", "Binding", names[1]+"-dead-letters"),
	}}.Test(t, newReconciler)
}

// TestUnsupportedSubscriptions: a prefix, which the broker cannot filter by, delivers
// nothing rather than too much, and the status says so.
func TestUnsupportedSubscriptions(t *testing.T) {
	speaks := func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = append(e.Subscriptions, v1alpha1.AgentSubscription{EventType: "rpg.speak", Source: "/agent/character/*"})
	}
	prefixes, both := eventful(subscribes("io.example.k8s.*"), speaks), eventful(subscribes("rpg.speak"), speaks)
	plain := agent(both)
	trigger, binding := working(plain, subscriptionOf(plain, "rpg.speak"))
	unsupported := func(a *v1alpha1.LambdaAgent) {
		a.Status.Routes = []v1alpha1.RouteStatus{
			{Kind: v1alpha1.RouteSubscription, EventType: "io.example.k8s.*", Reason: v1alpha1.ReasonFilterNotSupported},
			{Kind: v1alpha1.RouteSubscription, EventType: "rpg.speak", Reason: v1alpha1.ReasonFilterNotSupported},
		}
		a.Status.MarkRoutingReadyBut(v1alpha1.ReasonFilterNotSupported, "eventing.subscriptions[0] (eventType io.example.k8s.*) delivers no events: brokers of class RabbitMQBroker filter by exact attributes only. Name exact types and sources. The same holds for 1 more.")
	}
	ltesting.Table{{
		Name: "prefixes of a type and of a source", Key: theKey,
		Objects:           world(t, with(t, prefixes, flowing)),
		WantStatusUpdates: status(with(t, prefixes, flowing, unsupported)),
	}, {
		Name: "a prefix of which an exact subscription delivers all", Key: theKey,
		Objects: world(t, with(t, both, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.Routes = []v1alpha1.RouteStatus{{Kind: v1alpha1.RouteSubscription, EventType: "rpg.speak", Ready: true}}
		}), trigger, binding),
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
	route, binding := working(sender, routeOf(sender, "z", allowing, false))
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
		}), children...), allowing, route, binding),
	}}.Test(t, newReconciler)
}

// TestRetirement: a Trigger stays for as long as all that its dispatcher has in hand may
// take to become dead letters, so many at a time.
func TestRetirement(t *testing.T) {
	many := int32(100)
	const once = (6*30 + 2 + 4 + 8 + 16 + 32) * time.Second
	for _, tt := range []struct {
		name     string
		spec     *v1alpha1.DeadLetterSpec
		parallel int32
		want     time.Duration
	}{
		{"ten at a time", nil, 10, 30*time.Second + 10*once},
		{"of ten rounds the last is short", nil, 11, 30*time.Second + 10*once},
		{"all at a time", nil, 100, 30*time.Second + once},
		{"more than there are", nil, 1000, 30*time.Second + once},
		{"linear", &v1alpha1.DeadLetterSpec{BackoffPolicy: "linear"}, 50, 30*time.Second + 2*(6*30+1+2+3+4+5)*time.Second},
		{"no end in sight", &v1alpha1.DeadLetterSpec{RetryMaxAttempts: &many}, 10, maxRetirement},
	} {
		a := agent(eventful(func(e *v1alpha1.AgentEventing) {
			e.DLQ, e.RabbitMQ = tt.spec, &v1alpha1.RabbitMQSpec{Parallelism: &tt.parallel}
		}))
		e := &eventing{LambdaAgent: a, Pass: passOf(a)}
		if got := e.retirement(); got != tt.want {
			t.Errorf("%s: retirement() = %v, want %v", tt.name, got, tt.want)
		}
	}
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
