// Package routing joins what agents say they emit with what agents say they receive.
// It keeps what each of them declares in an index, which tells an agent's routes, and
// whose routes may be others when an agent changes, without a look at all agents.
package routing

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Agent is what routes depend on of an agent.
type Agent struct {
	Key types.NamespacedName
	// Source that it emits with.
	Source string
	// Intents are the types that it emits, whole or as a dotted suffix.
	Intents []string
	// Subscriptions are what it receives.
	Subscriptions []Subscription
	// Forwards are written-out routes, one of each type and target.
	Forwards []Forward
	// Allowed are the other namespaces that its routes may lead to, and Accepted those that
	// routes to it may come from.
	Allowed, Accepted []string
}

// Subscription to a type; an empty source is any. Further filters are evaluated where the
// events are delivered.
type Subscription struct {
	Type, Source string
	// Prefix says that Source is a prefix of sources.
	Prefix bool
}

// Forward is a written-out route.
type Forward struct {
	Type   string
	Target types.NamespacedName
	Relay  bool
}

// Of returns what the agent declares; nil where it has no broker.
func Of(a *v1alpha1.LambdaAgent) *Agent {
	e := a.Spec.ActiveEventing()
	if e == nil || a.DeletionTimestamp != nil {
		return nil
	}
	declared := &Agent{Key: types.NamespacedName{Namespace: a.Namespace, Name: a.Name}, Source: a.EventSource(), Intents: e.Intents, Accepted: e.AllowedSourceNamespaces}
	for i := range e.Subscriptions {
		exact, _ := e.Subscriptions[i].Split()
		source, prefix := strings.CutSuffix(e.Subscriptions[i].Source, "*")
		if !prefix {
			source = exact["source"]
		}
		if exact["type"] == "" || exact["source"] == declared.Source && e.OwnIntent(exact, declared.Source) != "" {
			continue // a prefix leads to no type, and nothing delivers the agent's own events
		}
		declared.Subscriptions = append(declared.Subscriptions, Subscription{exact["type"], source, prefix && source != ""})
	}
	for i := range e.Forwards {
		f := &e.Forwards[i]
		for _, eventType := range f.EventTypes {
			declared.Forwards = append(declared.Forwards, Forward{eventType, types.NamespacedName{Namespace: f.Namespace(a.Namespace), Name: f.TargetAgent}, f.Relay})
		}
	}
	if a.Spec.Permissions != nil {
		declared.Allowed = a.Spec.Permissions.AllowedTargetNamespaces
	}
	return declared
}

func (a *Agent) equal(b *Agent) bool { return equality.Semantic.DeepEqual(a, b) }

// allows reports whether its routes may lead to a namespace.
func (a *Agent) allows(namespace string) bool {
	return namespace == a.Key.Namespace || v1alpha1.AllowsNamespace(a.Allowed, namespace)
}

// accepts reports whether the agent consents to a route of another agent's own events of
// a type: by the namespace, or by a subscription to them. That names the sender by its
// default source, which the sender must use: any other source may be anybody's claim.
func (a *Agent) accepts(sender *Agent, eventType string) bool {
	if a.acceptsAll(sender) {
		return true
	}
	source := v1alpha1.DefaultEventSource(sender.Key)
	return sender.Source == source && slices.Contains(a.Subscriptions, Subscription{Type: eventType, Source: source})
}

// acceptsAll reports whether the agent consents to any route of another agent's, relays of
// foreign events among them.
func (a *Agent) acceptsAll(sender *Agent) bool {
	return sender.Key.Namespace == a.Key.Namespace || v1alpha1.AllowsNamespace(a.Accepted, sender.Key.Namespace)
}

// typesFrom are the types to which it subscribes by the default source of another agent.
func (a *Agent) typesFrom(sender types.NamespacedName) (all []string) {
	for _, s := range a.Subscriptions {
		if !s.Prefix && s.Source == v1alpha1.DefaultEventSource(sender) {
			all = append(all, s.Type)
		}
	}
	return all
}

// receives reports whether it subscribes to a type from a source.
func (a *Agent) receives(eventType, source string) bool {
	return slices.ContainsFunc(a.Subscriptions, func(s Subscription) bool { return s.Type == eventType && s.takes(source) })
}

// takes reports whether events of a source are meant.
func (s Subscription) takes(source string) bool {
	return s.Source == "" || s.Source == source || s.Prefix && strings.HasPrefix(source, s.Source)
}

// emits reports whether an intent of its matches a type.
func (a *Agent) emits(eventType string) bool {
	return slices.ContainsFunc(a.Intents, func(intent string) bool { return v1alpha1.MatchesIntent(intent, eventType) })
}

// touches reports whether routes of a type may begin or end at it. a may be nil.
func (a *Agent) touches(eventType string) bool {
	return a != nil && (a.emits(eventType) ||
		slices.ContainsFunc(a.Subscriptions, func(s Subscription) bool { return s.Type == eventType }) ||
		slices.ContainsFunc(a.Forwards, func(f Forward) bool { return f.Type == eventType }))
}

// suffixes of a type by its dots, itself first.
func suffixes(eventType string) (all []string) {
	for {
		all = append(all, eventType)
		_, rest, more := strings.Cut(eventType, ".")
		if !more {
			return all
		}
		eventType = rest
	}
}

// compareKeys is the order in which agents are told.
func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
