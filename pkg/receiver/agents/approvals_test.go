package agents

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

var approvals = at(receiverpath.Approvals, "bruno")

func asking(id string) event.Event {
	return newEvent(id, events.ApprovalRequested, "/team/bruno", `{"action":"reboot","arguments":{"node":"a"}}`)
}

// TestRequest: an action waits once, is decided once, and its outcome is told to who
// asks again.
func TestRequest(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if status, answer, said := w.post(approvals, asking("1")); status != http.StatusAccepted || answer != nil {
			t.Fatalf("answer = %d %s %v", status, said, answer)
		}
	}
	r := w.pending("1")
	if !r.Spec.Deadline.Equal(&metav1.Time{Time: now.Add(time.Minute)}) || r.OwnerReferences[0].UID != "uid" || r.Spec.Data != `{"action":"reboot","arguments":{"node":"a"}}` {
		t.Errorf("request = %+v, owners %v", r.Spec, r.OwnerReferences)
	}
	if status, said := w.get(approvals + "?id=1"); status != http.StatusAccepted || !strings.Contains(said, `"decision":""`) {
		t.Errorf("outcome = %d %s", status, said)
	}
	if status, said := w.decide("ann", "1", `{"decision":"granted","reason":"go"}`); status != http.StatusOK {
		t.Fatalf("decision = %d %s", status, said)
	}
	if status, said := w.decide("ann", "1", `{"decision":"granted"}`); status != http.StatusOK {
		t.Errorf("the same again = %d %s", status, said)
	}
	if status, said := w.decide("bob", "1", `{"decision":"denied"}`); status != http.StatusConflict || !strings.Contains(said, "was granted before, by ann") {
		t.Errorf("another decision = %d %s", status, said)
	}
	r = w.pending("1")
	if status, _, _ := w.post(approvals, asking("1")); status != http.StatusAccepted {
		t.Errorf("answer = %d, want that it is to be told", status)
	}
	r.Status.ToldTime = &metav1.Time{Time: now}
	if _, err := w.cluster.LambdaV1alpha1().ApprovalRequests("team").UpdateStatus(t.Context(), r, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	status, answer, _ := w.post(approvals, asking("1"))
	if status != http.StatusOK || answer == nil || answer.Type() != events.ApprovalGranted {
		t.Errorf("answer = %d %v", status, answer)
	}
	if status, said := w.get(approvals + "?id=1"); status != http.StatusOK || !strings.Contains(said, `"decision":"granted","decidedBy":"ann"`) {
		t.Errorf("outcome = %d %s", status, said)
	}
	if got := strings.Join(w.audits, ", "); got != "ann granted bruno" {
		t.Errorf("audits = %s", got)
	}
}

