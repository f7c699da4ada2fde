package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

// TestMain lets the tests run this program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the command over the code as main.py, and its address.
func program(t *testing.T, code string, environment ...string) (cmd *exec.Cmd, address string, stderr *bytes.Buffer) {
	t.Helper()
	worker, err := filepath.Abs("kodata/python/worker.py") // through the link, as images have it
	if err != nil {
		t.Fatal(err)
	}
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	stderr = &bytes.Buffer{}
	cmd.Stderr = stderr
	cmd.WaitDelay = patience
	cmd.Env = append(os.Environ(), append([]string{"TEST_RUN_MAIN=1", "PYTHONDONTWRITEBYTECODE=1", "PORT=" + port, "LAMBDA_METRICS=false", "LAMBDA_HANDLER=main.handler", "LAMBDA_TASK_ROOT=" + dir,
		fmt.Sprintf(`LAMBDA_WORKER_COMMAND=[%q, "-u", %q]`, python, worker), "LAMBDA_TERMINATION_LOG=" + filepath.Join(dir, "termination-log")}, environment...)...)
	return cmd, address, stderr
}

func lastLine(b *bytes.Buffer) string {
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	return lines[len(lines)-1]
}

func TestAFunctionThatCannotBeLoadedSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name, code, environment, want string
	}{
		{"handler", "print('some output')\ndef handler(event, context): pass\n", "LAMBDA_HANDLER=main.handlr",
			`handler "main.handlr" not found: module "main" defines handler; set spec.runtime.handler`},
		{"syntax", "def handler(event, context):\n    return (\n", "", `cannot import "main": SyntaxError: '(' was never closed (main.py, line 2)`},
		{"configuration", "", "LAMBDA_TIMEOUT=soon", `LAMBDA_TIMEOUT: expected a duration above zero such as 30s, got "soon"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, _, stderr := program(t, tt.code, tt.environment)
			log := filepath.Join(t.TempDir(), "termination-log")
			cmd.Env = append(cmd.Env, "LAMBDA_TERMINATION_LOG="+log)
			if err := os.WriteFile(log, []byte("what was there before, and is longer than what comes "+strings.Repeat(".", 200)), 0o600); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v, expected exit code 1", err)
			}
			if got := lastLine(stderr); got != tt.want {
				t.Errorf("the last line is %s\nexpected %s", got, tt.want)
			}
			if got, err := os.ReadFile(log); err != nil || strings.TrimSpace(string(got)) != tt.want {
				t.Errorf("the termination message is %q, %v\nexpected %s", got, err, tt.want)
			}
		})
	}
}

func TestNoTerminationLogIsMade(t *testing.T) {
	cmd, _, _ := program(t, "", "LAMBDA_HANDLER=main.handler")
	if err := cmd.Run(); err == nil {
		t.Error("code without a handler runs")
	}
	for _, e := range cmd.Env {
		if path, ok := strings.CutPrefix(e, "LAMBDA_TERMINATION_LOG="); ok {
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s was made outside of Kubernetes (%v)", path, err)
			}
		}
	}
}

func post(address, body string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Post("http://"+address, "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	line, _ := bufio.NewReader(response.Body).ReadString('\n')
	return response.Status + " " + line, nil
}

func TestDrainsOnSIGTERM(t *testing.T) {
	dir := t.TempDir()
	started, until, ended := filepath.Join(dir, "started"), filepath.Join(dir, "until"), filepath.Join(dir, "ended")
	cmd, address, stderr := program(t, fmt.Sprintf(`
import atexit, os, time
def handler(event, context):
    if event == "wait":
        open(%q, "w").close()
        while not os.path.exists(%q): time.sleep(0.001)
    return os.getpid()
@atexit.register
def end():
    open(%q, "w").close()
`, started, until, ended), "LAMBDA_DRAIN_TIMEOUT=15s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid string
	eventually(t, "the first answer", func() (err error) { pid, err = post(address, `"quick"`); return err })

	inFlight := make(chan string, 1)
	go func() {
		got, err := post(address, `"wait"`)
		inFlight <- fmt.Sprint(got, err)
	}()
	eventually(t, "the call", func() error { _, err := os.Stat(started); return err })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got, err := post(address, `"quick"`); err != nil || !strings.HasPrefix(got, "200") {
		t.Errorf("a request just after SIGTERM is answered with %s, %v", got, err)
	}
	eventually(t, "the listener to close", func() error {
		if _, err := post(address, `"quick"`); err == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-inFlight; !strings.HasPrefix(got, "200") {
		t.Errorf("the request in flight is answered with %s", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, stderr)
	}
	if _, err := os.Stat(ended); err != nil {
		t.Error("the worker was not left to end by itself")
	}
	number, err := strconv.Atoi(strings.Fields(pid)[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(number, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the worker %d is still there (%v)", number, err)
	}
}

func TestDrainTimeoutIsKept(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	cmd, address, stderr := program(t, fmt.Sprintf("import time\ndef handler(event, context):\n    open(%q, 'w').close()\n    time.sleep(3600)\n", started), "LAMBDA_DRAIN_TIMEOUT=500ms")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the runtime to listen", func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	go func() { _, _ = post(address, ``) }() // is cut off
	eventually(t, "the call", func() error { _, err := os.Stat(started); return err })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, stderr)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
	if !strings.Contains(stderr.String(), "requests were cut off") {
		t.Errorf("nothing tells of the request that was cut off:\n%s", stderr)
	}
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}
