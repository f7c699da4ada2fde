// Package names holds the name of every child of a LambdaAgent.
package names

import "knative.dev/pkg/kmeta"

// Service is the Knative Service's: the agent's own, so that its URL carries it.
func Service(agent kmeta.Accessor) string {
	return agent.GetName()
}

// Config is the name of the ConfigMap that the agent reads its configuration
// from; it changes with its content, so that a change rolls a new revision.
func Config(agent kmeta.Accessor, hash string) string {
	return kmeta.ChildName(agent.GetName(), "-agent-"+hash)
}
