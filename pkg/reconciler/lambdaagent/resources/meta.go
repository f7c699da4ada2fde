// Package resources makes the children of a LambdaAgent. Nothing here talks to
// anything.
package resources

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Labels of every child of the agent.
func Labels(a *v1alpha1.LambdaAgent) map[string]string {
	return map[string]string{
		lambda.ManagedByLabelKey: lambda.ManagedBy,
		lambda.AgentLabelKey:     kmeta.ChildName(a.Name, ""),
	}
}

func objectMeta(a *v1alpha1.LambdaAgent, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:            name,
		Namespace:       a.Namespace,
		Labels:          Labels(a),
		OwnerReferences: []metav1.OwnerReference{*kmeta.NewControllerRef(a)},
	}
}
