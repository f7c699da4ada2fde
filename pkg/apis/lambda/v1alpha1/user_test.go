package v1alpha1

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

func TestDefaultsRecordTheUser(t *testing.T) {
	as := func(name string) context.Context {
		return apis.WithUserInfo(context.Background(), &authenticationv1.UserInfo{Username: name})
	}
	users := func(creator, modifier string) map[string]string {
		return map[string]string{lambda.CreatorAnnotationKey: creator, lambda.LastModifierAnnotationKey: modifier}
	}
	made := &LambdaFunction{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{lambda.CreatorAnnotationKey: "forged"}}}
	made.SetDefaults(apis.WithinCreate(as("ann")))
	if diff := cmp.Diff(users("ann", "ann"), made.Annotations); diff != "" {
		t.Errorf("after creation (-want, +got): %s", diff)
	}

	changed := made.DeepCopy()
	changed.Spec.Runtime.Handler = "main.other"
	changed.SetDefaults(apis.WithinUpdate(as("bob"), made))
	if diff := cmp.Diff(users("ann", "bob"), changed.Annotations); diff != "" {
		t.Errorf("after a change of the spec (-want, +got): %s", diff)
	}

	forged := changed.DeepCopy()
	forged.Annotations[lambda.LastModifierAnnotationKey] = "ann"
	delete(forged.Annotations, lambda.CreatorAnnotationKey)
	forged.SetDefaults(apis.WithinUpdate(as("eve"), changed))
	if diff := cmp.Diff(users("ann", "bob"), forged.Annotations); diff != "" {
		t.Errorf("after a change of annotations only (-want, +got): %s", diff)
	}

	agent := &LambdaAgent{}
	agent.SetDefaults(apis.WithinCreate(as("ann")))
	if diff := cmp.Diff(users("ann", "ann"), agent.Annotations); diff != "" {
		t.Errorf("agent (-want, +got): %s", diff)
	}
	plain := &LambdaFunction{}
	if plain.SetDefaults(context.Background()); plain.Annotations != nil {
		t.Errorf("annotations = %v where no user is known, want none", plain.Annotations)
	}
}
