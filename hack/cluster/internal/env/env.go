// Package env is what the parts of the local cluster have in common: where they
// keep what, how they build, run and wait, and how they tell a person.
package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Names and addresses of the local cluster. They are its own: nothing outside of
// them is touched.
const (
	Bridge       = "klambda0"
	BridgeIP     = "10.241.0.1"
	BridgeCIDR   = "10.241.0.1/22"
	PodCIDR      = "10.241.0.0/22"
	ServiceCIDR  = "10.242.0.0/16"
	ServiceIP    = "10.242.0.1"
	NodeName     = "knative-lambda"
	Cgroup       = "knative-lambda"
	Registry     = BridgeIP + ":5000"
	APIServer    = "https://" + BridgeIP + ":16443"
	BaseImage    = Registry + "/base:latest"
	defaultState = "/var/lib/knative-lambda-cluster"
)

// Env is the local cluster's place on this machine.
type Env struct {
	// Root of the repository.
	Root string
	// Dir holds everything; Run is removed by down, Cache is kept.
	Dir, Run, Cache string
	// With are the parts that were asked for by name.
	With map[string]bool

	out   io.Writer
	start time.Time
	mu    sync.Mutex
	build sync.Mutex
	apt   sync.Mutex
	once  sync.Map // key → *sync.Mutex
}

// New finds the repository's root and the state directory.
func New(out io.Writer, with []string) (*Env, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("run this inside the repository: %w", err)
	}
	dir := os.Getenv("LAMBDA_CLUSTER_DIR")
	if dir == "" {
		dir = defaultState
	}
	e := &Env{Root: strings.TrimSpace(string(root)), Dir: dir, Run: filepath.Join(dir, "run"), Cache: filepath.Join(dir, "cache"),
		With: map[string]bool{}, out: out, start: time.Now()}
	for _, w := range with {
		e.With[w] = true
	}
	return e, nil
}

// Kubeconfig of the cluster's administrator.
func (e *Env) Kubeconfig() string { return e.Path("kubeconfig") }

// Path below Run.
func (e *Env) Path(parts ...string) string {
	return filepath.Join(append([]string{e.Run}, parts...)...)
}

// Log file of a process.
func (e *Env) Log(name string) string { return e.Path("logs", name+".log") }

// Say tells a person one line.
func (e *Env) Say(part, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.out, "%6.1fs  %-12s %s\n", time.Since(e.start).Seconds(), part, fmt.Sprintf(format, args...))
}

// Write writes a file below Run.
func (e *Env) Write(name, content string) error {
	path := e.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}

// Command runs a program to its end; the error carries what it said.
func (e *Env) Command(ctx context.Context, dir string, extraEnv []string, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, stdin
	cmd.Env = append(os.Environ(), extraEnv...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		if len(said) > 2000 {
			said = "…" + said[len(said)-2000:]
		}
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args[:min(len(args), 4)], " "), err, said)
	}
	return stdout.String(), nil
}

// Wait asks until the condition holds, ctx ends or the limit is over; asking
// costs little here and nothing would call back.
func (e *Env) Wait(ctx context.Context, part, what string, limit time.Duration, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said := time.Now()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		var ended *EndedError
		if errors.As(err, &ended) {
			return err
		}
		if time.Since(said) > 10*time.Second {
			e.Say(part, "still waiting for %s: %s", what, firstLine(err))
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come within %v: %w; logs: %s", what, limit, err, e.Path("logs"))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
