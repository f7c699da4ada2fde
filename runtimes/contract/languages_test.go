package contract

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/front"
	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	handler "github.com/brunovlucena/knative-lambda-operator/runtimes/contract/testdata/go"
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
	// shared workers have many calls at once, by protocol 2.
	shared bool
	// linked functions run in the front's own process: a crash would end it, its
	// streams are not the function's alone, and its errors have no stack.
	linked bool
	// noBytes: data is JSON and nothing else.
	noBytes bool
}

var languages = []*language{
	{name: "python", shared: true, failure: "ValueError", exit: "SystemExit", unwritable: "type dict that cannot be written as JSON", file: "main.py",
		notJSON: "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
		invoker: workers("main.handler", interpreter("/usr/bin/python3", "python3"), "-u", "../python/worker/worker.py")},
	{name: "nodejs", shared: true, failure: "TypeError", exit: "ProcessExit", unwritable: "type Object that cannot be written as JSON", file: "index.js",
		notJSON: "JSON", invoker: workers("index.handler", interpreter("node"), "../nodejs/worker/worker.js")},
	{name: "go", failure: "error", exit: "panic", unwritable: "type map[string]interface {} that cannot be written as JSON", file: "handler.go",
		notJSON: "invalid character 'b' looking for beginning of object key string", invoker: linked, linked: true},
	{name: "provided", failure: "ValueError", notJSON: "invalid character 'b' looking for beginning of object key string", file: "main.go", noBytes: true,
		invoker: workers("any", program)},
}

// program builds the one of runtimes/provided, a module of its own.
func program(t testing.TB) string {
	t.Helper()
	path, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(temporary, "program")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = "../provided/worker_test/program"
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// temporary is a folder for all tests.
var temporary string

func TestMain(m *testing.M) {
	var err error
	if temporary, err = os.MkdirTemp("", "contract-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(temporary)
	os.Exit(code)
}

// linked runs a handler in this process, as the program of a function does.
func linked(t *testing.T, s *settings, logs io.Writer) runtime.Invoker {
	t.Helper()
	logger := runtime.NewLogger(&s.Config, logs)
	invoker, err := lambda.NewInvoker(handler.Handler, runtime.Limits{Timeout: s.timeout, Concurrency: 100}, s.Function, s.Namespace, logger.With("logger", "function"))
	if err != nil {
		t.Fatal(err)
	}
	return invoker
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

// workers runs a handler in worker processes: of the program that is the last of
// args, or where there are none of a whole program for AWS Lambda.
func workers(handler string, program func(testing.TB) string, args ...string) func(*testing.T, *settings, io.Writer) runtime.Invoker {
	return func(t *testing.T, s *settings, logs io.Writer) runtime.Invoker {
		t.Helper()
		t.Setenv("PYTHONDONTWRITEBYTECODE", "1") // the worker's folder becomes part of images
		cfg := &runtime.PoolConfig{Handler: handler, TaskRoot: t.TempDir(), Command: append([]string{program(t)}, args...), Workers: 2, Queue: 100,
			Timeout: s.timeout, StartTimeout: patience, MaxBody: s.MaxBody, Function: s.Function, Namespace: s.Namespace}
		if len(args) == 0 {
			cfg.Protocol, cfg.Concurrency, cfg.Exclusive = runtime.ProtocolAWS, cfg.Workers, true
		} else {
			var err, rootErr error
			cfg.Command[len(args)], err = filepath.Abs(args[len(args)-1])
			cfg.TaskRoot, rootErr = filepath.Abs(filepath.Join("testdata", s.language.name))
			if err := errors.Join(err, rootErr); err != nil {
				t.Fatal(err)
			}
		}
		if s.language.shared {
			cfg.Protocol, cfg.Concurrency = runtime.ProtocolFrames2, 100
		}
		pool := newPool(cfg, s.telemetry, logs)
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

// pool of workers, of either protocol.
type pool interface {
	runtime.Invoker
	Close()
	Failed() <-chan error
}

func newPool(cfg *runtime.PoolConfig, telemetry *runtime.Telemetry, logs io.Writer) pool {
	if cfg.Protocol == runtime.ProtocolFrames2 || cfg.Protocol == runtime.ProtocolAWS {
		return front.New(cfg, telemetry, logs, logs)
	}
	return runtime.NewPool(cfg, telemetry, logs, logs)
}
