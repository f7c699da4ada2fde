package trigger

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

const ownConnection = "team.5ca1ab1e"

// connected is a Broker with a connection of its own.
func connected(name string) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) {
		b.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
		if name != "" {
			assignment.Connect(b, name)
		}
	}
}

// onOwn is a world whose Broker has a connection of its own, which is open.
func onOwn(t *testing.T) (*world, *ltesting.Topology) {
	t.Helper()
	w := newWorld(t, newRow(), brokerObject(connected(ownConnection)), trigger())
	own := ltesting.NewTopology()
	must(w.connections.Add(ownConnection, own).Check(t.Context()))
	own.Writes()
	return w, own
}

func TestOwnConnection_HasTheQueue(t *testing.T) {
	t.Parallel()
	w, own := onOwn(t)
	if writes := w.pass(); writes != nil {
		t.Errorf("changed on the connection of the installation: %v", writes)
	}
	if diff := cmp.Diff([]string{"declare " + name, "bind " + keyAll + " " + name}, own.Writes()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	w.isReady(true)
	if a := assignment.Of(w.stored()); a.Connection != ownConnection {
		t.Errorf("assigned %+v", a)
	}
	w.remove(brokerObject()) // the Broker first
	w.end()
	if diff := cmp.Diff([]string{"delete " + name}, own.Writes()); diff != "" {
		t.Error("deleted (-want, +got):", diff)
	}
}

func TestOwnConnection_IsNotOpen(t *testing.T) {
	t.Parallel()
	reason := func(w *world) string {
		return w.stored().Status.GetCondition(eventingv1.TriggerConditionSubscribed).Reason
	}
	w := newWorld(t, newRow(), brokerObject(connected("")), trigger())
	if writes := w.pass(); writes != nil || reason(w) != plane.ReasonNotConnected {
		t.Errorf("changed %v, reason %q", writes, reason(w))
	}
	w.Put(brokerObject(connected(ownConnection)))
	if writes := w.pass(); writes != nil || reason(w) != ReasonConnecting {
		t.Errorf("changed %v, reason %q", writes, reason(w))
	}
	own := ltesting.NewTopology()
	own.Fail(errors.New("connection refused"))
	c := w.connections.Add(ownConnection, own)
	_ = c.Check(t.Context())
	if writes := w.pass(); writes != nil || reason(w) != ReasonUnavailable {
		t.Errorf("changed %v, reason %q", writes, reason(w))
	}
	own.Fail(nil)
	must(c.Check(t.Context()))
	w.pass()
	w.isReady(true)
}

func TestOwnConnection_QueueType(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(connected(ownConnection)), trigger())
	must(w.connections.Add(ownConnection, ltesting.NewTopology(), func(c *plane.Connection) {
		c.QueueType = func() string { return "classic" }
	}).Check(t.Context()))
	w.pass()
	if a := assignment.Of(w.stored()); a.Kind != queue.Classic {
		t.Errorf("assigned %+v, want the type of the connection", a)
	}
}

func TestOwnConnection_Changed(t *testing.T) {
	t.Parallel()
	w, own := onOwn(t)
	w.pass()
	own.Writes()
	w.Put(brokerObject()) // created again, without a configuration
	if writes := w.pass(); writes != nil || own.Writes() != nil {
		t.Errorf("changed: %v", writes)
	}
	if c := w.stored().Status.GetCondition(eventingv1.TriggerConditionSubscribed); c.Reason != ReasonConnectionChanged {
		t.Errorf("condition %v", c)
	}
}

// TestOwnConnection_Tombstone: it names the connection, and goes with it.
func TestOwnConnection_Tombstone(t *testing.T) {
	t.Parallel()
	for name, removed := range map[string]bool{"the connection is back": false, "the connection was removed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, own := onOwn(t)
			w.pass()
			own.Fail(errors.New("connection refused"))
			c := w.connections.Get(ownConnection)
			_ = c.Check(t.Context())
			if writes := w.end(); !finalized(writes) {
				t.Fatalf("the finalizer stays: %v", writes)
			}
			stones := w.tombstones()
			if len(stones) != 1 || stones[0].Data["connection"] != ownConnection {
				t.Fatalf("tombstones %v", stones)
			}
			must(w.reconciler.tombstones.clean(t.Context()))
			if len(w.tombstones()) != 1 {
				t.Error("the tombstone is deleted while RabbitMQ is away")
			}
			own.Fail(nil)
			must(c.Check(t.Context()))
			own.Writes()
			want := []string{"delete " + queueName}
			if removed {
				w.connections.Remove(ownConnection)
				want = nil
			}
			must(w.reconciler.tombstones.clean(t.Context()))
			if diff := cmp.Diff(want, own.Writes()); diff != "" || len(w.tombstones()) != 0 {
				t.Errorf("%d tombstones; (-want, +got): %s", len(w.tombstones()), diff)
			}
			if diff := cmp.Diff([]string(nil), w.topology.Writes()); diff != "" {
				t.Error("changed on the connection of the installation:", diff)
			}
		})
	}
}

