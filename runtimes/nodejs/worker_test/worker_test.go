// Package worker runs the Node.js worker's own tests, so that go test does.
package worker

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestNodeWorker(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("these tests need node")
	}
	files, err := filepath.Glob("*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no tests", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "# SKIP") {
			t.Log(line)
		}
	}
}
