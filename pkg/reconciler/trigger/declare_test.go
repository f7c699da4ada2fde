package trigger

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// TestRedeclare_Waits: RabbitMQ may close the connection of a client that declares a queue
// at the moment in which it was deleted.
func TestRedeclare_Waits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.pass()
	w.Put(brokerObject(class("MTChannelBasedBroker")))
	if diff := cmp.Diff([]string{"delete " + name}, w.pass()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	w.Put(brokerObject())
	if writes := w.pass(); writes != nil {
		t.Errorf("changed: %v", writes)
	}
	w.isReady(false)
	w.clock.SetTime(w.clock.Now().Add(redeclareDelay))
	if diff := cmp.Diff([]string{"declare " + name, "bind " + keyAll + " " + name}, w.pass()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	w.isReady(true)
}

// TestUndeclared_WhenDeclareFails: a queue whose declaration has not been confirmed must not
// be consumed.
func TestUndeclared_WhenDeclareFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newRow(), brokerObject(), trigger())
	w.topology.Fail(errors.New("no answer in time"))
	if _, err := w.Try(key); err == nil {
		t.Error("no error, so that it is not tried again")
	}
	if a := assignment.Of(w.stored()); a.Queue != name || !a.Undeclared {
		t.Errorf("assignment %+v, want a queue that is not declared", a)
	}
	w.topology.Fail(nil)
	w.pass()
	if a := assignment.Of(w.stored()); a.Undeclared {
		t.Errorf("assignment %+v, want a queue that is declared", a)
	}
	w.isReady(true)
}

// TestConnection_OfStatusIsNotTrusted: the author of a Trigger may write its status.
func TestConnection_OfStatusIsNotTrusted(t *testing.T) {
	t.Parallel()
	lie := func(o *eventingv1.Trigger) { o.Status.Annotations[lambda.ConnectionAnnotationKey] = "nope" }
	for name, away := range map[string]bool{"RabbitMQ is there": false, "RabbitMQ is away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newRow(), brokerObject(), trigger())
			w.pass()
			w.edit(lie)
			w.pass()
			w.isReady(true)
			w.edit(lie)
			if away {
				w.topology.Fail(errors.New("connection refused"))
			}
			w.end()
			w.topology.Fail(nil)
			if err := w.reconciler.tombstones.clean(t.Context()); err != nil || len(w.tombstones()) != 0 {
				t.Errorf("clean() = %v, %d tombstones, want none", err, len(w.tombstones()))
			}
			w.bound(map[string][]string{})
		})
	}
}
