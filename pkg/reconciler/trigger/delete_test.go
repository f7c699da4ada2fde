package trigger

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// end deletes the Trigger and reconciles it.
func (w *world) end() (writes []clientgotesting.Action) {
	w.t.Helper()
	w.edit(deleting)
	return w.Reconcile(w.t, key)
}

func finalized(writes []clientgotesting.Action) bool {
	return slices.ContainsFunc(writes, func(a clientgotesting.Action) bool {
		patch, ok := a.(clientgotesting.PatchAction)
		return ok && strings.Contains(string(patch.GetPatch()), `"finalizers":[]`)
	})
}

func TestDelete_Orders(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*world){
		"Trigger first":                    func(*world) {},
		"Broker first":                     func(w *world) { w.remove(brokerObject()) },
		"Broker first, and a pass between": func(w *world) { w.remove(brokerObject()); w.pass() },
		"Broker being deleted, a pass between": func(w *world) {
			w.Put(brokerObject(func(b *eventingv1.Broker) { b.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }))
			w.pass()
		},
		"class changed first":      func(w *world) { w.Put(brokerObject(class("MTChannelBasedBroker"))) },
		"in the middle of an edit": func(w *world) { w.serving = 1; w.edit(filtered); w.pass() },
		"in the middle of a move":  func(w *world) { w.edit(parallel("1")); w.pass(); w.pass() },
		"status lost":              func(w *world) { w.edit(func(o *eventingv1.Trigger) { o.Status = eventingv1.TriggerStatus{} }) },
		"status that names the queue of others": func(w *world) {
			w.edit(func(o *eventingv1.Trigger) { o.Status.Annotations[lambda.QueueAnnotationKey] = "lambda.t.other.x.u" })
		},
	}
	for name, before := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newRow(declared(assignment.Assignment{Queue: "lambda.t.other.x.u", Kind: queue.Quorum, Keys: []string{"k"}})), brokerObject(), trigger())
			w.pass()
			before(w)
			if writes := w.end(); !finalized(writes) {
				t.Errorf("the finalizer stays: %v", writes)
			}
			w.bound(map[string][]string{"lambda.t.other.x.u": {"k"}})
			if diff := cmp.Diff([]types.NamespacedName{{Namespace: "team", Name: "orders"}}, w.forgotten); diff != "" {
				t.Error("forgotten (-want, +got):", diff)
			}
		})
	}
}

// TestOrphan: anyone who may edit a Trigger can remove its finalizer and delete it at once.
func TestOrphan(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err        error
		tombstones int
	}{
		"RabbitMQ is there": {nil, 0},
		"RabbitMQ is away":  {errors.New("connection refused"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newRow(), brokerObject(), trigger())
			w.pass()
			deleted := w.stored().DeepCopy()
			deleted.Finalizers = nil
			w.remove(deleted)
			w.topology.Fail(tt.err)
			if key, clean := w.orphaned.observe(deleted); !clean || key.String() != "team/orders" {
				t.Fatalf("observe() = %v, %t", key, clean)
			}
			w.Reconcile(t, key)
			if got := len(w.tombstones()); got != tt.tombstones {
				t.Errorf("%d tombstones, want %d", got, tt.tombstones)
			}
			w.topology.Fail(nil)
			if err := w.reconciler.tombstones.clean(t.Context()); err != nil {
				t.Error(err)
			}
			w.bound(map[string][]string{})
		})
	}
}

// TestOrphan_NotAfterFinalizer: what the finalizer has cleaned up is not looked at again,
// and Triggers of others are not looked at.
func TestOrphan_NotAfterFinalizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	deleted := w.stored().DeepCopy()
	w.end()
	if _, clean := w.orphaned.observe(deleted); clean {
		t.Error("cleans up again")
	}
	if _, clean := w.orphaned.observe(trigger(fresh, func(o *eventingv1.Trigger) { o.Spec.Broker = "other" })); clean {
		t.Error("cleans up after a Trigger of another controller")
	}
}

func TestBrokerDeleted_DeclaresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	w.remove(brokerObject())
	w.topology.Lose()
	if writes := w.pass(); writes != nil {
		t.Errorf("changed: %v", writes)
	}
}

func TestTombstone_WhenRabbitMQIsAway(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*world){
		"known": func(w *world) {
			w.topology.Fail(errors.New("connection refused"))
			_ = w.connections.Get("").Check(context.Background())
		},
		"unknown": func(w *world) { w.topology.Fail(errors.New("connection refused")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newRow(), brokerObject(), trigger())
			w.pass()
			fail(w)
			writes := w.end()
			if len(writes) != 2 || !finalized(writes) {
				t.Fatalf("wrote %v, want a tombstone and then the finalizers", writes)
			}
			want := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "knative-testing", Name: "knative-lambda-tombstone-t1", Labels: map[string]string{lambda.TombstoneLabelKey: "true"}},
				Data:       map[string]string{"queues": queueNames(), "trigger": "team/orders"},
			}
			if diff := cmp.Diff(want, writes[0].(clientgotesting.CreateAction).GetObject()); diff != "" {
				t.Error("tombstone (-want, +got):", diff)
			}
			stones := w.reconciler.tombstones
			_ = w.connections.Get("").Check(t.Context())
			if err := stones.clean(t.Context()); err != nil || len(w.tombstones()) != 1 {
				t.Errorf("clean() without RabbitMQ = %v, %d tombstones, want one", err, len(w.tombstones()))
			}
			w.topology.Fail(nil)
			_ = w.connections.Get("").Check(t.Context())
			if err := stones.clean(t.Context()); err != nil || len(w.tombstones()) != 0 {
				t.Errorf("clean() = %v, %d tombstones, want none", err, len(w.tombstones()))
			}
			w.bound(map[string][]string{})
		})
	}
}

func TestTombstone_NotWithoutQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(away), brokerObject(), trigger())
	w.pass()
	if writes := w.end(); len(writes) != 1 || !finalized(writes) {
		t.Errorf("wrote %v, want nothing but the finalizers", writes)
	}
}

func queueNames() string { return strings.Join(assignment.Queues(trigger()), "\n") }

func (w *world) tombstones() []corev1.ConfigMap {
	w.t.Helper()
	all, err := w.reconciler.tombstones.kube.CoreV1().ConfigMaps("knative-testing").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return all.Items
}
