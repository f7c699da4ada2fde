package trigger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// world is a reconciler that runs many times, and the row around it.
type world struct {
	*row
	*ltesting.World

	t *testing.T
}

func newWorld(t *testing.T, r *row, objects ...runtime.Object) *world {
	t.Helper()
	w := &world{row: r, t: t}
	w.World = ltesting.NewWorld(r.context(), t, newReconciler, objects...)
	return w
}

// stored is the Trigger as the last pass left it.
func (w *world) stored() *eventingv1.Trigger {
	w.t.Helper()
	o, err := w.Listers().Triggers().Triggers("team").Get("orders")
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) remove(o runtime.Object) {
	w.t.Helper()
	w.Remove(w.t, o)
}

func (w *world) verifier(enqueue func(types.NamespacedName)) *verifier {
	return &verifier{triggers: w.Listers().Triggers(), owners: w.reconciler.owners, queues: w.reconciler.queues, enqueue: enqueue}
}

// pass reconciles and says what changed in RabbitMQ.
func (w *world) pass() []string {
	w.t.Helper()
	w.Reconcile(w.t, key)
	return w.topology.Writes()
}

// edit the Trigger as its author does.
func (w *world) edit(change func(*eventingv1.Trigger)) {
	w.t.Helper()
	t := w.stored().DeepCopy()
	change(t)
	w.Put(t)
}

func (w *world) bound(want map[string][]string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.topology.Bindings()); diff != "" {
		w.t.Error("bindings (-want, +got):", diff)
	}
}

func (w *world) isReady(want bool) {
	w.t.Helper()
	s := w.stored()
	if got := s.Status.IsReady() && s.Status.ObservedGeneration == s.Generation; got != want {
		w.t.Errorf("ready: %v, want %v: %v", got, want, s.Status.GetCondition(apis.ConditionReady))
	}
}

func TestEdit_BindsWhenReplicasServeTheGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	if diff := cmp.Diff([]string{"declare " + name, "bind " + keyAll + " " + name}, w.pass()); diff != "" {
		t.Error("created (-want, +got):", diff)
	}
	w.isReady(true)

	w.serving = 1
	w.edit(filtered)
	for range 3 { // the first one records, and nothing changes until the replicas have it
		if writes := w.pass(); writes != nil {
			t.Errorf("changed before the replicas serve the generation: %v", writes)
		}
		w.isReady(false)
	}
	w.bound(map[string][]string{name: {keyAll}})

	w.serving = 2
	if diff := cmp.Diff([]string{"bind " + keyOne + " " + name, "unbind " + keyAll + " " + name}, w.pass()); diff != "" {
		t.Error("edited (-want, +got):", diff)
	}
	w.isReady(true)
	w.bound(map[string][]string{name: {keyOne}})
	if writes := w.pass(); writes != nil {
		t.Errorf("changed again: %v", writes)
	}
}

func TestEdit_TwiceBeforeReplicasServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	w.serving = 1
	w.edit(filtered)
	w.pass()
	w.edit(func(o *eventingv1.Trigger) { o.Generation, o.Spec.Filter.Attributes["type"] = 3, "order.paid" })
	w.pass()
	w.serving = 3
	w.pass()
	w.isReady(true)
	w.bound(map[string][]string{name: {routing.Binding("b1", w.stored())}})
}

func TestBrokerRecreated_BindsItsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	w.Put(brokerObject(func(b *eventingv1.Broker) { b.UID = "b2" }))
	w.pass()
	w.pass()
	w.isReady(true)
	w.bound(map[string][]string{name: {routing.Binding("b2", trigger())}})
}

