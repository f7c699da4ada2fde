package testing

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"knative.dev/pkg/controller"
	rtesting "knative.dev/pkg/reconciler/testing"
)

// World is a reconciler that is run many times: what it writes is in the caches of its
// next run.
type World struct {
	listers    *Listers
	reconciler controller.Reconciler
	clients    rtesting.ActionRecorderList
	ctx        context.Context
	seen       []int // actions of each client
}

// NewWorld has the objects to begin with.
func NewWorld(ctx context.Context, t *testing.T, ctor Ctor, objects ...runtime.Object) *World {
	t.Helper()
	w := &World{}
	row := &rtesting.TableRow{Ctx: ctx, Objects: objects}
	var told rtesting.EventList
	w.reconciler, w.clients, told = factory(t, row, func(ctx context.Context, ls *Listers) controller.Reconciler {
		w.listers = ls
		return ctor(ctx, ls)
	})
	w.ctx, w.seen = row.Ctx, make([]int, len(w.clients))
	recorder := told.Recorder
	t.Cleanup(func() { close(recorder.Events) })
	go drain(recorder)
	return w
}

// drain takes what would hold the reconciler up once the recorder is full.
func drain(r *record.FakeRecorder) {
	for range r.Events {
	}
}

// Put objects into the caches, as somebody else's writes.
func (w *World) Put(objects ...runtime.Object) { w.listers.sorter.AddObjects(objects...) }

// Reconcile an object, and return what was written.
func (w *World) Reconcile(t *testing.T, key string) []clientgotesting.Action {
	t.Helper()
	writes, err := w.Try(key)
	if err != nil {
		t.Fatalf("Reconcile(%s) = %v", key, err)
	}
	return writes
}

// store what was written. A status update leaves the rest as it is.
func (w *World) store(a clientgotesting.CreateAction) {
	o := a.GetObject()
	if update, ok := a.(clientgotesting.UpdateAction); ok {
		if stored, exists, err := w.listers.sorter.IndexerForObjectType(o).Get(o); err == nil && exists {
			if stored, ok := stored.(runtime.Object); ok {
				keepFinalizers(update, stored)
			}
		}
	}
	w.Put(o)
}

// Try to reconcile an object, and return what was written in any case.
func (w *World) Try(key string) (writes []clientgotesting.Action, err error) {
	err = w.reconciler.Reconcile(w.ctx, key)
	for i, c := range w.clients {
		all := c.Actions()
		for _, a := range all[w.seen[i]:] {
			switch a := a.(type) {
			case clientgotesting.CreateAction: // an update is one, too
				w.store(a)
			case clientgotesting.PatchAction: // no case of the next one, which it implements
			case clientgotesting.GetAction, clientgotesting.ListAction:
				continue
			}
			writes = append(writes, a)
		}
		w.seen[i] = len(all)
	}
	return writes, err
}

// Remove objects from the caches, as another client deletes them.
func (w *World) Remove(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	for _, o := range objects {
		if err := w.listers.sorter.IndexerForObjectType(o).Delete(o); err != nil {
			t.Fatal(err)
		}
	}
}

// Listers are the caches.
func (w *World) Listers() *Listers { return w.listers }
