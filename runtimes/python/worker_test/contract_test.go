package worker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/contract"
)

// TestContract runs the vectors of all languages through the runtime itself: status,
// headers and bodies of replies, as clients see them.
func TestContract(t *testing.T) {
	program := filepath.Join(t.TempDir(), "runtime")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/runtime").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, tt := range []struct {
		handler string
		env     []string
	}{
		{"handler", nil},
		{"async_handler", nil},
		{"handler", []string{"LAMBDA_ISOLATION=exclusive"}},
		{"async_handler", []string{"LAMBDA_ISOLATION=exclusive"}},
	} {
		t.Run(strings.Join(append([]string{tt.handler}, tt.env...), " "), func(t *testing.T) {
			contract.Run(t, serve(t, program, tt.handler, tt.env...))
		})
	}
}

// serve starts the runtime with a handler of testdata/contract and returns its URL.
func serve(t *testing.T, program, handler string, env ...string) string {
	t.Helper()
	root, err := filepath.Abs("testdata/contract")
	if err != nil {
		t.Fatal(err)
	}
	worker, err := filepath.Abs("../worker/worker.py")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "PORT="+address[strings.LastIndex(address, ":")+1:], "LAMBDA_METRICS=false", "LAMBDA_WORKER_PROTOCOL=frames-2",
		"LAMBDA_HANDLER=main."+handler, "LAMBDA_TASK_ROOT="+root, fmt.Sprintf("LAMBDA_WORKER_COMMAND=[%q,%q,%q]", python(t), "-u", worker), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	awaitReady(t, "http://"+address)
	return "http://" + address
}

func awaitReady(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/none", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(r); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusNoContent {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the function does not answer")
}
