package plugin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// ends the call of an id.
func (w *world) ends(id, eventType, data string) {
	e := event.New()
	e.SetID(id + eventType)
	e.SetSource("/greeter")
	e.SetType(eventType)
	e.SetTime(time.Now())
	e.SetExtension(events.CausationExtension, id)
	if eventType != events.ResponseSuccess {
		e.SetExtension(events.AttemptsExtension, "6")
		e.SetExtension(events.ErrorReasonExtension, "broken")
	}
	_ = e.SetData("text/plain", []byte(data))
	w.outcomes.Add(&calls.Record{Source: "/s", Outcome: &e, Callee: calls.Callee{
		Kind: receiverv1.KindFunction, NamespacedName: types.NamespacedName{Namespace: "team", Name: "greeter"},
	}}, time.Now())
}

// TestInvokeAsync prints the id of the call, which the event plane has stored.
func TestInvokeAsync(t *testing.T) {
	w := newWorld(t, pod("knative-lambda", "broker-x", map[string]string{"app": "knative-lambda-broker"}))
	w.fails("takes no asynchronous calls: it needs eventing.enabled", "invoke", "greeter", "--async")
	url := v1alpha1.FunctionCallsURL(types.NamespacedName{Namespace: "team", Name: "default"}, "greeter")
	w.function.Status.CallsURL = url
	if err := w.cluster.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("lambdafunctions"), w.function, "team"); err != nil {
		t.Fatal(err)
	}
	w.says("", "invoke", "greeter", "--async", "--data", `{"a":1}`)
	if got := strings.TrimSpace(w.out.String()); got != "call "+url.Path {
		t.Errorf("printed %q", got)
	}
	if got := w.got[len(w.got)-1]; !strings.HasSuffix(got, `|application/json||{"a":1}`) || !strings.Contains(strings.Join(w.forwards, " "), "knative-lambda/broker-x:8080") {
		t.Errorf("called with %s through %v", got, w.forwards)
	}
	w.status = http.StatusServiceUnavailable
	w.fails("the event plane answered 503", "invoke", "greeter", "--async")
	w.fails("expected a function, or --async", "invoke", "agent/bruno")
}

// TestOutcome prints what a call returned, and fails if it did.
func TestOutcome(t *testing.T) {
	w := newWorld(t)
	w.fails("there is no outcome of the call", "outcome", "greeter", "1")
	w.fails("there is no outcome of the call", "outcome", "greeter", "1", "--wait", "--timeout", "1s")
	w.fails("expected an id, got an empty one", "outcome", "greeter", "")
	w.ends("1", events.ResponseSuccess, "done\x1b[2J")
	w.says("success", "outcome", "greeter", "1", "--wait")
	if got := w.out.String(); !strings.HasPrefix(got, "done") || strings.Contains(got, "\x1b") {
		t.Errorf("printed %q, want the data without control characters", got)
	}
	w.ends("2", events.ResponseError, `{"message":"broken"}`)
	w.fails("the call failed after 6 attempts: broken", "outcome", "function/greeter", "2")
	w.says("", "outcome", "greeter", "1", "-o", "json")
	if got := w.out.String(); !strings.Contains(got, `"source": "/s"`) {
		t.Errorf("printed %s", got)
	}
}
