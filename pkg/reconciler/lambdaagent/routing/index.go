package routing

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

type keys map[types.NamespacedName]bool

// table has the agents of each key.
type table[K comparable] map[K]keys

func (t table[K]) add(k K, agent types.NamespacedName) {
	if t[k] == nil {
		t[k] = keys{}
	}
	t[k][agent] = true
}

func (t table[K]) remove(k K, agent types.NamespacedName) {
	delete(t[k], agent)
	if len(t[k]) == 0 {
		delete(t, k)
	}
}

// Index of all agents that have a broker.
type Index struct {
	mu     sync.RWMutex
	agents map[types.NamespacedName]*Agent
	// bySuffix has who subscribes to a type with that dotted suffix, byIntent who
	// has that intent, byTarget who forwards to that agent, byRelay who relays that
	// type.
	bySuffix, byIntent, byRelay table[string]
	byTarget                    table[types.NamespacedName]
}

// NewIndex returns an empty one.
func NewIndex() *Index {
	return &Index{agents: map[types.NamespacedName]*Agent{}, bySuffix: table[string]{}, byIntent: table[string]{}, byRelay: table[string]{}, byTarget: table[types.NamespacedName]{}}
}

// Set records what an agent declares now, nil where it is not there or has no broker,
// and returns the other agents whose routes may be others than before, in order.
func (x *Index) Set(key types.NamespacedName, now *Agent) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.agents[key]
	if before.equal(now) {
		return nil
	}
	affected := keys{}
	x.affected(before, now, affected)
	x.replace(key, before, now)
	x.affected(now, before, affected)
	delete(affected, key)
	all := make([]types.NamespacedName, 0, len(affected))
	for k := range affected {
		all = append(all, k)
	}
	slices.SortFunc(all, compareKeys)
	return all
}

func (x *Index) replace(key types.NamespacedName, before, now *Agent) {
	if before != nil {
		before.each(x, table[string].remove, table[types.NamespacedName].remove)
		delete(x.agents, key)
	}
	if now != nil {
		now.each(x, table[string].add, table[types.NamespacedName].add)
		x.agents[key] = now
	}
}

func (a *Agent) each(x *Index, text func(table[string], string, types.NamespacedName), agent func(table[types.NamespacedName], types.NamespacedName, types.NamespacedName)) {
	for _, s := range a.Subscriptions {
		for _, suffix := range suffixes(s.Type) {
			text(x.bySuffix, suffix, a.Key)
		}
	}
	for _, intent := range a.Intents {
		text(x.byIntent, intent, a.Key)
	}
	for _, f := range a.Forwards {
		agent(x.byTarget, f.Target, a.Key)
		if f.Relay {
			text(x.byRelay, f.Type, a.Key)
		}
	}
}

// affected adds whose routes to a are others when it becomes, or has been, other. Each
// of the two may be nil.
func (x *Index) affected(a, other *Agent, to keys) {
	if a == nil {
		return
	}
	whole := other == nil || other.Source != a.Source || !slices.Equal(other.Accepted, a.Accepted)
	for _, s := range a.Subscriptions {
		if !whole && slices.Contains(other.Subscriptions, s) {
			continue
		}
		for _, suffix := range suffixes(s.Type) {
			for k := range x.byIntent[suffix] {
				if emitter := x.agents[k]; s.Source == emitter.Source || s.Source == "" && emitter.allows(a.Key.Namespace) {
					to[k] = true
				}
			}
		}
	}
	for k := range x.byTarget[a.Key] {
		if whole || k.Namespace != a.Key.Namespace && !slices.Equal(a.typesFrom(k), other.typesFrom(k)) {
			to[k] = true
		}
	}
	// Circles may open or close anywhere along the relays of a type.
	for eventType, relays := range x.byRelay {
		if a.touches(eventType) || other.touches(eventType) {
			for k := range relays {
				to[k] = true
			}
		}
	}
}

// Has tells whether there is such an agent with a broker.
func (x *Index) Has(key types.NamespacedName) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.agents[key] != nil
}