func TestParallelism_MovesToAnotherQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	ordered := name + ".1"
	w.edit(parallel("1"))
	if writes := w.pass(); writes != nil {
		t.Errorf("changed before it was recorded: %v", writes)
	}
	w.topology.Set(name, queue.State{Messages: 3, Consumers: 2})
	if diff := cmp.Diff([]string{"declare " + ordered, "bind " + keyAll + " " + ordered, "unbind " + keyAll + " " + name}, w.pass()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if w.delayed != drainInterval {
		t.Errorf("looks at the queue again after %v, want %v", w.delayed, drainInterval)
	}
	for _, s := range []queue.State{{Messages: 1}, {Consumers: 1}, {}} { // the last is empty, but not for long
		w.topology.Set(name, s)
		w.clock.SetTime(w.clock.Now().Add(drainDelay))
		if writes := w.pass(); writes != nil {
			t.Errorf("changed with %+v: %v", s, writes)
		}
	}
	if diff := cmp.Diff([]string{name}, assignment.Of(w.stored()).Draining); diff != "" {
		t.Error("draining (-want, +got):", diff)
	}
	w.clock.SetTime(w.clock.Now().Add(drainDelay))
	if diff := cmp.Diff([]string{"delete " + name}, w.pass()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	w.bound(map[string][]string{ordered: {keyAll}})
	w.isReady(true)

	w.edit(parallel("2")) // and back, to the queue that was just deleted
	w.pass()
	if writes := w.pass(); writes != nil {
		t.Errorf("changed at once: %v", writes)
	}
	for range 2 {
		w.clock.SetTime(w.clock.Now().Add(drainDelay))
		w.pass()
	}
	w.bound(map[string][]string{name: {keyAll}})
}

func TestRabbitMQ_LosesEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	w.topology.Lose()
	for _, at := range []time.Duration{0, redeclareDelay - 1} { // dispatchers stop consuming first
		w.clock.SetTime(w.clock.Now().Add(at))
		if writes := w.pass(); writes != nil || !assignment.Of(w.stored()).Undeclared || w.delayed != redeclareDelay {
			t.Errorf("changed: %v; the status is %v, again after %s", writes, w.stored().Status.Annotations, w.delayed)
		}
		w.isReady(false)
	}
	w.clock.SetTime(w.clock.Now().Add(1))
	if diff := cmp.Diff([]string{"declare " + name, "bind " + keyAll + " " + name}, w.pass()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if assignment.Of(w.stored()).Undeclared {
		t.Error("the status does not say that the queue is declared")
	}
	w.isReady(true)
}

func TestRabbitMQ_ComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(away), brokerObject(), trigger())
	w.pass()
	w.isReady(false)
	if assignment.Of(w.stored()).Queue != "" {
		t.Error("a queue is assigned, and none was declared")
	}
	w.topology.Fail(nil)
	_ = w.connections.Get("").Check(t.Context())
	w.pass()
	w.isReady(true)

	w.topology.Fail(errors.New("channel closed")) // the check has not seen it yet
	if _, err := w.Try(key); err == nil || !strings.Contains(err.Error(), "channel closed") {
		t.Errorf("error %v, want that of the operation, so that it is tried again", err)
	}
	w.isReady(false)
}

// others are objects that another controller has.
func TestForeign_IsNeverWritten(t *testing.T) {
	t.Parallel()
	paused := func(o *eventingv1.Trigger) { o.Status.MarkNotSubscribed("Theirs", "theirs") }
	tests := map[string][]runtime.Object{
		"Broker of another class":                   {brokerObject(class("MTChannelBasedBroker")), trigger(fresh, paused)},
		"Broker of another class, deleting":         {brokerObject(class("MTChannelBasedBroker")), trigger(fresh, paused, deleting)},
		"Broker without a class":                    {brokerObject(func(b *eventingv1.Broker) { b.Annotations = nil }), trigger(fresh, paused)},
		"no Broker":                                 {trigger(fresh, paused)},
		"another finalizer":                         {brokerObject(class("RabbitMQBroker")), trigger(paused, func(o *eventingv1.Trigger) { o.Finalizers = []string{"triggers.eventing.knative.dev"} })},
		"Broker of this class in another namespace": {brokerObject(func(b *eventingv1.Broker) { b.Namespace = "other" }), trigger(fresh, paused)},
	}
	for name, objects := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newRow(), objects...)
			if writes := w.Reconcile(t, key); len(writes) > 0 {
				t.Errorf("wrote %v", writes)
			}
			if writes := w.topology.Writes(); writes != nil {
				t.Errorf("changed RabbitMQ: %v", writes)
			}
			o, ok := objects[len(objects)-1].(*eventingv1.Trigger)
			if ok && w.reconciler.owners.concerns(o) {
				t.Error("the Trigger would be enqueued")
			}
		})
	}
}

