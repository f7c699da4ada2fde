package env

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testEnv(t *testing.T, with ...string) *Env {
	t.Helper()
	t.Setenv("LAMBDA_CLUSTER_DIR", t.TempDir())
	e, err := New(io.Discard, with)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDocumentsLeaveOutWhatHoldsNoObject(t *testing.T) {
	const text = `# License
---
apiVersion: v1
kind: Namespace
---
# kind: Commented
---
kind: ConfigMap
data:
  text: |
    ---
    kind: Inner
---
`
	want := []string{"apiVersion: v1\nkind: Namespace", "kind: ConfigMap\ndata:\n  text: |\n    ---\n    kind: Inner"}
	if diff := cmp.Diff(want, Documents(text)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, Documents(Join(want))); diff != "" {
		t.Errorf("joined and parted again: %s", diff)
	}
}

func TestOptionalPartsAreRememberedUntilDown(t *testing.T) {
	e := testEnv(t, "minio")
	parts := []Part{{Name: "a"}, {Name: "b", With: "minio"}, {Name: "c", With: "eventing"}}
	if err := e.switchOn(parts); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		with map[string]bool
		want map[string]bool
	}{
		{"asked for nothing", map[string]bool{}, map[string]bool{"minio": true}},
		{"asked for another", map[string]bool{"eventing": true}, map[string]bool{"minio": true, "eventing": true}},
		{"asked for nothing again", map[string]bool{}, map[string]bool{"minio": true, "eventing": true}},
	} {
		e.With = step.with
		if err := e.switchOn(parts); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, e.With); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

func TestUnknownOptionalPartIsRefusedWithWhatThereIs(t *testing.T) {
	e := testEnv(t, "kafka")
	err := e.switchOn([]Part{{Name: "b", With: "minio"}, {Name: "c", With: "eventing"}})
	const want = `there is no optional part "kafka", only eventing, minio`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := os.Stat(e.Path(remembered)); err == nil {
		t.Error("it was remembered")
	}
}

func TestSecretsStayAndDiffer(t *testing.T) {
	e := testEnv(t)
	secret := func(name string) string {
		s, err := e.Secret(name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := secret("minio")
	if len(first) != 32 || secret("minio") != first || secret("rabbitmq") == first {
		t.Errorf("%q, then %q, and another %q", first, secret("minio"), secret("rabbitmq"))
	}
	info, err := os.Stat(e.Path("secrets", "minio"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
}

func TestExportsAreThoseOfAllParts(t *testing.T) {
	e := testEnv(t)
	if got := e.Exports(); got != nil {
		t.Errorf("before any part: %v", got)
	}
	for part, variables := range map[string][]string{"rabbitmq": {"C=3"}, "minio": {"A=1", "B=2"}} {
		if err := e.Export(part, variables...); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"A=1", "B=2", "C=3"}, e.Exports()); diff != "" {
		t.Error(diff)
	}
}

func TestListensTellsAnEndedProcessFromOneThatIsNotYetThere(t *testing.T) {
	e := testEnv(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const want = "sleeper"
	if err := e.Start(Process{Name: want, Args: []string{"sleep", "60"}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Listens(t.Context(), want, l.Addr().String()); err != nil {
		t.Errorf("while it listens: %v", err)
	}
	for _, r := range e.Records() {
		r.End()
	}
	err = e.Listens(t.Context(), want, l.Addr().String())
	var ended *EndedError
	if !errors.As(err, &ended) || ended.Name != want {
		t.Errorf("after its end: %v", err)
	}
}

func TestRestartIsAnotherProcessOfTheSameCommand(t *testing.T) {
	e := testEnv(t)
	if err := e.Restart("sleeper"); err == nil {
		t.Error("a process that was never started was started again")
	}
	if err := e.Start(Process{Name: "sleeper", Args: []string{"sleep", "60"}, Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	before := e.Records()[0]
	if err := e.Restart("sleeper"); err != nil {
		t.Fatal(err)
	}
	after := e.Records()[0]
	defer after.End()
	if before.Alive() || !after.Alive() {
		t.Errorf("alive: the old one %v, the new one %v", before.Alive(), after.Alive())
	}
	if diff := cmp.Diff([]any{before.Name, before.Args, before.Env, before.Dir}, []any{after.Name, after.Args, after.Env, after.Dir}); diff != "" {
		t.Error(diff)
	}
}

func TestSweepRemovesWhatAKilledRunLeft(t *testing.T) {
	e := testEnv(t)
	left, err := e.Temp("left")
	if err != nil {
		t.Fatal(err)
	}
	mounted := os.Geteuid() == 0
	if mounted {
		if err := syscall.Mount("tmpfs", left, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(left+"/file", nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of what was left (a mount: %v) = %v", mounted, err)
	}
	if err := e.Sweep(); err != nil {
		t.Errorf("sweeping where nothing is = %v", err)
	}
}

// state of a process, as the kernel has it.
func state(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return rest[:1]
}

// awaitState: a signal takes effect a little later.
func awaitState(t *testing.T, pid int, want string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); state(t, pid) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("state of the process = %s, want %s", state(t, pid), want)
		}
	}
}

func TestPauseAndStop(t *testing.T) {
	e := testEnv(t)
	for what, do := range map[string]func(string) error{"pause": e.Pause, "resume": e.Resume, "stop": e.Stop, "start": e.StartAgain} {
		if err := do("sleeper"); err == nil || err.Error() != `there is no process "sleeper"` {
			t.Errorf("%s of what was never started = %v", what, err)
		}
	}
	if err := e.Start(Process{Name: "sleeper", Args: []string{"sleep", "60"}}); err != nil {
		t.Fatal(err)
	}
	first := e.Records()[0]
	defer func() { e.Records()[0].End() }()
	if err := e.Pause("sleeper"); err != nil {
		t.Fatal(err)
	}
	awaitState(t, first.PID, "T")
	if err := e.Resume("sleeper"); err != nil {
		t.Fatal(err)
	}
	awaitState(t, first.PID, "S")

	if err := e.Stop("sleeper"); err != nil || first.Alive() {
		t.Errorf("Stop() = %v; alive afterwards: %v", err, first.Alive())
	}
	if err := e.Pause("sleeper"); err == nil || err.Error() != "sleeper does not run" {
		t.Errorf("Pause() of what was stopped = %v", err)
	}
	if err := e.StartAgain("sleeper"); err != nil {
		t.Fatal(err)
	}
	again := e.Records()[0]
	if diff := cmp.Diff(first.Args, again.Args); diff != "" || again.PID == first.PID || !again.Alive() {
		t.Errorf("started again: alive %v, arguments (-before, +after): %s", again.Alive(), diff)
	}
}
