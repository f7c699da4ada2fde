package lambdaagent

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

func hasBroker(obj any) bool {
	a, ok := obj.(*v1alpha1.LambdaAgent)
	return ok && a.Spec.ActiveEventing() != nil
}

// signed selects the agents for which the operator signs URLs or permissions.
func signed(obj any) bool {
	a, ok := obj.(*v1alpha1.LambdaAgent)
	return ok && (a.Spec.ActiveEventing() != nil || a.Spec.Permissions != nil)
}

// indexAgents keeps the index as agents come, change and go, and enqueues each of them,
// and those whose routes may be others then. An agent is enqueued after the index has
// it, so that no pass sees its spec of now beside routes of before. It returns what
// tells whether the index has all that were there at first.
func indexAgents(ctx context.Context, index *routing.Index, agents cache.SharedIndexInformer, enqueue func(types.NamespacedName)) func() bool {
	set := func(key types.NamespacedName, declared *routing.Agent) {
		affected := index.Set(key, declared)
		enqueue(key)
		for _, other := range affected {
			enqueue(other)
		}
	}
	changed := func(obj any) {
		if a, ok := obj.(*v1alpha1.LambdaAgent); ok {
			set(types.NamespacedName{Namespace: a.Namespace, Name: a.Name}, routing.Of(a))
		}
	}
	registration, err := agents.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, obj any) { changed(obj) },
		DeleteFunc: func(obj any) {
			if gone, err := kmeta.DeletionHandlingAccessor(obj); err == nil {
				set(types.NamespacedName{Namespace: gone.GetNamespace(), Name: gone.GetName()}, nil)
			}
		},
	})
	if err != nil {
		logging.FromContext(ctx).Fatalw("Agents cannot be joined", "error", err)
	}
	return registration.HasSynced
}
