package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/network"
)

// MaxBrokerName is how long the name of an agent with a broker may be: the Service
// before the broker is named <name>-broker-ingress.
const MaxBrokerName = 63 - len(brokerIngress)

const brokerIngress = "-broker-ingress"

// AgentBrokerURL is where the broker of an agent takes events. It is known before there
// is a broker, and after.
func AgentBrokerURL(agent types.NamespacedName) *apis.URL {
	return apis.HTTP(network.GetServiceHostname(agent.Name+brokerIngress, agent.Namespace))
}

// AnyNamespace in permissions.allowedTargetNamespaces is all of them.
const AnyNamespace = "*"

// ActiveEventing is the eventing of the spec where it is turned on, else nil.
func (s *LambdaAgentSpec) ActiveEventing() *AgentEventing {
	if s.Eventing == nil || !s.Eventing.Enabled {
		return nil
	}
	return s.Eventing
}

// EventSource is the CloudEvents source that the agent emits with.
func (a *LambdaAgent) EventSource() string {
	if e := a.Spec.Eventing; e != nil && e.EventSource != "" {
		return e.EventSource
	}
	return "/" + a.Namespace + "/" + a.Name
}

// Split parts what the agent subscribes to into the attributes that an event must
// have exactly, and filters that nobody can tell: the broker knows exact attributes
// only, and a ready-made image has nothing of this project.
func (s *AgentSubscription) Split() (exact map[string]string, rest []eventingv1.SubscriptionsAPIFilter) {
	exact = map[string]string{"type": s.EventType}
	if s.Source != "" && s.Source != "*" {
		exact["source"] = s.Source
	}
	return exact, splitFilters(exact, s.Filters)
}

// Namespace of the agent that gets what is forwarded.
func (f *AgentForward) Namespace(own string) string {
	if f.TargetNamespace == "" {
		return own
	}
	return f.TargetNamespace
}

// AllowsTargetNamespace tells whether routes of an agent in a namespace may lead to
// another one.
func (s *LambdaAgentSpec) AllowsTargetNamespace(own, target string) bool {
	if own == target {
		return true
	}
	if s.Permissions == nil {
		return false
	}
	for _, n := range s.Permissions.AllowedTargetNamespaces {
		if n == AnyNamespace || n == target {
			return true
		}
	}
	return false
}

// MatchesIntent tells whether the intent is the event type, or a dotted suffix of it.
func MatchesIntent(intent, eventType string) bool {
	return intent == eventType || strings.HasSuffix(eventType, "."+intent)
}
