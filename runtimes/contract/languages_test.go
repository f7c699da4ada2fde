package contract

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// language is one under test: how its handler runs, and in which words it tells
// errors.
type language struct {
	name string
	// invoker starts the handler in testdata/<name>; its log goes to logs.
	invoker func(t *testing.T, s *settings, logs io.Writer) runtime.Invoker
	// failure, exit and unwritable name the types of these errors; empty where the
	// language has no such thing.
	failure, exit, unwritable string
	// notJSON and notText are how messages about malformed bodies end.
	notJSON string
	// file that a stack trace names.
	file string
	// linked functions run in the front's own process, which a crash would end.
	linked bool
}

var languages = []*language{
	{name: "python", failure: "ValueError", exit: "SystemExit", unwritable: "type dict that cannot be written as JSON", file: "main.py",
		notJSON: "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
		invoker: workers("main.handler", interpreter("/usr/bin/python3", "python3"), "-u", "../python/worker/worker.py")},
	{name: "nodejs", failure: "TypeError", exit: "ProcessExit", unwritable: "type Object that cannot be written as JSON", file: "index.js",
		notJSON: "JSON", invoker: workers("index.handler", interpreter("node"), "../nodejs/worker/worker.js")},
}

// interpreter is the first of the programs that is there.
func interpreter(names ...string) func(testing.TB) string {
	return func(t testing.TB) string {
		t.Helper()
		for _, name := range names {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		t.Fatalf("these tests need %s", names[len(names)-1])
		return ""
	}
}

// workers runs a handler in worker processes.
func workers(handler string, program func(testing.TB) string, args ...string) func(*testing.T, *settings, io.Writer) runtime.Invoker {
	return func(t *testing.T, s *settings, logs io.Writer) runtime.Invoker {
		t.Helper()
		t.Setenv("PYTHONDONTWRITEBYTECODE", "1") // the worker's folder becomes part of images
		command := append([]string{program(t)}, args...)
		worker, err := filepath.Abs(args[len(args)-1])
		if err != nil {
			t.Fatal(err)
		}
		command[len(command)-1] = worker
		root, err := filepath.Abs(filepath.Join("testdata", s.language.name))
		if err != nil {
			t.Fatal(err)
		}
		pool := runtime.NewPool(&runtime.PoolConfig{Handler: handler, TaskRoot: root, Command: command, Workers: 2, Queue: 100,
			Timeout: s.timeout, StartTimeout: patience, MaxBody: s.MaxBody}, s.telemetry, logs, logs)
		t.Cleanup(pool.Close)
		deadline := time.After(patience)
		for !pool.Ready() {
			select {
			case err := <-pool.Failed():
				t.Fatal(err)
			case <-deadline:
				t.Fatal("the handler was not loaded in time")
			case <-time.After(time.Millisecond):
			}
		}
		return pool
	}
}
