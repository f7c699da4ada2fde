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
	var files []string
	for _, pattern := range []string{"*.test.js", "v1/*.test.js"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no tests match %s: %v", pattern, err)
		}
		files = append(files, found...)
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
