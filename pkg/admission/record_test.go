package admission

import (
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/grant"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestRecord: only the operator writes the record of withdrawn permissions. Users restore
// by an annotation, and only what they hold.
func TestRecord(t *testing.T) {
	had := stored(t, with(all), withdrawn(lost))
	restore := func(text string) option { return annotated(lambda.RestoreAnnotationKey, text) }
	restored := stored(t, with(all), withdrawn(lost), restore("*"))
	unreadable := stored(t, with(all), withdrawn("{"))
	for _, tt := range []struct {
		name      string
		write     write
		want      string // empty is admitted
		warning   string
		withdrawn string // of the agent then, in order
		reviews   int32
	}{
		{"a user adds an entry", write{user: "admin", old: stored(t, with(all)), new: changed(stored(t, with(all)), withdrawn(lost))}, "is written by the operator only", "", "", 0},
		{"a user changes one", write{user: "admin", old: had, new: changed(had, withdrawn(lostUntil))}, "is written by the operator only", "", "", 0},
		{"a user takes it off", write{user: "admin", old: had, new: changed(had, withdrawn(""))}, "", "is kept: only the operator writes this annotation; to restore permissions, set the annotation lambda.knative.io/restore", "brokers functions triggers", 0},
		{"a user leaves it", write{user: "tenant", old: had, new: changed(had, image)}, "", "", "brokers functions triggers", 0},
		{"a user restores one", write{user: "editor", old: had, new: changed(had, restore("triggers"))}, "", "", "brokers functions", 7},
		{"a user restores all", write{user: "admin", old: had, new: changed(had, restore("*"))}, "", "", "", 28},
		{"a user restores what they do not hold", write{user: "tenant", old: had, new: changed(had, restore("triggers"))}, `metadata.annotations[lambda.knative.io/restore]: restores the right to create, get, list, watch, update, patch, delete triggers.eventing.knative.dev in namespace "team", which user "tenant" does not hold: leave triggers out, or ask a user who holds it`, "", "", 7},
		{"a user restores what is none", write{user: "admin", old: had, new: changed(had, restore("pods"))}, `expected brokers, triggers and functions, separated by commas, or *, got "pods"`, "", "", 0},
		{"what was restored once is not restored again", write{user: "admin", old: restored, new: changed(restored, image)}, "", "", "brokers functions triggers", 0},
		{"a record that is over is no gain", write{user: "tenant", old: stored(t, with(all), withdrawn(over)), new: changed(stored(t, with(all), withdrawn(over)), restore("*"))}, "", "", "", 0},
		{"a record that nobody can read, in part", write{user: "admin", old: unreadable, new: changed(unreadable, restore("triggers"))}, "expected *", "", "", 0},
		{"a record that nobody can read", write{user: "admin", old: unreadable, new: changed(unreadable, restore("*"))}, "", "", "", 28},
		{"the receiver withdraws", write{user: receiver, old: stored(t, with(all)), new: changed(stored(t, with(all)), withdrawn(lost))}, "", "", "brokers functions triggers", 0},
		{"the receiver restores what an event withdrew", write{user: receiver, old: had, new: changed(had, withdrawn(""))}, "", "", "", 0},
		{"the controller removes what is over", write{user: operator, old: stored(t, with(all), withdrawn(over)), new: changed(stored(t, with(all)), withdrawn(""))}, "", "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.write.admit(t)
			if (got.message == "") != (tt.want == "") || !strings.Contains(got.message, tt.want) {
				t.Fatalf("said %q, want %q", got.message, tt.want)
			}
			if (got.warnings == "") != (tt.warning == "") || !strings.Contains(got.warnings, tt.warning) {
				t.Errorf("warned %q, want %q", got.warnings, tt.warning)
			}
			if got.reviews != tt.reviews {
				t.Errorf("%d access reviews, want %d", got.reviews, tt.reviews)
			}
			if got.stored == nil {
				return
			}
			w, err := got.stored.Withdrawals()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range w.Permissions {
				names = append(names, p.Permission)
			}
			if is := strings.Join(names, " "); is != tt.withdrawn {
				t.Errorf("withdrawn: %q, want %q", is, tt.withdrawn)
			}
			if _, ok := grant.Verify(testKeys(t).Newest(), got.stored); !ok {
				t.Error("the agent has no proof for the controller any more")
			}
			// The webhook is called again if a later one changes the object.
			again := write{user: tt.write.user, old: tt.write.old, new: got.stored}.admit(t)
			if again.message != "" || again.stored.Annotations[lambda.WithdrawnAnnotationKey] != got.stored.Annotations[lambda.WithdrawnAnnotationKey] {
				t.Errorf("a second call: %q, record %q", again.message, again.stored.Annotations)
			}
		})
	}
}

// TestProofStays: a change that concerns no permission does not change the proof.
func TestProofStays(t *testing.T) {
	old := stored(t, with(triggers))
	got := write{user: "tenant", old: old, new: changed(old, labelled)}.admit(t)
	if a, b := old.Annotations[lambda.VerifiedAnnotationKey], got.stored.Annotations[lambda.VerifiedAnnotationKey]; a != b {
		t.Errorf("the proof was %s, and is %s", a, b)
	}
}

// TestTold: users do not write what the lifecycle sink was told.
func TestTold(t *testing.T) {
	told := func(text string) option { return annotated(lambda.ToldAnnotationKey, text) }
	for _, tt := range []struct {
		name, user    string
		old, new      *v1alpha1.LambdaAgent
		want, warning string
	}{
		{"a new agent", "admin", nil, agent(told("x")), "", "lambda.knative.io/told]: the value is ignored"},
		{"another value", "admin", stored(t, told("x")), stored(t, told("y")), "x", "lambda.knative.io/told]: the value is ignored"},
		{"taken off", "admin", stored(t, told("x")), stored(t), "x", ""},
		{"the controller", operator, stored(t, told("x")), stored(t, told("y")), "y", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := write{user: tt.user, old: tt.old, new: tt.new}.admit(t)
			if is := got.stored.Annotations[lambda.ToldAnnotationKey]; is != tt.want || (got.warnings == "") != (tt.warning == "") || !strings.Contains(got.warnings, tt.warning) {
				t.Errorf("annotation %q, want %q; warnings %q, want %q", is, tt.want, got.warnings, tt.warning)
			}
		})
	}
}
