// Package resources makes the children of a LambdaFunction. Nothing here talks
// to anything.
package resources

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// Labels of every child of the function.
func Labels(f *v1alpha1.LambdaFunction) map[string]string {
	labels := map[string]string{
		lambda.ManagedByLabelKey: lambda.ManagedBy,
		lambda.FunctionLabelKey:  labelValue(f.Name),
	}
	if f.Spec.Runtime.Language != "" {
		labels[lambda.LanguageLabelKey] = f.Spec.Runtime.Language
	}
	return labels
}

// labelValue is text where it fits into a label, else shortened with a hash.
func labelValue(text string) string {
	return kmeta.ChildName(text, "")
}

// ImageLabel is the value of lambda.ImageLabelKey for a reference.
func ImageLabel(reference string) string {
	return build.Hash(reference)
}

func objectMeta(f *v1alpha1.LambdaFunction, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:            name,
		Namespace:       f.Namespace,
		Labels:          Labels(f),
		OwnerReferences: []metav1.OwnerReference{*kmeta.NewControllerRef(f)},
	}
}

func podMeta(labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Labels: labels}
}
