package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
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
		r.options.NewDispatcher = NewDispatcher
		r.serve(url)
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

const deadLetters = "lambda.dlq.team.orders"

// serve a Trigger whose subscriber is at the URL.
func (r *running) serve(subscriber *apis.URL) {
	r.Helper()
	trigger := &eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Broker: "default"}}
	trigger.Namespace, trigger.Name, trigger.UID, trigger.Generation = "team", "orders", "t", 1
	trigger.Annotations = map[string]string{lambda.DeadLetterQueueAnnotationKey: deadLetters}
	trigger.Status.SubscriberURI = subscriber
	trigger.Status.MarkSubscriberResolvedSucceeded()
	trigger.Status.MarkDependencySucceeded()
	wanted, err := assignment.Wanted("uid", trigger, queue.Quorum)
	if err != nil {
		r.Fatal(err)
	}
	wanted.Record(trigger)
	if err := r.eventing.Tracker().Update(eventingv1.SchemeGroupVersion.WithResource("triggers"), trigger, trigger.Namespace); err != nil {
		r.Fatal(err)
	}
}

// TestRun_CreatesEventTypes: where the feature is on, a type of event that is posted, or is
// a reply, gets an EventType of the Broker.
func TestRun_CreatesEventTypes(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		t.Run(strconv.FormatBool(enabled), func(t *testing.T) {
			var replies atomic.Int64
			subscriber := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Ce-Type") != "t" {
					replies.Add(1)
					return
				}
				w.Header()["Ce-Specversion"], w.Header()["Ce-Id"] = []string{"1.0"}, []string{"2"}
				w.Header()["Ce-Source"], w.Header()["Ce-Type"] = []string{"/reply"}, []string{"t.replied"}
			}))
			defer subscriber.Close()
			url, err := apis.ParseURL(subscriber.URL)
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, func(r *running) {
				r.options.NewDispatcher = NewDispatcher
				r.serve(url)
				r.feature("eventtype-auto-create", enabled)
			})
			r.engine.up.Store(true)
			r.until("it is ready", r.ready)
			types := func() (all []string) {
				list, err := r.eventing.EventingV1beta3().EventTypes("team").List(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for i := range list.Items {
					reference := list.Items[i].Spec.Reference
					all = append(all, reference.Kind+" "+reference.Name+" "+list.Items[i].Spec.Attributes[0].Value)
				}
				slices.Sort(all)
				return all
			}
			if enabled { // the cache of EventTypes fills in the background
				r.until("both types are known", func() bool {
					r.post()
					return slices.Equal(types(), []string{"Broker default t", "Broker default t.replied"})
				})
			} else {
				r.post()
				r.until("the reply is delivered", func() bool { return replies.Load() > 0 })
				if all := types(); len(all) != 0 {
					t.Errorf("EventTypes %v although the feature is off", all)
				}
			}
			r.stop()
			r.end()
		})
	}
}
