package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestRun_Delivers: what a sender posts reaches the subscriber of a Trigger, and an event
// that is in delivery when the program stops is delivered once.
func TestRun_Delivers(t *testing.T) {
	var delivered atomic.Int64
	begun, finish := make(chan struct{}), make(chan struct{})
	subscriber := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Ce-Id") != "1" || r.Header.Get("Ce-Knativebrokerttl") != "" {
			t.Errorf("delivered with %v", r.Header)
		}
		delivered.Add(1)
		close(begun)
		<-finish
		w.WriteHeader(http.StatusNoContent)
	}))
	defer subscriber.Close()
	url, err := apis.ParseURL(subscriber.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(r *running) {
		r.options.NewDispatcher = NewDispatcher(func(string, string, netip.Addr) error { return nil })
		r.eventing.PrependReactor("list", "triggers", func(clienttesting.Action) (bool, runtime.Object, error) {
			trigger := &eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Broker: "default"}}
			trigger.Namespace, trigger.Name, trigger.UID, trigger.Generation = "team", "orders", "t", 1
			trigger.Status.SubscriberURI = url
			trigger.Status.MarkSubscriberResolvedSucceeded()
			trigger.Status.MarkDependencySucceeded()
			wanted, err := assignment.Wanted("uid", trigger, queue.Quorum)
			if err != nil {
				t.Error(err)
			}
			wanted.Record(trigger)
			return true, &eventingv1.TriggerList{Items: []eventingv1.Trigger{*trigger}}, nil
		})
	})
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	if code := r.post(); code != http.StatusAccepted {
		t.Fatalf("status %d", code)
	}
	select {
	case <-begun:
	case <-time.After(20 * time.Second):
		t.Fatal("the event was not delivered")
	}
	r.stop()
	r.until("it is not ready", func() bool { return !r.ready() })
	select {
	case err := <-r.ended:
		t.Fatalf("the program ended while an event was in delivery: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	r.end()
	if n := delivered.Load(); n != 1 {
		t.Errorf("the event was delivered %d times", n)
	}
}
