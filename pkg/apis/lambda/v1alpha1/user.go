package v1alpha1

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// recordUser notes who made an object and who last changed its spec, as the API
// server knows them: nobody can write it but by making or changing it. old is nil
// where the object is new.
func recordUser(ctx context.Context, o, old metav1.Object, specChanged bool) {
	user := apis.GetUserInfo(ctx)
	if user == nil || apis.IsInStatusUpdate(ctx) {
		return
	}
	creator, modifier := user.Username, user.Username
	if old != nil {
		creator = old.GetAnnotations()[lambda.CreatorAnnotationKey]
		if !specChanged {
			modifier = old.GetAnnotations()[lambda.LastModifierAnnotationKey]
		}
	}
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	for key, name := range map[string]string{lambda.CreatorAnnotationKey: creator, lambda.LastModifierAnnotationKey: modifier} {
		if name == "" { // made before this was noted
			delete(annotations, key)
		} else {
			annotations[key] = name
		}
	}
	o.SetAnnotations(annotations)
}
