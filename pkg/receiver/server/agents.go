package server

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
)

// agentCache has the agents of all namespaces. Their Triggers are asked for when
// somebody replays letters, which is seldom.
type agentCache struct {
	listers.LambdaAgentLister
	eventing eventingclientset.Interface
}

func (c agentCache) Get(key types.NamespacedName) (*v1alpha1.LambdaAgent, error) {
	return c.LambdaAgents(key.Namespace).Get(key.Name)
}

func (c agentCache) Triggers(ctx context.Context, agent *v1alpha1.LambdaAgent) (own []eventingv1.Trigger, err error) {
	all, err := c.eventing.EventingV1().Triggers(agent.Namespace).List(ctx, metav1.ListOptions{LabelSelector: lambda.Selector})
	if err != nil {
		return nil, err
	}
	for i := range all.Items {
		if metav1.IsControlledBy(&all.Items[i], agent) {
			own = append(own, all.Items[i])
		}
	}
	return own, nil
}
