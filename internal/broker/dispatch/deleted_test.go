package dispatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func targetIs(target string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) { t.Annotations[lambda.DeletedTargetAnnotationKey] = target }
}

func unresolved(t *eventingv1.Trigger) { t.Status.SubscriberURI = nil }

func restored(t *eventingv1.Trigger) {
	delete(t.Annotations, lambda.DeletedTargetAnnotationKey)
	t.Status.SubscriberURI = apis.HTTP("greeter.team.svc")
}

// TestDeletedTarget: which events of a Trigger become dead letters without a delivery.
func TestDeletedTarget(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind    func(*eventingv1.Trigger)
		change  []func(*eventingv1.Trigger)
		dead    int
		sunk    int
		waiting int
		sent    int
	}{
		"subscriber not resolved": {change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), unresolved}, dead: 3},
		"subscriber resolved":     {change: []func(*eventingv1.Trigger){targetIs("shop/buyer")}, dead: 3},
		"ordered":                 {kind: ordered, change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), unresolved}, dead: 3},
		"dependency not ready": {change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), func(t *eventingv1.Trigger) {
			t.Annotations[eventingv1.DependencyAnnotation] = "{}"
		}}, dead: 3},
		"with a sink":         {change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), sink}, dead: 3},
		"with a sink only":    {change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), noQueue, sink}, sunk: 3},
		"with neither":        {change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), noQueue}, waiting: 3},
		"filtered":            {change: []func(*eventingv1.Trigger){targetIs("shop/buyer"), func(t *eventingv1.Trigger) { t.Spec.Filter = filterType("other") }}},
		"no name":             {change: []func(*eventingv1.Trigger){targetIs("buyer")}, sent: 3},
		"no namespace's name": {change: []func(*eventingv1.Trigger){targetIs("shop_1/buyer")}, sent: 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				if tt.kind != nil {
					f.trigger = f.newTrigger("greeter", tt.kind)
				}
				f.publishMany(3)
				f.apply(tt.change...)
				time.Sleep(time.Minute)
				sent, sunk := 0, 0
				for _, one := range f.sender.sent {
					if one.to == "http://sink.team.svc" {
						sunk++
					} else {
						sent++
					}
				}
				if sent != tt.sent || sunk != tt.sunk || f.waiting() != tt.waiting {
					t.Errorf("%d delivered, %d to the sink, %d waiting; want %d, %d, %d", sent, sunk, f.waiting(), tt.sent, tt.sunk, tt.waiting)
				}
				dead := f.deadLetters()
				if len(dead) != tt.dead {
					t.Errorf("%d dead letters, want %d", len(dead), tt.dead)
				}
				reason := base64.StdEncoding.EncodeToString([]byte("agent shop/buyer was deleted"))
				broker := v1alpha1.AgentBrokerURL(types.NamespacedName{Namespace: "shop", Name: "buyer"}).String()
				for _, e := range dead {
					got := e.Extensions()
					if got["lambdaerrorcode"] != "-1" || got["knativeerrordata"] != reason || got["knativeerrordest"] != broker || attempts(t, e) != 0 {
						t.Errorf("the dead letter is %v", got)
					}
				}
			})
		})
	}
}

// TestDeletedTarget_KeepsAttempts: an event that waits for its next attempt, in hand or in
// a delay queue, becomes a dead letter with those that it has had.
func TestDeletedTarget_KeepsAttempts(t *testing.T) {
	t.Parallel()
	for _, backoff := range []string{"PT8S", "PT3M"} {
		t.Run(backoff, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
					return fails(http.StatusServiceUnavailable, true)
				})
				f.publish(anEvent("1"))
				f.apply(retries(5, exponential, backoff))
				time.Sleep(time.Second)
				f.apply(targetIs("shop/buyer"), unresolved)
				time.Sleep(10 * time.Minute)
				dead := f.deadLetters()["1"]
				if dead == nil || attempts(t, dead) != 1 || fmt.Sprint(dead.Extensions()["lambdaerrorcode"]) != "-1" {
					t.Errorf("the dead letter is %v, want one of 1 attempt", dead)
				}
				if n := f.sender.count()["1"]; n != 1 || f.waiting() != 0 {
					t.Errorf("sent %d times, %d events wait; want 1, 0", n, f.waiting())
				}
			})
		})
	}
}

// TestDeletedTarget_WhenRestored_Delivers: what comes after the target is back is
// delivered, and so is what a Trigger without a dead letter queue has kept.
func TestDeletedTarget_WhenRestored_Delivers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(targetIs("shop/buyer"), unresolved)
		f.publish(anEvent("1"))
		time.Sleep(time.Minute)
		queued := func(t *eventingv1.Trigger) { t.Annotations[lambda.DeadLetterQueueAnnotationKey] = dlq }
		f.apply(noQueue)
		f.publish(anEvent("2"))
		time.Sleep(time.Minute)
		f.apply(restored, queued)
		f.publish(anEvent("3"))
		time.Sleep(time.Minute)
		if got := fmt.Sprint(f.sender.count()); got != "map[2:1 3:1]" {
			t.Errorf("sent %s, want events 2 and 3 once", got)
		}
		if dead := f.deadLetters(); len(dead) != 1 || dead["1"] == nil || f.waiting() != 0 {
			t.Errorf("dead letters are %v, %d events wait; want event 1 only", dead, f.waiting())
		}
	})
}
