//go:build e2e

package e2e

import (
	"strings"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// noFunctions knows of no function.
type noFunctions struct{}

func (noFunctions) Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error) {
	return nil, apierrs.NewNotFound(lambda.LambdaFunctionResource, key.Name)
}

// functionOf the name of a dead letter queue.
func functionOf(queue string) types.NamespacedName {
	parts := strings.SplitN(queue, ".", 4)
	return types.NamespacedName{Namespace: parts[2], Name: parts[3]}
}
