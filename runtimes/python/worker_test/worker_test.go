// Package worker runs the Python worker's own tests, so that go test does.
package worker

import (
	"os/exec"
	"strings"
	"testing"
)

func TestPythonWorker(t *testing.T) {
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			t.Fatal("these tests need python3")
		}
	}
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1") // the worker's folder becomes part of images
	out, err := exec.CommandContext(t.Context(), python, "-W", "error", "-m", "unittest", "discover", "--verbose").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "... skipped") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
