package agents

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

var controls = at(receiverpath.Controls, "bruno")

// TestControl: what an event withdrew is in the agent's record, once.
func TestControl(t *testing.T) {
	w := newWorld(t)
	w.cluster.PrependReactor("patch", "lambdaagents", conflictOnce())
	e := newEvent("1", "io.example.alarm", "/guards/north", `{"permission":"triggers","action":"withdraw","duration":"1h","reason":"too many"}`)
	for range 2 {
		// The second time its cache has not seen the first: the API server refuses the
		// older version, and the event's key is found in the newer one.
		if status, _, said := w.post(controls, e); status != http.StatusAccepted {
			t.Fatalf("answer = %d %s", status, said)
		}
		w.cluster.PrependReactor("patch", "lambdaagents", conflictOnce())
	}
	want := `{"permissions":[{"permission":"triggers","until":"2026-01-02T04:04:05Z","source":"/guards/north","reason":"too many"}],"events":["` + httpapi.EventKey(&e) + `"]}`
	if got := w.record(); got != want {
		t.Errorf("the record is %s, want %s", got, want)
	}
	for _, e := range []event.Event{
		newEvent("2", "io.example.alarm", "/guard", `{"permission":"*","action":"withdraw"}`),
		newEvent("3", "io.example.alarm", "/guard", `{"permission":"brokers","action":"restore"}`),
	} {
		w.cluster.PrependReactor("patch", "lambdaagents", conflictOnce())
		if status, _, said := w.post(controls, e); status != http.StatusAccepted {
			t.Fatalf("answer = %d %s", status, said)
		}
	}
	if got := w.record(); strings.Contains(got, "brokers") || !strings.Contains(got, `{"permission":"triggers","source":"/guard"}`) || !strings.Contains(got, "functions") {
		t.Errorf("the record is %s, want triggers and functions for good", got)
	}
	if got := strings.Join(w.audits, ", "); got != "/guards/north withdrawn bruno, /guard withdrawn bruno, /guard restored bruno" {
		t.Errorf("audits = %s", got)
	}
}

