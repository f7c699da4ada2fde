package routing

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// A route that is no relay passes only what its own agent emitted. So an event goes
// round for ever where it can come back to where it was over relays and over routes of
// the one agent that emitted it.

// step is a place where an event may be: at the broker of an agent, having passed a
// route that only events of a source pass. An empty source is any.
type step struct {
	at     types.NamespacedName
	source string
}

// circle returns the agents that an event could pass round if the relay were made,
// beginning with the relay's own; nil is none. Each relay of a circle finds it, so that
// none of them is made, whichever of them came last.
func (x *Index) circle(a *Agent, relay Forward) []types.NamespacedName {
	start := step{at: relay.Target}
	from := map[step]step{}
	for queue := []step{start}; len(queue) > 0; queue = queue[1:] {
		here := queue[0]
		if here.at == a.Key {
			return trace(from, start, here)
		}
		for _, next := range x.steps(here, relay.Type) {
			if _, seen := from[next]; !seen && next != start {
				from[next] = here
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// trace is the way to the end, with the end first: it is where the circle closes.
func trace(from map[step]step, start, end step) (circle []types.NamespacedName) {
	for here := end; here != start; here = from[here] {
		circle = append(circle, here.at)
	}
	circle = append(circle, start.at)
	slices.Reverse(circle)
	return append([]types.NamespacedName{end.at}, circle[:len(circle)-1]...)
}

// steps that an event of a type can take from where it is, in order.
func (x *Index) steps(here step, eventType string) (next []step) {
	a := x.agents[here.at]
	if a == nil {
		return nil
	}
	for _, f := range a.Forwards {
		target := x.agents[f.Target]
		if f.Type != eventType || target == nil || target == a || !x.consentToForward(a, target, f) {
			continue
		}
		if f.Relay {
			next = append(next, step{f.Target, here.source})
		} else if target.Source != a.Source && (here.source == "" || here.source == a.Source) {
			next = append(next, step{f.Target, a.Source})
		}
	}
	if a.emits(eventType) && (here.source == "" || here.source == a.Source) {
		for k := range x.bySuffix[eventType] {
			if target := x.agents[k]; x.consent(a, target, eventType) && target.Source != a.Source {
				next = append(next, step{k, a.Source})
			}
		}
	}
	slices.SortFunc(next, func(a, b step) int {
		return cmp.Or(compareKeys(a.at, b.at), strings.Compare(a.source, b.source))
	})
	return next
}
