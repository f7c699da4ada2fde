package plugin

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünï コード": "plain, ünï コード", "a\x1b[2K\rb": `a^[[2K\rb`, "x\x1b]0;owned\x07y": `x^[]0;owned\ay`, "two\nlines\tand": `two\nlines\tand`,
		"c1\u009b31m": `c1\u009b31m`, "abc\u202edef": `abc\u202edef`, "zero\u200bwidth": `zero\u200bwidth`, "bad\xff": `bad\xff`, "del\x7f": `del\u007f`, "ls\u2028": `ls\u2028`,
	} {
		if got := line(text); got != want {
			t.Errorf("line(%q) = %q, want %q", text, got, want)
		}
	}
	if got, want := block("two\nlines\t\x1b[1m"), "two\nlines\t^[[1m"; got != want {
		t.Errorf("block = %q, want %q", got, want)
	}
	var out bytes.Buffer
	if n, err := (escaping{&out}).Write([]byte("a\x1bb")); n != 3 || err != nil || out.String() != "a^[b" {
		t.Errorf("escaping wrote %d, %v, %q", n, err, out.String())
	}
	if onTerminal(&out) != &out {
		t.Error("what is no terminal is escaped")
	}
}

// hostile is text that would write to the terminal of those who read it.
const hostile = "x\x1b[2K\r\u009b31m\nforged line\x07\u202e"

// quiet fails if the output has control characters of others, and returns its lines.
func quiet(t *testing.T, output string) []string {
	t.Helper()
	if strings.ContainsAny(output, "\x1b\r\x07\u009b\u202e") {
		t.Errorf("the output writes to the terminal: %q", output)
	}
	return strings.Split(strings.TrimSpace(output), "\n")
}

// TestOutput_OfHostileText: whatever an event or a request says, it writes neither
// escape sequences nor lines of its own.
func TestOutput_OfHostileText(t *testing.T) {
	w := newWorld(t)
	e := event.New()
	e.SetID("id" + hostile)
	e.SetType("type" + hostile)
	e.SetSource("/source")
	e.SetSubject("subject" + hostile)
	e.SetExtension("lambdaerrorreason", "reason"+hostile)
	e.SetExtension("lambdaorigin", "origin"+hostile)
	if err := e.SetData("text/plain", []byte("data"+hostile)); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Publish(t.Context(), queue, &e); err != nil {
		t.Fatal(err)
	}
	r := asked()
	r.Name, r.Spec.ID, r.Spec.Action, r.Spec.Data = "hostile", "hostile", "action"+hostile, `{"a":"\u001b[2K"}`
	r.Status.DecidedBy, r.Status.Reason = "by"+hostile, "because"+hostile
	if _, err := w.cluster.LambdaV1alpha1().ApprovalRequests("team").Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		lines int // 0 is any number
		args  []string
	}{
		{2, []string{"dlq", "list", "greeter"}}, {0, []string{"dlq", "list", "greeter", "-o", "json"}}, {0, []string{"dlq", "list", "greeter", "-o", "yaml"}},
		{0, []string{"dlq", "show", "greeter", e.ID()}}, {2, []string{"dlq", "replay", "greeter", "--all"}},
		{3, []string{"approvals", "list", "bruno"}}, {0, []string{"approvals", "show", "bruno", "hostile"}}, {0, []string{"approvals", "list", "bruno", "-o", "json"}},
	} {
		err := w.run(tc.args...)
		if err != nil && tc.args[1] != "replay" {
			t.Errorf("%q: %v", tc.args, err)
		}
		if err != nil {
			quiet(t, Safe(err))
		}
		if got := quiet(t, w.out.String()); tc.lines > 0 && len(got) != tc.lines {
			t.Errorf("%q printed %d lines, want %d: %q", tc.args, len(got), tc.lines, got)
		}
	}
}
