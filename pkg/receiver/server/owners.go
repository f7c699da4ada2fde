package server

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// owners of dead letter queues: whoever wants events may have one.
func (c *caches) owners() (owners []deadletter.Owner, err error) {
	functions, err := c.functions.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		if f.Spec.WantsEvents() {
			owners = append(owners, deadletter.Function(types.NamespacedName{Namespace: f.Namespace, Name: f.Name}))
		}
	}
	agents, err := c.agents.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, a := range agents {
		if a.Spec.Eventing != nil {
			owners = append(owners, deadletter.Agent(types.NamespacedName{Namespace: a.Namespace, Name: a.Name}))
		}
	}
	return owners, nil
}
