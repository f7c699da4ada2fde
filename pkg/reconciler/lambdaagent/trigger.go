package lambdaagent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

// maxRoutes that the status tells of. Those that do not work are told first.
const maxRoutes = 256

// maxRetirement bounds how long a Trigger stays whose agent has gone.
const maxRetirement = 24 * time.Hour

// subscribe makes a Trigger for each set of attributes that the agent subscribes to,
// unless another one delivers these events already: they would arrive twice.
func (e *eventing) subscribe(ctx context.Context) (current []*eventingv1.Trigger, err error) {
	made := map[string]bool{}
	for i := range e.Spec.Eventing.Subscriptions {
		s := &e.Spec.Eventing.Subscriptions[i]
		if own, _ := s.Split(); e.ownIntent(own) != "" {
			e.tell(v1alpha1.RouteStatus{Kind: v1alpha1.RouteSubscription, EventType: s.EventType, Reason: v1alpha1.ReasonOwnEvents})
			continue
		}
		exact, rest := s.Split()
		if len(rest) > 0 && !e.covered(exact) {
			// A Trigger on the exact part would deliver more than is asked for.
			e.unsupported = append(e.unsupported, i)
			e.tell(v1alpha1.RouteStatus{Kind: v1alpha1.RouteSubscription, EventType: s.EventType, Reason: v1alpha1.ReasonFilterNotSupported})
			continue
		}
		desired := resources.MakeSubscription(e.LambdaAgent, e.attributes(exact), e.letters, e.Config)
		subscribers(e.LambdaAgent, e.keys).Sign(desired)
		if made[desired.Name] {
			continue
		}
		made[desired.Name] = true
		t, why, err := e.ensure(ctx, desired)
		if err != nil {
			return nil, err
		}
		e.tell(v1alpha1.RouteStatus{Kind: v1alpha1.RouteSubscription, EventType: s.EventType, Ready: why == "", Reason: why})
		if t != nil {
			current = append(current, t)
		}
	}
	return current, nil
}

// covered reports whether an exact subscription of the agent delivers all events that
// have the attributes.
func (e *eventing) covered(exact map[string]string) bool {
	for i := range e.Spec.Eventing.Subscriptions {
		if other, rest := e.Spec.Eventing.Subscriptions[i].Split(); len(rest) == 0 && includes(exact, other) {
			return true
		}
	}
	return false
}

// covering returns the attributes of the agent's exact subscription that delivers the
// most events of those that have the attributes.
func (e *eventing) covering(exact map[string]string) map[string]string {
	for i := range e.Spec.Eventing.Subscriptions {
		if other, rest := e.Spec.Eventing.Subscriptions[i].Split(); len(rest) == 0 && len(other) < len(exact) && includes(exact, other) {
			exact = other
		}
	}
	return exact
}

// includes reports whether the attributes have all of the others.
func includes(attributes, others map[string]string) bool {
	for name, value := range others {
		if attributes[name] != value {
			return false
		}
	}
	return true
}

// route makes a Trigger for each route that is to be: one where an intent and a forward
// ask for the same.
func (e *eventing) route(ctx context.Context) (current []*eventingv1.Trigger, err error) {
	type end struct {
		eventType string
		target    types.NamespacedName
	}
	routes := e.index.Routes(types.NamespacedName{Namespace: e.Namespace, Name: e.Name})
	relayed, waits := map[end]bool{}, map[end]string{}
	for _, r := range routes {
		if r.Reason == "" && r.Relay {
			relayed[end{r.Type, r.Target}] = true
		}
	}
	for _, r := range routes {
		to := end{r.Type, r.Target}
		if _, done := waits[to]; !done && r.Reason == "" {
			t, why, err := e.ensure(ctx, resources.MakeRoute(e.LambdaAgent, r.Type, r.Target, relayed[to], e.letters, e.Config))
			if err != nil {
				return nil, err
			}
			if waits[to] = why; t != nil {
				current = append(current, t)
			}
		}
		e.tellRoute(r, cmp.Or(r.Reason, waits[to]))
	}
	return current, nil
}

