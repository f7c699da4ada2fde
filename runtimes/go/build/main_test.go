package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/brunovlucena/knative-lambda-operator/pkg/lambda" // a change of it is one of what is tested
	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// TestMain lets the tests run this program as a process of its own, and downloads
// what the runtime needs: a fresh machine has only what this project's other packages
// needed to compile.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_MAIN") != "" {
		main()
		return
	}
	for _, module := range []string{"../sdk", frameworks} {
		download := exec.Command("go", "mod", "download")
		download.Dir, download.Env = module, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if out, err := download.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go mod download: %v\n%s", err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// make builds a function from files, without a network, and returns the program
// and what the build said.
func makeProgram(t *testing.T, handler string, files map[string]string) (program, said string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sdk, err := filepath.Abs("../sdk")
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "runtime")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-source", dir, "-sdk", sdk, "-handler", handler, "-out", program)
	cmd.Env = append(os.Environ(), "TEST_RUN_MAIN=1", "GOPROXY=off", "GOFLAGS=-mod=vendor") // which the program has to undo
	out, err := cmd.CombinedOutput()
	return program, string(out), err
}

func TestPrograms(t *testing.T) {
	const handler = `package function

import "context"

type Greeting struct{ Name string }

func Handler(_ context.Context, g Greeting) (map[string]string, error) {
	return map[string]string{"message": "Hello " + g.Name}, nil
}
`
	for name, tt := range map[string]struct {
		handler string
		files   map[string]string
	}{
		"inline":       {"Handler", map[string]string{"handler.go": handler}},
		"package main": {"Handler", map[string]string{"main.go": strings.Replace(handler, "package function", "package main", 1)}},
		"own module with the runtime's types": {"api/v1.Handle", map[string]string{
			"go.mod":                  "module example.com/shop\n\ngo 1.21\n\nrequire github.com/google/uuid v1.6.0\n",
			"go.sum":                  "github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\ngithub.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=",
			"api/v1/api.go":           "package v1\n\nimport (\n\t\"example.com/shop/internal/words\"\n\t\"github.com/brunovlucena/knative-lambda-operator/pkg/lambda\"\n\t\"github.com/google/uuid\"\n)\n\nfunc Handle(in struct{ Name string }) (any, error) {\n\tif uuid.NewString() == \"\" {\n\t\treturn nil, lambda.Permanent(nil)\n\t}\n\treturn words.Greet(in.Name), nil\n}\n",
			"internal/words/words.go": "package words\n\nfunc Greet(name string) map[string]string { return map[string]string{\"message\": \"Hello \" + name} }\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, said, err := makeProgram(t, tt.handler, tt.files)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if got, want := call(t, program), `200 {"message":"Hello Ada"}`; got != want {
				t.Errorf("answered %s, want %s", got, want)
			}
		})
	}
}

// call runs the program and posts a request to it.
func call(t *testing.T, program string) string {
	t.Helper()
	p := run(t, program)
	defer p.stop(t)
	return post(t, p.url, `{"name": "Ada"}`)
}

// running is the program of a function.
type running struct {
	cmd *exec.Cmd
	url string
}

// run starts a program and waits until it is ready.
func run(t *testing.T, program string, env ...string) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)
	p := &running{cmd: exec.CommandContext(t.Context(), program), url: "http://" + address}
	p.cmd.Env = append(os.Environ(), append([]string{"PORT=" + port, "LAMBDA_METRICS=false", "LAMBDA_DRAIN_TIMEOUT=10ms"}, env...)...)
	p.cmd.Stderr = &bytes.Buffer{}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(p.url + config.ReadyPath)
		if err == nil {
			response.Body.Close()
			return p
		}
		if time.Now().After(deadline) {
			_ = p.cmd.Process.Kill()
			t.Fatal(err)
		}
	}
}

// stop ends it, as Kubernetes does.
func (p *running) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v\n%s", err, p.cmd.Stderr)
	}
}

func TestSourcesThatCannotBeBuilt(t *testing.T) {
	const good = "package function\n\nfunc Handler() {}\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"syntax":             {map[string]string{"handler.go": "package function\n\nfunc Handler( {\n"}, "error: handler.go:3:15: expected ')', found '{'"},
		"type error":         {map[string]string{"handler.go": good + "\nvar x int = \"text\"\n"}, "./handler.go:5:13: cannot use \"text\""},
		"no handler":         {map[string]string{"handler.go": "package function\n"}, `error: handler "Handler" not found`},
		"missing dependency": {map[string]string{"handler.go": "package function\n\nimport _ \"example.com/none\"\n\nfunc Handler() {}\n"}, "handler.go:3:8: "},
		"malformed go.mod":   {map[string]string{"handler.go": good, "go.mod": "module x\nnonsense\n"}, "go.mod:2: unknown directive: nonsense"},
		"go.mod of nothing":  {map[string]string{"handler.go": good, "go.mod": "go 1.25\n"}, "error: go.mod: there is no module line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, said, err := makeProgram(t, "Handler", tt.files)
			if err == nil || !strings.Contains(said, tt.want) {
				t.Errorf("ended with %v and said\n%s\nwant %s", err, said, tt.want)
			}
			t.Log(said)
		})
	}
}
