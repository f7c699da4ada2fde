package lambdaagent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

// maxRoutes that the status tells of. Those that do not work are told first.
const maxRoutes = 256

// end of a route.
type end struct {
	eventType string
	target    types.NamespacedName
}

// routeTriggers are the Triggers of the routes that are to be: one where an intent and a
// forward ask for the same.
func (e *eventing) routeTriggers(routes []routing.Route) (all []*eventingv1.Trigger) {
	relayed := map[end]bool{}
	for _, r := range routes {
		if r.Reason == "" && r.Relay {
			relayed[end{r.Type, r.Target}] = true
		}
	}
	e.ends = map[end]*eventingv1.Trigger{}
	for _, r := range routes {
		to := end{r.Type, r.Target}
		if r.Reason == "" && e.ends[to] == nil {
			e.ends[to] = e.maker.Route(r.Type, r.Target, relayed[to])
			all = append(all, e.ends[to])
		}
	}
	return all
}

// route makes the Triggers to the receiver and of the routes, and records these.
func (e *eventing) route(ctx context.Context, routes []routing.Route, triggers []*eventingv1.Trigger, current map[string]bool) error {
	waits := map[*eventingv1.Trigger]string{}
	for _, desired := range triggers {
		made, why, err := e.ensure(ctx, desired)
		if err != nil {
			return err
		}
		waits[desired] = why
		if made {
			current[desired.Name] = true
		}
	}
	for _, r := range routes {
		e.tellRoute(r, cmp.Or(r.Reason, waits[e.ends[end{r.Type, r.Target}]]))
	}
	return nil
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

// ensure makes a Trigger, and says why it does not work yet. It is not made where the API
// server refuses it.
func (e *eventing) ensure(ctx context.Context, desired *eventingv1.Trigger) (made bool, why string, err error) {
	t, err := e.TriggerSet().Ensure(ctx, e.LambdaAgent, desired, sharedresources.MutateTrigger)
	if err != nil {
		return false, v1alpha1.ReasonTriggerNotReady, e.Refused(err, v1alpha1.ReasonTriggerNotOwned, v1alpha1.ReasonTriggerRejected)
	}
	e.drains.forget(t.UID)
	switch {
	case waitsForTarget(t): // which is no trouble of this agent's
		why = v1alpha1.ReasonTargetNotReady
	case e.Unready(v1alpha1.ReasonTriggerNotReady, fmt.Sprintf("Trigger %q", t.Name), t.Generation, &t.Status.Status):
		why = v1alpha1.ReasonTriggerNotReady
	}
	return true, why, nil
}

// waitsForTarget reports whether a route's Trigger has all but an agent's broker at its
// other end that works.
func waitsForTarget(t *eventingv1.Trigger) bool {
	_, route := resources.TargetOf(t)
	return route && t.Status.ObservedGeneration == t.Generation && t.Status.GetCondition(eventingv1.TriggerConditionSubscriberResolved).IsFalse()
}

// removeTriggers deletes the agent's Triggers that are not current. What is in a Trigger's
// queue goes with it, so that one whose agent was deleted stays until all of that are dead
// letters.
func (e *eventing) removeTriggers(ctx context.Context, existing []*eventingv1.Trigger, current map[string]bool) error {
	for _, t := range existing {
		if current[t.Name] {
			continue
		}
		drains, err := e.drain(ctx, t)
		if err != nil {
			return err
		}
		if drains {
			continue
		}
		e.drains.forget(t.UID)
		if err := e.TriggerSet().Delete(ctx, e.LambdaAgent, t.Name); err != nil {
			return err
		}
	}
	return nil
}

// tellGone tells of a route whose agent has gone, in the place of the forward that
// waits for it, if there is one.
func (e *eventing) tellGone(t *eventingv1.Trigger, target types.NamespacedName) {
	eventType := resources.TypeOf(t)
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