// tellRoute tells of a route, and why it does not work.
func (e *eventing) tellRoute(r routing.Route, reason string) {
	e.tell(v1alpha1.RouteStatus{Kind: r.Kind, EventType: r.Type, Agent: r.Target.Name, Namespace: r.Target.Namespace, Ready: reason == "", Reason: reason})
	if r.Kind == v1alpha1.RouteIntent && r.Reason == v1alpha1.ReasonTargetNotAllowed {
		return // another's wish is no trouble of this agent's
	}
	switch r.Reason {
	case v1alpha1.ReasonRelayCircle:
		circle := make([]string, 0, len(r.Circle)+1)
		for _, k := range append(r.Circle, r.Circle[0]) {
			circle = append(circle, k.String())
		}
		e.Tell(&shared.Trouble{Reason: r.Reason, Failed: true, Message: fmt.Sprintf("Events of type %s would go round for ever: %s. Take relay away from one of these.", r.Type, strings.Join(circle, " → "))})
	case v1alpha1.ReasonSameEventSource:
		e.Tell(&shared.Trouble{Reason: r.Reason, Failed: true, Message: fmt.Sprintf("Agent %s emits with the same eventSource as this one, so that neither could tell its own events: give each its own.", r.Target)})
	case v1alpha1.ReasonTargetNotAllowed:
		e.Tell(&shared.Trouble{Reason: r.Reason, Failed: true, Message: fmt.Sprintf("permissions.allowedTargetNamespaces does not list namespace %q, to which %s is forwarded.", r.Target.Namespace, r.Type)})
	}
}

func (e *eventing) tell(s v1alpha1.RouteStatus) { e.routes = append(e.routes, s) }

// ensure makes a Trigger and binds its dead letters, and says why it does not work yet.
// There is none where the API server refuses it.
func (e *eventing) ensure(ctx context.Context, desired *eventingv1.Trigger) (t *eventingv1.Trigger, why string, err error) {
	t, err = e.TriggerSet().Ensure(ctx, e.LambdaAgent, desired, resources.MutateTrigger)
	if err != nil {
		return nil, v1alpha1.ReasonTriggerNotReady, e.Refused(err, v1alpha1.ReasonTriggerNotOwned, v1alpha1.ReasonTriggerRejected)
	}
	switch {
	case waitsForTarget(t): // which is no trouble of this agent's
		why = v1alpha1.ReasonTargetNotReady
	case e.Unready(v1alpha1.ReasonTriggerNotReady, fmt.Sprintf("Trigger %q", t.Name), t.Generation, &t.Status.Status):
		why = v1alpha1.ReasonTriggerNotReady
	}
	return t, why, e.bind(ctx, t)
}

// waitsForTarget tells whether a route's Trigger has all but an agent's broker at its
// other end that works.
func waitsForTarget(t *eventingv1.Trigger) bool {
	_, route := resources.TargetOf(t)
	return route && t.Status.ObservedGeneration == t.Generation && t.Status.GetCondition(eventingv1.TriggerConditionSubscriberResolved).IsFalse()
}

func (e *eventing) bind(ctx context.Context, t *eventingv1.Trigger) error {
	return e.Bind(ctx, e.made, t, func(late bool) *topologyv1beta1.Binding {
		return resources.MakeDeadLetterBinding(e.LambdaAgent, t, late, e.Config)
	})
}