func TestClassChanges_ReleasesTheTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	w.Put(brokerObject(class("MTChannelBasedBroker")))

	w.topology.Fail(errors.New("connection refused"))
	if _, err := w.Try(key); err == nil {
		t.Error("no error while the queues cannot be deleted")
	}
	w.topology.Fail(nil)
	writes := w.Reconcile(t, key)
	if diff := cmp.Diff([]string{"delete " + name}, w.topology.Writes()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if len(writes) != 2 || writes[0].GetSubresource() != "status" || !strings.Contains(string(writes[1].(clientgotesting.PatchAction).GetPatch()), `"finalizers":[]`) {
		t.Fatalf("wrote %v, want the status and then the finalizers", writes)
	}
	if diff := cmp.Diff(map[string]string(nil), w.stored().Status.Annotations); diff != "" {
		t.Error("annotations (-want, +got):", diff)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		before func(*world)
		writes []string
		asked  bool
	}{
		{"nothing is missing", func(*world) {}, nil, false},
		{"the queue", func(w *world) { w.topology.Lose() }, nil, true},
		{"the binding", func(w *world) { must(w.topology.Unbind(context.Background(), name, keyAll)); w.topology.Writes() }, []string{"bind " + keyAll + " " + name}, false},
		{"in the middle of an edit", func(w *world) { w.serving = 1; w.edit(filtered); w.pass(); w.topology.Lose() }, nil, false},
		{"the Broker", func(w *world) { w.remove(brokerObject()); w.topology.Lose() }, nil, false},
		{"this class", func(w *world) { w.Put(brokerObject(class("Other"))); w.topology.Lose() }, nil, false},
		{"a key of others in the status", func(w *world) {
			w.edit(func(o *eventingv1.Trigger) { o.Status.Annotations[lambda.BindingKeysAnnotationKey] = "a.others" })
		}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newRow(), brokerObject(), trigger())
			w.pass()
			tt.before(w)
			asked := false
			v := w.verifier(func(types.NamespacedName) { asked = true })
			if err := v.verify(t.Context(), types.NamespacedName{Namespace: "team", Name: "orders"}); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.writes, w.topology.Writes()); diff != "" || asked != tt.asked {
				t.Errorf("enqueued: %v, want %v; changed (-want, +got): %s", asked, tt.asked, diff)
			}
		})
	}
}

// TestDeletedTarget_KeepsTheQueue: dispatchers make dead letters of the events of a Trigger
// whose target was deleted, so that its queue stays bound though no subscriber is resolved.
func TestDeletedTarget_KeepsTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	subscriber := w.stored().Spec.Subscriber
	w.edit(func(o *eventingv1.Trigger) {
		o.Annotations = map[string]string{lambda.DeletedTargetAnnotationKey: "shop/buyer"}
		o.Spec.Subscriber = duckv1.Destination{Ref: &duckv1.KReference{Kind: "Service", Name: "x"}}
	})
	if writes := w.pass(); writes != nil {
		t.Errorf("changed: %v", writes)
	}
	w.isReady(false)
	w.bound(map[string][]string{name: {keyAll}})
	if o := w.stored(); assignment.Of(o).Queue != name || !subscribed(o) {
		t.Errorf("the status is %v, want the queue to be consumed", o.Status)
	}
	w.edit(func(o *eventingv1.Trigger) { o.Annotations, o.Spec.Subscriber = nil, subscriber })
	if writes := w.pass(); writes != nil {
		t.Errorf("changed: %v", writes)
	}
	w.isReady(true)
}
