package lambdaagent

import (
	"context"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	lambdainformers "github.com/brunovlucena/knative-lambda-operator/pkg/client/informers/externalversions"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

// TestIndexAgents: whoever is enqueued finds the change in the index, its own too.
func TestIndexAgents(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	emitter, shop := peer("emitter", intends("order.created")), peer("shop")
	client := fakelambda.NewSimpleClientset(emitter)
	agents := client.LambdaV1alpha1().LambdaAgents(namespace)
	informer := lambdainformers.NewSharedInformerFactory(client, 0).Lambda().V1alpha1().LambdaAgents().Informer()
	index := routing.NewIndex()
	var mu sync.Mutex
	heard := map[types.NamespacedName][]int{} // with how many routes of the emitter
	hasSynced := indexAgents(ctx, index, informer, func(key types.NamespacedName) {
		mu.Lock()
		defer mu.Unlock()
		heard[key] = append(heard[key], len(index.Routes(keyOf(emitter))))
	})
	go informer.Run(ctx.Done())
	hears := func(what string, key types.NamespacedName, routes int) {
		t.Helper()
		err := wait.PollUntilContextTimeout(ctx, time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			seen := heard[key]
			return len(seen) > 0 && seen[len(seen)-1] == routes, nil
		})
		if err != nil {
			t.Fatalf("%s: %s has heard %v, want %d routes: %v", what, key, heard[key], routes, err)
		}
		mu.Lock()
		clear(heard)
		mu.Unlock()
	}
	hears("it is there", keyOf(emitter), 0)
	if !hasSynced() {
		t.Error("the index is not complete after it has all that was there")
	}
	if _, err := agents.Create(ctx, shop, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	hears("another comes", keyOf(shop), 0)
	shop = peer("shop", subscribes("io.shop.order.created"))
	if _, err := agents.Update(ctx, shop, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	hears("the other subscribes", keyOf(emitter), 1)
	emitter = peer("emitter")
	if _, err := agents.Update(ctx, emitter, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	hears("its own intent goes", keyOf(emitter), 0)
	if err := agents.Delete(ctx, "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	hears("the other goes", keyOf(shop), 0)
	if index.Has(keyOf(shop)) {
		t.Error("the index keeps an agent that has gone")
	}
}
