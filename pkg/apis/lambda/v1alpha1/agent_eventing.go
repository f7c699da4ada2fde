package v1alpha1

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/network"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// MaxBrokerName is how long the name of an agent with a Broker may be: the Service before
// a Broker of class RabbitMQBroker is named <name>-broker-ingress.
const MaxBrokerName = 63 - len(brokerIngress)

const brokerIngress = "-broker-ingress"

// defaultNamespace of the operator.
const defaultNamespace = "knative-lambda"

// AgentBrokerURL is where the Broker of an agent accepts events: at the ingress of the
// event plane. It is known before there is a Broker, and after.
func AgentBrokerURL(agent types.NamespacedName) *apis.URL {
	return planeURL(agent)
}

// planeURL of a Broker at the ingress of the event plane.
func planeURL(broker types.NamespacedName, more ...string) *apis.URL {
	operator := cmp.Or(os.Getenv(system.NamespaceEnvKey), defaultNamespace)
	u := apis.HTTP(network.GetServiceHostname(lambda.BrokerService, operator))
	u.Path = "/" + strings.Join(append([]string{broker.Namespace, broker.Name}, more...), "/")
	return u
}

// FunctionCallsURL accepts asynchronous calls of a function of the Broker's namespace.
func FunctionCallsURL(broker types.NamespacedName, function string) *apis.URL {
	return planeURL(broker, "calls", "function", function)
}

// AgentCallsURL accepts asynchronous calls of an agent, by its own Broker.
func AgentCallsURL(agent types.NamespacedName) *apis.URL {
	return planeURL(agent, "calls", "agent", agent.Name)
}

// RabbitMQBrokerURL is where a Broker of class RabbitMQBroker accepts events.
func RabbitMQBrokerURL(broker types.NamespacedName) *apis.URL {
	return apis.HTTP(network.GetServiceHostname(broker.Name+brokerIngress, broker.Namespace))
}

// AnyNamespace in a list of allowed namespaces is all of them.
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
	return DefaultEventSource(types.NamespacedName{Namespace: a.Namespace, Name: a.Name})
}

// DefaultEventSource is the CloudEvents source of an agent that names none.
func DefaultEventSource(agent types.NamespacedName) string {
	return "/" + agent.Namespace + "/" + agent.Name
}

// Split parts what the agent subscribes to into the attributes that an event must
// have exactly, and the filters that are left. Brokers of class RabbitMQBroker evaluate
// exact attributes only.
func (s *AgentSubscription) Split() (exact map[string]string, rest []eventingv1.SubscriptionsAPIFilter) {
	exact = map[string]string{}
	prefixes := map[string]string{}
	for name, value := range map[string]string{"type": s.EventType, "source": s.Source} {
		switch prefix, isPrefix := strings.CutSuffix(value, "*"); {
		case !isPrefix && value != "":
			exact[name] = value
		case prefix != "":
			prefixes[name] = prefix
		}
	}
	if len(prefixes) > 0 {
		rest = append(rest, eventingv1.SubscriptionsAPIFilter{Prefix: prefixes})
	}
	return exact, append(rest, splitFilters(exact, s.Filters)...)
}

// Namespace of the agent that gets what is forwarded.
func (f *AgentForward) Namespace(own string) string {
	if f.TargetNamespace == "" {
		return own
	}
	return f.TargetNamespace
}

// AllowsTargetNamespace reports whether routes of an agent in a namespace may lead to
// another one.
func (s *LambdaAgentSpec) AllowsTargetNamespace(own, target string) bool {
	if own == target {
		return true
	}
	return s.Permissions != nil && AllowsNamespace(s.Permissions.AllowedTargetNamespaces, target)
}

// AllowsNamespace reports whether a list of allowed namespaces has one.
func AllowsNamespace(allowed []string, namespace string) bool {
	return slices.Contains(allowed, AnyNamespace) || slices.Contains(allowed, namespace)
}

// MatchesIntent reports whether the intent is the event type, or a dotted suffix of it.
func MatchesIntent(intent, eventType string) bool {
	return intent == eventType || strings.HasSuffix(eventType, "."+intent)
}
