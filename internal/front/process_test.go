package front

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// runWorker is a worker in a process of its own. The path of a call says what it does.
func runWorker() {
	d := inherited()
	d.handle = func(c *call) {
		switch c.Path {
		case "/exit":
			os.Exit(3)
		case "/exit-well":
			os.Exit(0)
		case "/kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "/answer":
			c.result("answered")
			os.Exit(0)
		case "/close":
			c.conn.Close()
			return
		case "/child": // which leaves the group
			child := exec.Command("sleep", "3600")
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			_ = child.Start()
			c.result(fmt.Sprint(child.Process.Pid))
			return
		case "/orphans":
			_ = exec.Command("sh", "-c", "true & true & true &").Run()
		case "/wait":
			for _, err := os.Stat(string(c.body)); err != nil; _, err = os.Stat(string(c.body)) {
				time.Sleep(time.Millisecond)
			}
		}
		c.result(fmt.Sprint(os.Getpid()))
	}
	d.serve()
	if path := os.Getenv("FRONT_TEST_ENDED"); path != "" {
		_ = os.WriteFile(path, nil, 0o600)
	}
}

// inProcesses makes workers processes of their own.
func inProcesses(t *testing.T) func(*setup) {
	t.Setenv("FRONT_TEST_WORKER", "1")
	return func(s *setup) {
		s.Command, s.launch = []string{os.Args[0]}, startProcess
	}
}

func TestProcesses(t *testing.T) {
	f := serve(t, nil, inProcesses(t), func(s *setup) { s.Workers = 2 })
	eventually(t, "two workers", func() bool { return f.pool.count(f.pool.accepting) == 2 })
	open := filepath.Join(t.TempDir(), "open")
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.post(t, "/wait", open); got.status != 200 {
			t.Errorf("the call in flight beside the deaths is answered with %+v", got)
		}
	})
	eventually(t, "the call", func() bool { return f.pool.count(f.pool.calls) == 1 })
	for path, cause := range map[string]string{
		"/exit":      "exit status 3",
		"/exit-well": "it exited with status 0",
		"/kill":      "it was killed, most likely because the container ran out of memory (spec.resources.limits.memory)",
		"/close":     "it closed a connection",
	} {
		eventually(t, "two workers", func() bool { return f.pool.count(f.pool.accepting) == 2 })
		got := f.post(t, path, "")
		if want := `{"type":"WorkerDied","message":"the worker process died while it handled the request: ` + cause; got.status != 500 || !strings.HasPrefix(got.body, want) {
			t.Errorf("%s is answered with %+v, want %s", path, got, cause)
		}
	}
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// TestLastAnswers: what a worker has answered reaches the client, however soon it ends.
func TestLastAnswers(t *testing.T) {
	f := serve(t, nil, inProcesses(t))
	var last *worker
	for range 4 {
		eventually(t, "a worker", func() bool {
			return f.pool.count(func() int {
				if len(f.pool.workers) == 0 || f.pool.workers[0] == last {
					return 0
				}
				last = f.pool.workers[0]
				return 1
			}) == 1
		})
		if got := f.post(t, "/answer", ""); got.body != "answered" {
			t.Fatalf("answered %+v", got)
		}
	}
}

// TestEndOfProcesses: a worker may end by itself, and what it has started ends with it.
func TestEndOfProcesses(t *testing.T) {
	ended := filepath.Join(t.TempDir(), "ended")
	t.Setenv("FRONT_TEST_ENDED", ended)
	f := serve(t, nil, inProcesses(t))
	pid := f.post(t, "/child", "").body
	f.pool.Close()
	if _, err := os.Stat(ended); err != nil {
		t.Errorf("the worker did not end by itself: %v", err)
	}
	eventually(t, "the end of the worker's child", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestWorkersThatDoNotStart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*setup)
		want   string
	}{
		{"version 1", func(s *setup) { s.ready.Protocol = 0 }, "the worker speaks version 1 of the protocol, expected 2: name protocol frames in config-runtimes"},
		{"failed", func(s *setup) { s.ready = protocol.Control{Kind: protocol.Failed, Message: "no module"} }, "no module"},
		{"another kind", func(s *setup) { s.ready.Kind = "hello" }, `the worker's first frame is "hello", expected "ready" or "failed"`},
		{"no command", func(s *setup) { s.Command, s.launch = []string{"/no/such/worker"}, startProcess }, "cannot start the worker: fork/exec /no/such/worker: no such file or directory"},
		{"ends at once", func(s *setup) { s.Command, s.launch = []string{"/bin/sh", "-c", "exit 7"}, startProcess }, `the worker ended while it loaded handler "h": exit status 7`},
		{"never ends", func(s *setup) {
			s.Command, s.launch, s.StartTimeout = []string{"/bin/sleep", "3600"}, startProcess, 50*time.Millisecond
		}, `handler "h" was not loaded within 50ms: do less when the module is imported`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, nil, tt.change)
			select {
			case err := <-f.pool.Failed():
				if err.Error() != tt.want {
					t.Errorf("failed with %v, want %s", err, tt.want)
				}
			case <-time.After(patience):
				t.Fatal("the pool did not fail")
			}
		})
	}
}

func TestCloseWhileTheHandlerIsLoaded(t *testing.T) {
	f := serve(t, nil, func(s *setup) { s.Command, s.launch = []string{"/bin/sleep", "3600"}, startProcess })
	began := time.Now()
	f.pool.Close()
	if d := time.Since(began); d > patience/2 {
		t.Errorf("it took %v", d)
	}
}
