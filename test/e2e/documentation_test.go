//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/docs"
)

// TestDocumentation does what the documentation tells readers to do, each document in a
// namespace and a folder of its own.
func TestDocumentation(t *testing.T) { // not in parallel: samples have namespaces of their own
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files, err := docs.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "kubectl-lambda"), "./cmd/kubectl-lambda")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, file := range files {
		lines, err := docs.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := docs.Steps(lines)
		if err != nil {
			t.Fatal(err)
		}
		if len(steps) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".md"), func(t *testing.T) {
			t.Parallel()
			follow(t, root, bin, steps)
		})
	}
}

// follow a document's steps with the repository's files at hand.
func follow(t *testing.T, root, bin string, steps []docs.Step) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	dir := t.TempDir()
	for _, shown := range []string{"config", "test"} {
		if err := os.Symlink(filepath.Join(root, shown), filepath.Join(dir, shown)); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "KUBECONFIG="+kubeconfigOf(t, dir, namespace), "PATH="+bin+":"+os.Getenv("PATH"), "NAMESPACE="+namespace)
	for _, s := range steps {
		if s.File != "" {
			if err := os.WriteFile(filepath.Join(dir, s.File), []byte(s.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		try := func() error {
			printed, err := bash(ctx, dir, env, s.Command)
			if err != nil {
				return fmt.Errorf("line %d: %s\n%w: %s", s.Line, s.Command, err, printed)
			}
			return s.Check(printed)
		}
		limit := time.Duration(0)
		if strings.Contains(s.Command, "lambda invoke") {
			limit = test.Takeover // a reader types later than that
		}
		if err := test.Retry(limit, try); err != nil {
			t.Fatal(err)
		}
	}
}

// bash runs a command as a reader would, and returns all that it prints: of a pipe,
// what its end prints tells whether all of it went well.
func bash(ctx context.Context, dir string, env []string, command string) (string, error) {
	var printed bytes.Buffer
	c := exec.CommandContext(ctx, "bash", "-eu", "-c", command)
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, env, &printed, &printed
	err := c.Run()
	return printed.String(), err
}

// kubeconfigOf the tests, with another default namespace.
func kubeconfigOf(t *testing.T, dir, namespace string) string {
	t.Helper()
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		t.Fatal(err)
	}
	current, ok := config.Contexts[config.CurrentContext]
	if !ok {
		t.Fatal(fmt.Errorf("the kubeconfig has no context %q", config.CurrentContext))
	}
	current.Namespace = namespace
	path := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
