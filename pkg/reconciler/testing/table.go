package testing

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	fakerabbitclient "knative.dev/eventing-rabbitmq/pkg/client/injection/client/fake"
	fakeeventingclient "knative.dev/eventing/pkg/client/injection/client/fake"
	fakekubeclient "knative.dev/pkg/client/injection/kube/client/fake"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	logtesting "knative.dev/pkg/logging/testing"
	"knative.dev/pkg/reconciler"
	rtesting "knative.dev/pkg/reconciler/testing"
	fakeservingclient "knative.dev/serving/pkg/client/injection/client/fake"

	fakelambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client/fake"
)

// eventBuffer is more Kubernetes events than a reconcile may emit.
const eventBuffer = 32

// Ctor makes the reconciler under test from the context's fake clients and the
// row's listers.
type Ctor func(context.Context, *Listers) controller.Reconciler

// Table is a table of reconciles.
type Table []rtesting.TableRow

// Test runs each row, and each row that neither errs nor injects failures a
// second time on the state that the first pass left: it must not write.
func (table Table) Test(t *testing.T, ctor Ctor) {
	t.Helper()
	for _, row := range table {
		second := row // before the first pass puts its clients into the context
		var clients rtesting.ActionRecorderList
		rtesting.TableTest{row}.Test(t, func(t *testing.T, r *rtesting.TableRow) (controller.Reconciler, rtesting.ActionRecorderList, rtesting.EventList) {
			c, recorders, events := factory(t, r, ctor)
			clients = recorders
			return c, recorders, events
		})
		if row.WantErr || len(row.WithReactors) > 0 || row.Key == "too/many/parts" {
			continue
		}
		t.Run(row.Name+" (again)", func(t *testing.T) {
			second.Objects = after(t, row.Objects, clients)
			second.WantCreates, second.WantUpdates, second.WantStatusUpdates = nil, nil, nil
			second.WantDeletes, second.WantPatches, second.WantEvents = nil, nil, nil
			second.PostConditions = nil
			second.Test(t, func(t *testing.T, r *rtesting.TableRow) (controller.Reconciler, rtesting.ActionRecorderList, rtesting.EventList) {
				return factory(t, r, ctor)
			})
		})
	}
}

func factory(t *testing.T, r *rtesting.TableRow, ctor Ctor) (controller.Reconciler, rtesting.ActionRecorderList, rtesting.EventList) {
	ls := NewListers(r.Objects)
	ctx := r.Ctx
	if ctx == nil {
		ctx = context.Background()
	}
	ctx = logging.WithLogger(ctx, logtesting.TestLogger(t))
	ctx, kube := fakekubeclient.With(ctx, ls.kubeObjects()...)
	ctx, serving := fakeservingclient.With(ctx, ls.servingObjects()...)
	ctx, lambda := fakelambdaclient.With(ctx, ls.lambdaObjects()...)
	ctx, eventing := fakeeventingclient.With(ctx, ls.eventingObjects()...)
	ctx, rabbit := fakerabbitclient.With(ctx, ls.rabbitObjects()...)
	recorder := record.NewFakeRecorder(eventBuffer)
	ctx = controller.WithEventRecorder(ctx, recorder)

	c := ctor(ctx, ls)
	r.Ctx = ctx
	if la, ok := c.(reconciler.LeaderAware); ok {
		if err := la.Promote(reconciler.UniversalBucket(), func(reconciler.Bucket, types.NamespacedName) {}); err != nil {
			t.Fatal("Promote() =", err)
		}
	}
	for _, reactor := range r.WithReactors {
		kube.PrependReactor("*", "*", reactor)
		serving.PrependReactor("*", "*", reactor)
		lambda.PrependReactor("*", "*", reactor)
		eventing.PrependReactor("*", "*", reactor)
		rabbit.PrependReactor("*", "*", reactor)
	}
	return c, rtesting.ActionRecorderList{kube, serving, lambda, eventing, rabbit}, rtesting.EventList{Recorder: recorder}
}

// after is what the API server would hold when the recorded writes had been
// made to the objects.
func after(t *testing.T, objects []runtime.Object, clients rtesting.ActionRecorderList) []runtime.Object {
	t.Helper()
	state := map[string]runtime.Object{}
	var order []string
	put := func(o runtime.Object) {
		k := key(t, o)
		if _, ok := state[k]; !ok {
			order = append(order, k)
		}
		state[k] = o.DeepCopyObject()
	}
	for _, o := range objects {
		put(o)
	}
	for _, client := range clients {
		for _, action := range client.Actions() {
			switch a := action.(type) {
			case clientgotesting.CreateActionImpl:
				put(a.GetObject())
			case clientgotesting.UpdateActionImpl:
				keepFinalizers(a, state[key(t, a.GetObject())])
				put(a.GetObject())
			case clientgotesting.PatchActionImpl:
				for _, o := range state {
					if m, _ := meta.Accessor(o); m.GetName() == a.GetName() && m.GetNamespace() == a.GetNamespace() && resource(o) == a.GetResource().Resource {
						setFinalizers(t, o, a.GetPatch())
					}
				}
			case clientgotesting.DeleteActionImpl:
				for k, o := range state {
					if m, _ := meta.Accessor(o); m.GetName() == a.GetName() && m.GetNamespace() == a.GetNamespace() && resource(o) == a.GetResource().Resource {
						delete(state, k)
					}
				}
			}
		}
	}
	var left []runtime.Object
	for _, k := range order {
		if o, ok := state[k]; ok {
			left = append(left, o)
		}
	}
	return left
}

// setFinalizers of an object as a generated reconciler's patch has them. The fake
// clients do not patch.
func setFinalizers(t *testing.T, o runtime.Object, patch []byte) {
	t.Helper()
	var p struct {
		Metadata struct {
			Finalizers []string `json:"finalizers"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		t.Fatal(err)
	}
	m, err := meta.Accessor(o)
	if err != nil {
		t.Fatal(err)
	}
	m.SetFinalizers(p.Metadata.Finalizers)
}

// keepFinalizers of what is stored where only the status is written.
func keepFinalizers(a clientgotesting.UpdateAction, stored runtime.Object) {
	if a.GetSubresource() != "status" || stored == nil {
		return
	}
	from, err := meta.Accessor(stored)
	if err != nil {
		return
	}
	if to, err := meta.Accessor(a.GetObject()); err == nil {
		to.SetFinalizers(from.GetFinalizers())
	}
}

func key(t *testing.T, o runtime.Object) string {
	t.Helper()
	m, err := meta.Accessor(o)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%T/%s/%s", o, m.GetNamespace(), m.GetName())
}

// resource is the plural of the object's Go type: the objects of a row carry no
// TypeMeta.
func resource(o runtime.Object) string {
	gvr, _ := meta.UnsafeGuessKindToResource(kindOf(o))
	return gvr.Resource
}

func kindOf(o runtime.Object) schema.GroupVersionKind {
	return schema.GroupVersionKind{Kind: reflect.TypeOf(o).Elem().Name()}
}