// TestControl_RemovesTheRequestOfAUser: after a withdrawal, the annotation by which a user
// has restored permissions can be set to the same value again. A restore leaves it.
func TestControl_RemovesTheRequestOfAUser(t *testing.T) {
	for action, want := range map[string]string{"withdraw": "", "restore": "*"} {
		w := newWorld(t, func(a *v1alpha1.LambdaAgent) { a.Annotations = map[string]string{lambda.RestoreAnnotationKey: "*"} })
		if status, _, said := w.post(controls, newEvent("1", "io.example.alarm", "/guard", `{"permission":"triggers","action":"`+action+`"}`)); status != http.StatusAccepted {
			t.Fatalf("%s: answer = %d %s", action, status, said)
		}
		a, err := w.cluster.LambdaV1alpha1().LambdaAgents("team").Get(t.Context(), "bruno", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Annotations[lambda.RestoreAnnotationKey]; got != want {
			t.Errorf("%s: annotation %q, want %q", action, got, want)
		}
	}
}

// byDefault is an agent with controls that name no types and no sources.
func byDefault(a *v1alpha1.LambdaAgent) {
	a.Spec.Permissions.EventControls = &v1alpha1.EventControls{AllowEventDisable: true}
}

// TestDefaultControls: events of the configured types need no data, and those of earlier
// systems are understood.
func TestDefaultControls(t *testing.T) {
	const all = `{"permission":"brokers","source":"/team/guard"},{"permission":"triggers","source":"/team/guard"},{"permission":"functions","source":"/team/guard"}`
	for _, tt := range []struct {
		name, eventType, source, data string
		status                        int
		want                          string // of the record, or of the answer
	}{
		{"nothing", "io.homelab.rbac.disable", "/team/guard", "", 202, `{"permissions":[` + all + `],`},
		{"an empty object", "io.homelab.rbac.disable", "/team/guard", "{}", 202, `{"permissions":[` + all + `],`},
		{"a permission", "io.homelab.rbac.disable", "/team/guard", `{"permission":"triggers","reason":"too many"}`, 202, `{"permissions":[{"permission":"triggers","source":"/team/guard","reason":"too many"}],`},
		{"a capability", "io.homelab.rbac.disable", "/team/guard", `{"capability":"trigger","duration":"1h"}`, 202, `{"permissions":[{"permission":"triggers","until":"2026-01-02T04:04:05Z","source":"/team/guard"}],`},
		{"enabled, which gives back what was withdrawn", "io.homelab.rbac.enable", "/team/guard", "", 202, `{"events":[`},
		{"no such capability", "io.homelab.rbac.disable", "/team/guard", `{"capability":"pods"}`, 400, "expected brokers, triggers, functions or *"},
		{"a capability and a permission", "io.homelab.rbac.disable", "/team/guard", `{"capability":"broker","permission":"*"}`, 400, "only one of capability and permission"},
		{"a type against its action", "io.homelab.rbac.disable", "/team/guard", `{"permission":"*","action":"restore"}`, 400, "action: expected withdraw, or nothing, for type io.homelab.rbac.disable, got restore"},
		{"no object", "io.homelab.rbac.disable", "/team/guard", `[]`, 400, "expected a JSON object, or nothing"},
		{"another namespace", "io.homelab.rbac.disable", "/other/guard", "", 403, `source "/other/guard"`},
		{"the agent itself", "io.homelab.rbac.enable", "/team/bruno", "", 403, `source "/team/bruno"`},
		{"another type", "io.example.alarm", "/team/guard", `{"permission":"*","action":"withdraw"}`, 403, `type "io.example.alarm"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, byDefault)
			e := newEvent("1", tt.eventType, tt.source, tt.data)
			if tt.data == "" {
				e.DataEncoded = nil
			}
			status, _, said := w.post(controls, e)
			if record := w.record(); status != tt.status || !strings.HasPrefix(record, tt.want) && !strings.Contains(said, tt.want) {
				t.Errorf("answer = %d %s, record %s, want %d %s", status, said, record, tt.status, tt.want)
			}
		})
	}
}

// conflictOnce says once that the agent has changed.
func conflictOnce() clientgotesting.ReactionFunc {
	done := false
	return func(clientgotesting.Action) (bool, runtime.Object, error) {
		if done {
			return false, nil, nil
		}
		done = true
		return true, nil, apierrs.NewConflict(lambda.LambdaAgentResource, "bruno", errors.New("changed"))
	}
}

func TestControlRefused(t *testing.T) {
	const good = `{"permission":"triggers","action":"withdraw"}`
	for _, tt := range []struct {
		name, path string
		e          event.Event
		change     func(*v1alpha1.LambdaAgent)
		status     int
		want       string
	}{
		{"no such agent", at(receiverpath.Controls, "missing"), newEvent("1", "io.example.alarm", "/guard", good), nil, 404, "not found"},
		{"no code", "/agents/team/bruno/controls", newEvent("1", "io.example.alarm", "/guard", good), nil, 403, "not one that the operator has made"},
		{"no code, no such agent", "/agents/team/missing/controls", newEvent("1", "io.example.alarm", "/guard", good), nil, 403, "not one that the operator has made"},
		{"another agent's code", "/agents/team/bruno/controls/" + theKeys.Sign(receiverpath.Controls, "agent", "team", "missing"), newEvent("1", "io.example.alarm", "/guard", good), nil, 403, "not one that the operator has made"},
		{"the code of approvals", "/agents/team/bruno/controls/" + theKeys.Sign(receiverpath.Approvals, "agent", "team", "bruno"), newEvent("1", "io.example.alarm", "/guard", good), nil, 403, "not one that the operator has made"},
		{"a forged source", controls, newEvent("1", "io.example.alarm", "/team/bruno", good), nil, 403, `source "/team/bruno"`},
		{"another type", controls, newEvent("1", "io.example.other", "/guard", good), nil, 403, `type "io.example.other"`},
		{"controls that are off", controls, newEvent("1", "io.example.alarm", "/guard", good), func(a *v1alpha1.LambdaAgent) { a.Spec.Permissions.EventControls.AllowEventDisable = false }, 403, "lets no event"},
		{"no permissions", controls, newEvent("1", "io.example.alarm", "/guard", good), func(a *v1alpha1.LambdaAgent) { a.Spec.Permissions = nil }, 403, "lets no event"},
		{"no data", controls, newEvent("1", "io.example.alarm", "/guard", `{}`), nil, 400, "data: "},
		{"another permission", controls, newEvent("1", "io.example.alarm", "/guard", `{"permission":"pods","action":"withdraw"}`), nil, 400, "expected brokers, triggers, functions or *"},
		{"another action", controls, newEvent("1", "io.example.alarm", "/guard", `{"permission":"*","action":"grant"}`), nil, 400, "expected withdraw or restore"},
		{"no duration", controls, newEvent("1", "io.example.alarm", "/guard", `{"permission":"*","action":"withdraw","duration":"-1h"}`), nil, 400, "duration: expected"},
		{"a restore for a time", controls, newEvent("1", "io.example.alarm", "/guard", `{"permission":"*","action":"restore","duration":"1h"}`), nil, 400, "duration: goes with withdraw"},
		{"a record that cannot be read", controls, newEvent("1", "io.example.alarm", "/guard", good), func(a *v1alpha1.LambdaAgent) { a.Annotations = map[string]string{lambda.WithdrawnAnnotationKey: "{"} }, 503, "annotation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.change != nil {
				w = newWorld(t, tt.change)
			}
			before := w.record()
			status, _, said := w.post(tt.path, tt.e)
			if status != tt.status || !strings.Contains(said, tt.want) {
				t.Errorf("answer = %d %s, want %d that says %q", status, said, tt.status, tt.want)
			}
			if w.record() != before || len(w.audits) > 0 {
				t.Errorf("the record is %s, audits %v", w.record(), w.audits)
			}
		})
	}
}