// TestRequestRefused: what cannot be asked is denied at once, so that the agent does
// not wait; what is none of the agent's is not looked at.
func TestRequestRefused(t *testing.T) {
	long := newEvent("1", events.ApprovalRequested, "/team/bruno", `{"action":"x","description":"`+strings.Repeat("x", approval.MaxData)+`"}`)
	circle := asking("1")
	circle.SetExtension(events.HopsExtension, events.MaxHops)
	for _, tt := range []struct {
		name   string
		e      event.Event
		change func(*v1alpha1.LambdaAgent)
		status int
		want   string
	}{
		{"another source", newEvent("1", events.ApprovalRequested, "/team/other", `{"action":"x"}`), nil, 403, "another source"},
		{"another type", newEvent("1", "io.example.x", "/team/bruno", `{"action":"x"}`), nil, 403, "expected type"},
		{"not supervised", asking("1"), func(a *v1alpha1.LambdaAgent) { a.Spec.OperationMode = v1alpha1.ModeAgentic }, 403, "is not supervised"},
		{"no action", newEvent("1", events.ApprovalRequested, "/team/bruno", `{}`), nil, 200, "data: "},
		{"an empty action", newEvent("1", events.ApprovalRequested, "/team/bruno", `{"action":""}`), nil, 200, "data: action: expected 1 to 1024 characters"},
		{"no JSON", newEvent("1", events.ApprovalRequested, "/team/bruno", `reboot`), nil, 200, "data: "},
		{"too long", long, nil, 200, "data: longer than 65536 bytes"},
		{"an id that is too long", newEvent(strings.Repeat("1", 257), events.ApprovalRequested, "/team/bruno", `{"action":"x"}`), nil, 200, "id: longer than 256"},
		{"in a circle", circle, nil, 200, "lambdahops: expected a whole number below 10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.change != nil {
				w = newWorld(t, tt.change)
			}
			status, answer, said := w.post(approvals, tt.e)
			if answer != nil {
				var o events.ApprovalOutcome
				if err := answer.DataAs(&o); err != nil || answer.Type() != events.ApprovalDenied || o.Request != tt.e.ID() || o.DecidedBy != approval.ByReceiver {
					t.Errorf("answer = %v, %v", answer, err)
				}
				said = o.Reason
			}
			if status != tt.status || !strings.Contains(said, tt.want) {
				t.Errorf("answer = %d %s, want %d that says %q", status, said, tt.status, tt.want)
			}
		})
	}
}

// TestTooManyRequests: an agent cannot fill the API server.
func TestTooManyRequests(t *testing.T) {
	w := newWorld(t)
	for i := range MaxPending {
		if status, _, said := w.post(approvals, asking(fmt.Sprint(i))); status != http.StatusAccepted {
			t.Fatalf("answer = %d %s", status, said)
		}
		w.pending(fmt.Sprint(i))
	}
	if status, _, said := w.post(approvals, asking("more")); status != http.StatusTooManyRequests {
		t.Errorf("answer = %d %s", status, said)
	}
	if status, said := w.decide("ann", "7", `{"decision":"denied"}`); status != http.StatusOK {
		t.Fatalf("decision = %d %s", status, said)
	}
	w.pending("7")
	if status, _, said := w.post(approvals, asking("more")); status != http.StatusAccepted {
		t.Errorf("answer after one was decided = %d %s", status, said)
	}
}

// TestAPI: who may do what, by what it is asked.
func TestAPI(t *testing.T) {
	w := newWorld(t, func(a *v1alpha1.LambdaAgent) { a.Spec.Approval.RequireAll = true })
	w.post(approvals, asking("1"))
	name := w.pending("1").Name
	for _, tt := range []struct {
		name, method, user, query, body string
		status                          int
		want                            string
	}{
		{"nobody", "GET", "", "", "", 401, "not authenticated"},
		{"a forged token", "GET", "forged", "", "", 401, "not authenticated"},
		{"list", "GET", "reader", "", "", 200, `"id":"1"`},
		{"show", "GET", "reader", "?id=1", "", 200, `"action":"reboot"`},
		{"show by its name", "GET", "reader", "?id=" + name, "", 200, `"action":"reboot"`},
		{"show what is not there", "GET", "reader", "?id=a%2Fb", "", 404, `has no request`},
		{"decide without the right", "POST", "reader", "?id=1", `{"decision":"granted"}`, 403, `may not update lambdaagents/approvals of team/bruno`},
		{"decide nothing", "POST", "ann", "?id=1", ``, 400, "expected"},
		{"decide otherwise", "POST", "ann", "?id=1", `{"decision":"maybe"}`, 400, "expected granted or denied"},
		{"decide with more words", "POST", "ann", "?id=1", `{"decision":"granted","by":"root"}`, 400, "unknown field"},
		{"decide what is not there", "POST", "ann", "?id=2", `{"decision":"granted"}`, 404, "has no request"},
		{"for a provider that is not asked", "POST", "ann", "?id=1", `{"decision":"granted","provider":"pigeon"}`, 409, "is not asked"},
		{"the first of two", "POST", "ann", "?id=1", `{"decision":"granted"}`, 200, `"consents"`},
		{"the same for both", "POST", "ann", "?id=1", `{"decision":"granted"}`, 409, "somebody else has to"},
		{"the second of two", "POST", "bob", "?id=" + name, `{"decision":"granted"}`, 200, `"decision":"granted"`},
	} {
		status, said := w.call(tt.method, tt.user, tt.query, tt.body)
		if said = strings.ReplaceAll(said, `\"`, `"`); status != tt.status || !strings.Contains(said, tt.want) {
			t.Errorf("%s: %d %s, want %d that says %q", tt.name, status, said, tt.status, tt.want)
		}
		if status >= 400 && !json.Valid([]byte(strings.ReplaceAll(said, `"`, ``))) && !strings.HasPrefix(said, `{"error":`) {
			t.Errorf("%s: %s is no problem", tt.name, said)
		}
	}
}

