package contract

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/internal/front"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// shell is the language that config/samples/language-shell adds. Its worker is what
// the sample's Dockerfile writes.
func shell(code string) *language {
	return &language{name: "shell", invoker: func(t *testing.T, s *settings, logs io.Writer) runtime.Invoker {
		t.Helper()
		if _, err := exec.LookPath("curl"); err != nil {
			t.Fatal("these tests need curl")
		}
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "main.sh"), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		pool := front.New(&runtime.PoolConfig{Handler: "main.sh", TaskRoot: root, Command: []string{"/bin/sh", shellWorker(t)}, Protocol: "aws-lambda", Workers: 2, Concurrency: 2, Exclusive: true, Queue: 100,
			Timeout: s.timeout, StartTimeout: patience, MaxBody: s.MaxBody}, s.telemetry, logs, logs)
		t.Cleanup(pool.Close)
		return pool
	}}
}

// shellWorker runs the step of the Dockerfile that writes the worker, into a folder
// of the test.
func shellWorker(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../config/samples/language-shell/config-runtimes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cm corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &cm); err != nil {
		t.Fatal(err)
	}
	runtimes, err := config.NewRuntimesFromConfigMap(&cm)
	if err != nil {
		t.Fatal(err)
	}
	step := regexp.MustCompile(`(?s)\nRUN (.*?[^\\])\n`).FindStringSubmatch(runtimes.Languages["shell"].Dockerfile)
	if step == nil {
		t.Fatal("the Dockerfile has no step")
	}
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.ReplaceAll(step[1], "/lambda/worker", dir))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "worker.sh")
}

// TestShell: a language needs no more than configuration.
func TestShell(t *testing.T) {
	f := start(t, shell(`
event=$(cat)
case $event in
  '"fail"') echo "no luck" >&2; exit 1 ;;
  '"for good"') echo "never" >&2; exit 65 ;;
  '"nothing"') ;;
  '"slow"') exec sleep 60 ;;
  *) printf '{"got": %s}' "$event" ;;
esac
`), func(s *settings) { s.timeout = 2 * time.Second })
	for _, tt := range []struct {
		body   string
		status int
		want   any
	}{
		{`{"a": 1}`, 200, map[string]any{"got": map[string]any{"a": 1.0}}},
		{`"nothing"`, 204, nil},
		{`"fail"`, 500, map[string]any{"type": "ExitStatus", "message": "no luck\n", "permanent": false}},
		{`"for good"`, 422, map[string]any{"type": "PermanentError", "message": "never\n", "permanent": true}},
		{`"slow"`, 504, map[string]any{"type": "Timeout", "message": "the handler took too long: more than 2s (spec.runtime.timeout)", "permanent": false}},
		{`2`, 200, map[string]any{"got": 2.0}},
	} {
		got := f.sendJSON(t, tt.body)
		if diff := cmp.Diff(tt.want, got.value()); diff != "" || got.status != tt.status {
			t.Errorf("%s is answered with %d, want %d (-want, +got):\n%s", tt.body, got.status, tt.status, diff)
		}
	}
	event := f.sendEvent(t, `"x"`).fields()
	if event["type"] != "io.knative.lambda.response.success" || event["causationid"] != "id-1" {
		t.Errorf("an event is answered with %v", event)
	}
}

func TestShellWithoutItsHandler(t *testing.T) {
	telemetry, err := runtime.StartTelemetry(t.Context(), &runtime.Config{}, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	pool := front.New(&runtime.PoolConfig{Handler: "main.sh", TaskRoot: t.TempDir(), Command: []string{"/bin/sh", shellWorker(t)}, Protocol: "aws-lambda", Workers: 1, Concurrency: 1, Exclusive: true,
		Timeout: patience, StartTimeout: patience, MaxBody: 1 << 20}, telemetry, io.Discard, io.Discard)
	defer pool.Close()
	select {
	case err := <-pool.Failed():
		if want := "HandlerNotFound: the source has no file main.sh; set spec.runtime.handler"; err.Error() != want {
			t.Errorf("failed with %v, want %s", err, want)
		}
	case <-time.After(patience):
		t.Error("it did not fail in time")
	}
}
