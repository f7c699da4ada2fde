package lambdafunction

import (
	"context"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// watchDeadLetters enqueues functions whose dead letter queues are to be declared again,
// and deletes those of deleted functions and agents that no reconcile has seen.
func watchDeadLetters(ctx context.Context, events *plane.Plane, impl *controller.Impl, functions cache.SharedIndexInformer) {
	events.DeadLetters.Observe(func(queue string) {
		if o, ok := deadletters.OwnerOf(queue); ok && !o.Agent {
			impl.EnqueueKey(o.NamespacedName)
		}
	})
	events.Selector.Connections.Observe(func(string) {
		impl.FilteredGlobalResync(func(obj any) bool {
			f, ok := obj.(*v1alpha1.LambdaFunction)
			return ok && f.Spec.WantsEvents()
		}, functions)
	})
	client, lead := lambdaclient.Get(ctx), leads(impl)
	go events.DeadLetters.Run(ctx, func(ctx context.Context, o deadletters.Owner) (bool, error) {
		if !lead(o.NamespacedName) {
			return true, nil // another replica sees to it
		}
		return exists(ctx, client, o)
	})
}

// exists asks the API server: a cache may not have the owner yet.
func exists(ctx context.Context, client lambdaclientset.Interface, o deadletters.Owner) (bool, error) {
	var err error
	if o.Agent {
		_, err = client.LambdaV1alpha1().LambdaAgents(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	} else {
		_, err = client.LambdaV1alpha1().LambdaFunctions(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	}
	if apierrs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
