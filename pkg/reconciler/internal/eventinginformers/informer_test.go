package eventinginformers

import (
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	fakeeventing "knative.dev/eventing/pkg/client/clientset/versioned/fake"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	"knative.dev/eventing/pkg/client/injection/informers/eventing/v1/broker"
	"knative.dev/eventing/pkg/client/injection/informers/eventing/v1/trigger"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/injection"
)

// discovery serves Brokers once served is set.
type discovery struct{ served atomic.Bool }

// ServerResourcesForGroupVersion implements optional.Discovery.
func (d *discovery) ServerResourcesForGroupVersion(string) (*metav1.APIResourceList, error) {
	if !d.served.Load() {
		return nil, apierrs.NewNotFound(schema.GroupResource{}, "")
	}
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "brokers"}}}, nil
}

func newInformer(d *discovery) (*Informer, cache.Store) {
	client := fakeeventing.NewSimpleClientset(&eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "default", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}})
	f := &optionalFactory{
		SharedInformerFactory: externalversions.NewSharedInformerFactory(client, 0), discovery: d,
		informers: map[schema.GroupVersionKind]*Informer{}, log: zap.NewNop().Sugar(),
	}
	i := f.Eventing().V1().Brokers().Informer()
	return i.(*Informer), i.GetStore()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}

func TestInformer_WaitsForItsKind(t *testing.T) {
	t.Parallel()
	d := &discovery{}
	i, store := newInformer(d)
	i.interval = time.Millisecond
	if i.HasSynced() {
		t.Error("synced before the kind was looked for")
	}
	go i.Run(t.Context().Done())
	eventually(t, "the process starts without the kind", i.HasSynced)
	if i.Filled() || Filled(i) {
		t.Error("without the kind the cache is not filled")
	}
	d.served.Store(true)
	eventually(t, "the cache is filled", func() bool { return Filled(i) && len(store.List()) == 1 })
	if b, ok := store.List()[0].(*eventingv1.Broker); !ok || b.ManagedFields != nil {
		t.Error("the cache has managed fields")
	}
}

func TestInformer_HoldsTheProcessUntilFilled(t *testing.T) {
	t.Parallel()
	d := &discovery{}
	d.served.Store(true)
	i, store := newInformer(d)
	if i.HasSynced() {
		t.Error("synced before it has started")
	}
	go i.Run(t.Context().Done())
	eventually(t, "synced", i.HasSynced)
	if !i.Filled() || len(store.List()) != 1 {
		t.Error("synced and not filled")
	}
}

// TestInjection: the informers of the generated reconcilers are these, and share one
// cache.
func TestInjection(t *testing.T) {
	t.Parallel()
	ctx, all := injection.Default.SetupInformers(t.Context(), &rest.Config{Host: "http://127.0.0.1:1"})
	if eventingclient.Get(ctx) == nil || kubeclient.Get(ctx) == nil {
		t.Fatal("no clients")
	}
	for name, informer := range map[string]cache.SharedIndexInformer{"Brokers": broker.Get(ctx).Informer(), "Triggers": trigger.Get(ctx).Informer()} {
		i, ok := informer.(*Informer)
		if !ok {
			t.Errorf("%s: informer %T", name, informer)
			continue
		}
		started := false
		for _, other := range all {
			started = started || other == i
		}
		if !started {
			t.Errorf("%s: injection starts another informer", name)
		}
	}
}
