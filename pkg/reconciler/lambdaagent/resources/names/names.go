// Package names holds the name of every child of a LambdaAgent.
package names

import (
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Service is the Knative Service's: the agent's own, so that its URL carries it.
func Service(agent kmeta.Accessor) string {
	return agent.GetName()
}

// Config is the name of the ConfigMap that the agent reads its configuration
// from; it changes with its content, so that a change rolls a new revision.
func Config(agent kmeta.Accessor, hash string) string {
	return kmeta.ChildName(agent.GetName(), "-agent-"+hash)
}

// Permissions is the name of the ServiceAccount that is made for the agent, and of the
// Role and RoleBinding that say what it may do.
func Permissions(agent kmeta.Accessor) string {
	return kmeta.ChildName(agent.GetName(), "-agent")
}

// Receiver is the name of a Trigger between the agent's broker and the receiver. What
// it filters cannot be changed, so the name carries a hash of it.
func Receiver(agent kmeta.Accessor, hash string) string {
	return kmeta.ChildName(agent.GetName(), "-receiver-"+hash)
}

// Broker is the name of the agent's broker.
func Broker(agent kmeta.Accessor) string {
	return agent.GetName()
}

// BrokerConfig is the name of what configures the broker.
func BrokerConfig(agent kmeta.Accessor) string {
	return kmeta.ChildName(agent.GetName(), "-agent-broker")
}

// Subscription is the name of a new Trigger that delivers certain events, by a hash of
// what they have. It keeps the name when its filters change.
func Subscription(agent kmeta.Accessor, hash string) string {
	return kmeta.ChildName(agent.GetName(), "-subscription-"+hash)
}

// Schedules is the name of the Trigger that delivers the events of schedules.
func Schedules(agent kmeta.Accessor) string {
	return kmeta.ChildName(agent.GetName(), "-schedules")
}

// Route is the name of the Trigger that passes events on to another agent, by a hash
// of which events and which agent.
func Route(agent kmeta.Accessor, hash string) string {
	return kmeta.ChildName(agent.GetName(), "-route-"+hash)
}

// Calls is the name of the Trigger that delivers asynchronous calls to the agent.
func Calls(agent kmeta.Accessor) string {
	return kmeta.ChildName(agent.GetName(), "-calls")
}

// Outcomes is the name of the Trigger that delivers outcomes of an agent's calls: of a kind,
// success or failure.
func Outcomes(agent, kind string) string {
	return kmeta.ChildName(agent, "-on-"+kind)
}

// RabbitMQDeadLetterQueue is the name of the agent's dead letter queue in RabbitMQ.
func RabbitMQDeadLetterQueue(agent kmeta.Accessor) string {
	return events.AgentDeadLetterQueue(agent.GetNamespace(), agent.GetName())
}