var queueName = name

// TestOwnConnection_RemovedBeforeTheTrigger: the deletion of the Trigger does not wait for
// what cannot be deleted.
func TestOwnConnection_RemovedBeforeTheTrigger(t *testing.T) {
	t.Parallel()
	w, _ := onOwn(t)
	w.pass()
	w.connections.Remove(ownConnection)
	if writes := w.end(); !finalized(writes) || len(w.tombstones()) != 0 {
		t.Errorf("wrote %v, %d tombstones", writes, len(w.tombstones()))
	}
}

// TestSweep_SharedVirtualHost: queues of another installation are not deleted.
func TestSweep_SharedVirtualHost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		queues  []string
		uid     types.UID
		failing error
		deleted int
	}{
		"its own":              {[]string{"lambda.installation.me"}, "me", nil, 1},
		"another one's, too":   {[]string{"lambda.installation.me", "lambda.installation.other"}, "me", nil, 0},
		"unknown installation": {nil, "", nil, 0},
		"no management API":    {nil, "me", management.ErrNotConfigured, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSwept(t)
			own := ltesting.NewTopology()
			orphan := assignment.Queues(&eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orphan", UID: "orphan-uid"}})[0]
			must(own.Declare(t.Context(), queue.Declaration{Name: orphan}))
			s.row.connections.Claim(func() types.UID { return tt.uid })
			must(s.row.connections.Add(ownConnection, own, func(c *plane.Connection) {
				c.Queues = func(context.Context) ([]string, error) {
					return append(slices.Clone(tt.queues), orphan, "theirs"), tt.failing
				}
			}).Check(t.Context()))
			own.Writes()
			for range 3 {
				must(s.round(t.Context()))
				s.row.clock.SetTime(s.row.clock.Now().Add(sweepInterval))
			}
			if got := own.Writes(); len(got) != tt.deleted || tt.deleted == 1 && got[0] != "delete "+orphan {
				t.Errorf("changed %v, want %d deletions", got, tt.deleted)
			}
		})
	}
}

// fakeRegistry has connections by their names.
type fakeRegistry struct{ names []string }

func (f *fakeRegistry) Names() []string { return f.names }

func (f *fakeRegistry) Remove(_ context.Context, names ...string) error {
	f.names = slices.DeleteFunc(f.names, func(n string) bool { return slices.Contains(names, n) })
	return nil
}

func TestCollect(t *testing.T) {
	t.Parallel()
	onTrigger := assigned()
	onTrigger.Connection = "team.trigger"
	stone := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "knative-testing", Name: "t", Labels: map[string]string{lambda.TombstoneLabelKey: "true"}},
		Data:       map[string]string{tombstoneConnection: "team.tombstone"},
	}
	ls := ltesting.NewListers(ltesting.Objects(brokerObject(connected("team.broker")), trigger(func(o *eventingv1.Trigger) { onTrigger.Record(o) })))
	r := &fakeRegistry{names: []string{"team.broker", "team.trigger", "team.tombstone", "team.unused"}}
	leading, filled := false, false
	c := &collector{
		kube: kubefake.NewClientset(stone), namespace: "knative-testing", registry: r, brokers: ls.Brokers(), triggers: ls.Triggers(),
		filled: func() bool { return filled }, leads: func() bool { return leading },
	}
	rounds := func(n int, want ...string) {
		t.Helper()
		for range n {
			must(c.round(t.Context()))
		}
		if diff := cmp.Diff(want, r.names); diff != "" {
			t.Error("(-want, +got):", diff)
		}
	}
	all := slices.Clone(r.names)
	rounds(3, all...)
	leading = true
	rounds(3, all...)
	filled = true
	rounds(1, all...) // it may be too new for the caches
	rounds(1, "team.broker", "team.trigger", "team.tombstone")
	rounds(3, "team.broker", "team.trigger", "team.tombstone")
}

// TestCollect_AfterADeletion: a connection is removed soon after the last object that uses
// it was deleted, however many others are deleted meanwhile.
func TestCollect_AfterADeletion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ls := ltesting.NewListers(nil)
		r := &fakeRegistry{names: []string{"team.unused"}}
		yes := func() bool { return true }
		c := &collector{
			kube: kubefake.NewClientset(), namespace: "knative-testing", registry: r, brokers: ls.Brokers(), triggers: ls.Triggers(),
			filled: yes, leads: yes, wake: make(chan struct{}, 1),
		}
		ctx, cancel := context.WithCancel(t.Context())
		go c.run(ctx)
		start := time.Now()
		for len(r.names) > 0 && time.Since(start) < time.Hour {
			c.deleted(nil)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(start); took > settleInterval+confirmInterval+time.Second {
			t.Errorf("it took %s", took)
		}
		cancel()
	})
}
