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

func (c agentCache) Triggers(ctx context.Context, agent *v1alpha1.LambdaAgent) ([]eventingv1.Trigger, error) {
	return triggersOf(ctx, c.eventing, agent)
}

// functionCache has the functions of all namespaces. Their Triggers are asked for when a
// Broker requires a token for what a replay sends it.
type functionCache struct {
	functions
	eventing eventingclientset.Interface
}

func (c functionCache) Triggers(ctx context.Context, function *v1alpha1.LambdaFunction) ([]eventingv1.Trigger, error) {
	return triggersOf(ctx, c.eventing, function)
}

// triggersOf an owner.
func triggersOf(ctx context.Context, eventing eventingclientset.Interface, owner metav1.Object) (own []eventingv1.Trigger, err error) {
	all, err := eventing.EventingV1().Triggers(owner.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: lambda.Selector})
	if err != nil {
		return nil, err
	}
	for i := range all.Items {
		if metav1.IsControlledBy(&all.Items[i], owner) {
			own = append(own, all.Items[i])
		}
	}
	return own, nil
}