// Route from an agent to another.
type Route struct {
	// Kind is v1alpha1.RouteIntent or v1alpha1.RouteForward.
	Kind string
	// Type of the events that take it.
	Type string
	// Target is the agent at the other end.
	Target types.NamespacedName
	// Relay says that the events of others take it as well.
	Relay bool
	// Reason why the route is not made; empty where it is.
	Reason string
	// Circle has the agents that relays would pass an event round.
	Circle []types.NamespacedName
}

// Routes of the agent, in order.
func (x *Index) Routes(key types.NamespacedName) (routes []Route) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	a := x.agents[key]
	if a == nil {
		return nil
	}
	type end struct {
		eventType string
		target    types.NamespacedName
	}
	seen := map[end]bool{}
	for _, intent := range a.Intents {
		for k := range x.bySuffix[intent] {
			target := x.agents[k]
			for _, s := range target.Subscriptions {
				to := end{s.Type, k}
				if seen[to] || !v1alpha1.MatchesIntent(intent, s.Type) {
					continue
				}
				if r, ok := x.intent(a, target, s); ok {
					seen[to] = true
					routes = append(routes, r)
				}
			}
		}
	}
	for _, f := range a.Forwards {
		if f.Target == key {
			continue
		}
		routes = append(routes, x.forward(a, f))
	}
	slices.SortFunc(routes, func(a, b Route) int { // intents first
		return cmp.Or(strings.Compare(b.Kind, a.Kind), strings.Compare(a.Type, b.Type), compareKeys(a.Target, b.Target))
	})
	return routes
}

// intent is the route to a subscription of another agent's that an intent matches, if
// there is one to report. An agent of another namespace that does not consent is not
// reported: the sender's owner would learn what it subscribes to. One that subscribes to
// this agent by its default source consents, and is reported if this side does not.
func (x *Index) intent(a, target *Agent, s Subscription) (Route, bool) {
	r := Route{Kind: v1alpha1.RouteIntent, Type: s.Type, Target: target.Key}
	switch {
	case x.consent(a, target, s.Type):
		if target.Source == a.Source {
			r.Reason = v1alpha1.ReasonSameEventSource
		}
	case a != target && s.Source == a.Source && target.accepts(a, s.Type):
		r.Reason = v1alpha1.ReasonTargetNotAllowed
	default:
		return r, false
	}
	return r, true
}

// consent of both sides to a route by an intent.
func (x *Index) consent(a, target *Agent, eventType string) bool {
	return a != target && a.allows(target.Key.Namespace) && target.receives(eventType, a.Source) && target.accepts(a, eventType)
}

// consentToForward of both sides to a forward.
func (x *Index) consentToForward(a, target *Agent, f Forward) bool {
	if !a.allows(target.Key.Namespace) {
		return false
	}
	if f.Relay { // which passes on the events of others
		return target.acceptsAll(a)
	}
	return target.accepts(a, f.Type)
}

// forward is the route of a forward. Whether an agent of another namespace is missing or
// does not consent is not reported: the sender's owner would learn that it exists.
func (x *Index) forward(a *Agent, f Forward) Route {
	r := Route{Kind: v1alpha1.RouteForward, Type: f.Type, Target: f.Target, Relay: f.Relay}
	target := x.agents[f.Target]
	switch {
	case !a.allows(f.Target.Namespace):
		r.Reason = v1alpha1.ReasonTargetNotAllowed
	case f.Target.Namespace != a.Key.Namespace && (target == nil || !x.consentToForward(a, target, f)):
		r.Reason = v1alpha1.ReasonSourceNotAllowed
	case target == nil:
		r.Reason = v1alpha1.ReasonTargetNotFound
	case f.Relay:
		if r.Circle = x.circle(a, f); r.Circle != nil {
			r.Reason = v1alpha1.ReasonRelayCircle
		}
	case target.Source == a.Source:
		r.Reason = v1alpha1.ReasonSameEventSource
	}
	return r
}
