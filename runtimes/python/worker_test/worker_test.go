// Package worker runs the Python worker's own tests, so that go test does.
package worker

import (
	"os/exec"
	"strings"
	"testing"
)

func TestPythonWorker(t *testing.T) {
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1") // the worker's folder becomes part of images
	out, err := exec.CommandContext(t.Context(), python(t), "-W", "error", "-m", "unittest", "discover", "--verbose").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "... skipped") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// python is the interpreter that these tests run.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("these tests need python3")
	return ""
}
