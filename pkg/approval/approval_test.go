package approval

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func agent(approval *v1alpha1.ApprovalSpec) *v1alpha1.LambdaAgent {
	return &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "uid"}, Spec: v1alpha1.LambdaAgentSpec{Approval: approval}}
}

func request(all bool) *v1alpha1.ApprovalRequest {
	a := agent(&v1alpha1.ApprovalSpec{Providers: []v1alpha1.ApprovalProvider{"slack", "custom"}, RequireAll: all, Timeout: v1alpha1.NewDuration(time.Minute), TimeoutAction: "deny"})
	return New(a, "1", &events.ApprovalRequest{Action: "reboot"}, []byte(`{"action":"reboot"}`), 2, now)
}

// TestCast: the votes are cast one after the other; the request is then as wanted.
func TestCast(t *testing.T) {
	grant := func(by string, p v1alpha1.ApprovalProvider) Vote {
		return Vote{Decision: "granted", By: by, Provider: p}
	}
	deny := Vote{Decision: "denied", By: "bob", Reason: "no"}
	for _, tt := range []struct {
		name     string
		all      bool
		votes    []Vote
		late     bool
		decision v1alpha1.ApprovalDecision
		by       string
		refused  bool // the last of the votes
	}{
		{name: "one grants", votes: []Vote{grant("ann", "")}, decision: "granted", by: "ann"},
		{name: "one denies", votes: []Vote{deny}, decision: "denied", by: "bob"},
		{name: "the first stands", votes: []Vote{grant("ann", ""), deny}, decision: "granted", by: "ann", refused: true},
		{name: "one of two is not enough", all: true, votes: []Vote{grant("ann", "")}},
		{name: "two are", all: true, votes: []Vote{grant("ann", ""), grant("bob", "")}, decision: "granted", by: "bob"},
		{name: "two are, in any order", all: true, votes: []Vote{grant("ann", "custom"), grant("bob", "")}, decision: "granted", by: "bob"},
		{name: "not twice the same", all: true, votes: []Vote{grant("ann", ""), grant("ann", "")}, refused: true},
		{name: "said again", all: true, votes: []Vote{grant("ann", "slack"), grant("ann", "slack")}},
		{name: "for another's provider", all: true, votes: []Vote{grant("ann", "slack"), grant("bob", "slack")}, refused: true},
		{name: "one denial is enough", all: true, votes: []Vote{grant("ann", ""), deny}, decision: "denied", by: "bob"},
		{name: "a provider that is not asked", votes: []Vote{grant("ann", "pigeon")}, refused: true},
		{name: "too late", late: true, votes: []Vote{grant("ann", "")}, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, at := request(tt.all), now
			if tt.late {
				at = r.Spec.Deadline.Time
			}
			var err error
			for i, v := range tt.votes {
				if err = Cast(r, v, at); err != nil && i < len(tt.votes)-1 {
					t.Fatal(err)
				}
			}
			if (err != nil) != tt.refused {
				t.Errorf("the last vote: %v", err)
			}
			var decided *DecidedError
			if err != nil && !errors.Is(err, ErrVote) && !errors.As(err, &decided) {
				t.Errorf("%v is neither that the vote cannot be taken nor that it was decided", err)
			}
			if r.Status.Decision != tt.decision || r.Status.DecidedBy != tt.by {
				t.Errorf("decided: %q by %q, want %q by %q", r.Status.Decision, r.Status.DecidedBy, tt.decision, tt.by)
			}
		})
	}
}

// TestNames: an event that comes again is the same request; of an agent that was made
// anew it is another.
func TestNames(t *testing.T) {
	a, anew := agent(nil), agent(nil)
	anew.UID = "another"
	if Name(a, "1") != Name(a.DeepCopy(), "1") || Name(a, "1") == Name(a, "2") || Name(a, "1") == Name(anew, "1") {
		t.Errorf("names = %s, %s, %s", Name(a, "1"), Name(a, "2"), Name(anew, "1"))
	}
}

func TestEvent(t *testing.T) {
	r := request(false)
	Decide(r, v1alpha1.ApprovalGranted, "ann", "go", now)
	e, err := Event("team", "bruno", Outcome(r), r.Spec.Hops, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	again, err := Event("team", "bruno", Outcome(r), r.Spec.Hops, now)
	if err != nil || again.ID() != e.ID() {
		t.Errorf("made again it has the id %s, then %s, %v", e.ID(), again.ID(), err)
	}
	got := []any{e.Type(), e.Source(), e.Subject(), e.Extensions()["causationid"], e.Extensions()["lambdahops"]}
	want := []any{"io.knative.lambda.approval.granted", "io.knative.lambda/receiver/team/bruno", "team/bruno", "1", int32(3)}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	var o events.ApprovalOutcome
	if err := e.DataAs(&o); err != nil || o.Request != "1" || len(o.Digest) != 64 || o.Decision != "granted" || o.Reason != "go" {
		t.Errorf("data = %+v, %v", o, err)
	}
}