// removeTriggers removes the agent's Triggers that are not current. What is in a
// Trigger's queue goes with it, so that one that others replace stays until they have
// been ready for a while, and one whose agent has gone until what it has has become
// dead letters.
func (e *eventing) removeTriggers(ctx context.Context, current []*eventingv1.Trigger) error {
	all, err := e.Triggers()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, t := range current {
		keep[t.Name] = true
	}
	slices.SortFunc(all, func(a, b *eventingv1.Trigger) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range all {
		if keep[t.Name] || !metav1.IsControlledBy(t, e.LambdaAgent) {
			continue
		}
		stays, left, err := e.stays(ctx, t, current)
		if err != nil {
			return err
		}
		if !stays {
			if err := e.TriggerSet().Delete(ctx, e.LambdaAgent, t.Name); err != nil {
				return err
			}
			continue
		}
		if err := e.bind(ctx, t); err != nil {
			return err
		}
		e.KeepObjectsOf(t)
		if left > 0 && (e.again == 0 || left < e.again) {
			e.again = left
		}
	}
	return e.Prune(ctx)
}

// stays tells whether a Trigger that is not current stays, and when to look again; 0
// is when something changes.
func (e *eventing) stays(ctx context.Context, t *eventingv1.Trigger, current []*eventingv1.Trigger) (bool, time.Duration, error) {
	if target, ok := resources.TargetOf(t); ok {
		_, retired := t.Annotations[lambda.RetiredAnnotationKey]
		gone := !e.index.Has(target)
		if gone || retired {
			left, err := e.retire(ctx, t, target)
			if left > 0 && gone {
				e.tellGone(t, target)
			}
			return left > 0, left, err
		}
	}
	left := time.Duration(0)
	for _, c := range current {
		if !sameSubscriber(c, t) {
			continue
		}
		since, ready := e.ReadyFor(c)
		if !ready {
			return true, 0, nil // its next change enqueues
		}
		left = max(left, e.Config.TriggerOverlap-since)
	}
	return left > 0, left, nil
}

func sameSubscriber(a, b *eventingv1.Trigger) bool {
	x, y := a.Spec.Subscriber, b.Spec.Subscriber
	return x.Ref != nil && y.Ref != nil && x.Ref.Kind == y.Ref.Kind && x.Ref.Namespace == y.Ref.Namespace && x.Ref.Name == y.Ref.Name &&
		x.URI.String() == y.URI.String()
}

// retire tells how long a Trigger to an agent that has gone has left, from when that
// was first seen and what waits began to become dead letters.
func (e *eventing) retire(ctx context.Context, t *eventingv1.Trigger, target types.NamespacedName) (time.Duration, error) {
	whole, letters := e.retirement(), e.letters
	since, err := time.Parse(time.RFC3339, t.Annotations[lambda.RetiredAnnotationKey])
	retired := err == nil
	if !retired || resources.LeadsToBroker(t) {
		emptied, able, err := e.Retire(ctx, e.made, t, resources.MakeRetirement(e.LambdaAgent, t, e.made.UID, target, e.Config))
		switch {
		case err != nil:
			return whole, err
		case able && retired && emptied.IsZero():
			return whole, nil // the policy's next change enqueues
		case able:
			letters = nil
		}
		if emptied.After(since) {
			since = emptied
		}
	}
	if retired {
		return whole - e.Clock.Since(since), nil
	}
	_, err = e.TriggerSet().Ensure(ctx, e.LambdaAgent, t, func(existing, _ *eventingv1.Trigger) {
		resources.RetireRoute(existing, target, letters, e.Clock.Now())
	})
	return whole, err
}

// prefetched is how many events RabbitMQ's dispatcher takes from a queue at once.
const prefetched = 100

// retirement is how long it may take until all that the dispatcher has in hand are dead
// letters: it gives them up as many at a time as it delivers.
func (e *eventing) retirement() time.Duration {
	delivery := sharedresources.Delivery(resources.DeadLetters(e.LambdaAgent), e.Config.Delivery.Timeout, nil, e.Config)
	parallel := sharedresources.Parallelism(e.Spec.Eventing.RabbitMQ, e.Config)
	rounds := (prefetched + parallel - 1) / parallel
	return min(e.Config.TriggerOverlap+time.Duration(rounds)*sharedresources.RetryWindow(delivery), maxRetirement)
}

// tellGone tells of a route whose agent has gone, in the place of the forward that
// waits for it, if there is one.
func (e *eventing) tellGone(t *eventingv1.Trigger, target types.NamespacedName) {
	eventType := t.Spec.Filter.Attributes["type"]
	gone := v1alpha1.RouteStatus{Kind: v1alpha1.RouteForward, EventType: eventType, Agent: target.Name, Namespace: target.Namespace, Reason: v1alpha1.ReasonTargetGone}
	for i, r := range e.routes {
		if r.EventType == eventType && r.Agent == target.Name && r.Namespace == target.Namespace {
			e.routes[i].Reason = v1alpha1.ReasonTargetGone
			return
		}
	}
	for _, intent := range e.Spec.Eventing.Intents {
		if v1alpha1.MatchesIntent(intent, eventType) {
			gone.Kind = v1alpha1.RouteIntent
		}
	}
	e.tell(gone)
}

// bounded is the order in which routes are told, and no more of them than a status
// should have.
func bounded(routes []v1alpha1.RouteStatus) []v1alpha1.RouteStatus {
	if len(routes) > maxRoutes {
		slices.SortStableFunc(routes, func(a, b v1alpha1.RouteStatus) int { return cmp.Compare(order(a.Ready), order(b.Ready)) })
		routes = routes[:maxRoutes]
	}
	slices.SortFunc(routes, func(a, b v1alpha1.RouteStatus) int {
		return cmp.Or(-strings.Compare(a.Kind, b.Kind), strings.Compare(a.EventType, b.EventType), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Agent, b.Agent))
	})
	return routes
}

func order(ready bool) int {
	if ready {
		return 1
	}
	return 0
}