// TestDecisionsAtOnce: of two replicas of the receiver one decides.
func TestDecisionsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.post(approvals, asking("1"))
	first, r := true, w.pending("1")
	w.cluster.PrependReactor("update", "approvalrequests", func(clientgotesting.Action) (bool, runtime.Object, error) {
		if !first {
			return false, nil, nil
		}
		first = false // the other one is faster
		approval.Decide(r, v1alpha1.ApprovalDenied, "bob", "", now)
		if err := w.cluster.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("approvalrequests"), r, "team"); err != nil {
			t.Error(err)
		}
		return true, nil, apierrs.NewConflict(lambda.ApprovalRequestResource, r.Name, errors.New("changed"))
	})
	if status, said := w.decide("ann", "1", `{"decision":"granted"}`); status != http.StatusConflict || !strings.Contains(said, "was denied before, by bob") {
		t.Errorf("decision = %d %s", status, said)
	}
	if r := w.pending("1"); r.Status.Decision != v1alpha1.ApprovalDenied || len(w.audits) > 0 {
		t.Errorf("status = %+v, audits %v", r.Status, w.audits)
	}
}

// TestRequestRefusedWithoutCode: neither asking nor reading is possible without the
// agent's own code, and the answer does not depend on whether the agent exists.
func TestRequestRefusedWithoutCode(t *testing.T) {
	w := newWorld(t)
	foreign := at(receiverpath.Approvals, "missing")
	code := foreign[strings.LastIndex(foreign, "/")+1:]
	answers := map[string]bool{}
	for _, path := range []string{
		"/agents/team/bruno/approvals", "/agents/team/bruno/approvals/", "/agents/team/bruno/approvals/" + code, "/agents/team/missing/approvals", "/agents/other/bruno/approvals/" + code,
		"/agents/team/bruno/approvals/" + theKeys.Sign(receiverpath.Controls, "agent", "team", "bruno"), "/agents/_/bruno/approvals/x",
	} {
		status, _, said := w.post(path, asking("1"))
		read, text := w.get(path + "?id=1")
		if status != http.StatusForbidden || read != http.StatusForbidden {
			t.Errorf("%s: answers = %d and %d, want 403", path, status, read)
		}
		answers[said], answers[text] = true, true
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell paths apart: %v", answers)
	}
	all, err := w.cluster.LambdaV1alpha1().ApprovalRequests("team").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) > 0 {
		t.Errorf("requests = %v, %v, want none", all.Items, err)
	}
	r := newRequest(t, approvals, `{"specversion":"1.0","id":"1\u001b[2K","type":"`+events.ApprovalRequested+`","source":"/team/bruno","data":{"action":"x"}}`)
	if status, said := w.serve(r); status != http.StatusBadRequest || !strings.Contains(said, "attribute id has control characters") {
		t.Errorf("an id with an escape sequence: answer = %d %s, want 400 that names id", status, said)
	}
}
