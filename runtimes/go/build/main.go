// Command build makes the program of a function in Go: the function's source, a
// main that calls lambda.Start, and the runtime's own source beside it. It runs
// in the build of the function's image and uses nothing but the standard library.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/runtimes/go/layout"
)

const (
	sdkModule = "github.com/brunovlucena/knative-lambda-operator"
	// mainFolder is where the program is written, below the source.
	mainFolder = "lambda-main"
	// mainFile is its name where it has to be in the handler's own package.
	mainFile = "zz_lambda_main.go"
)

func main() {
	var b builder
	flag.StringVar(&b.source, "source", "/lambda/source", "the function's files, which may be changed")
	flag.StringVar(&b.sdk, "sdk", "/lambda/sdk", "the runtime's source")
	flag.StringVar(&b.handler, "handler", "Handler", "the function or variable that is the handler, [<folder>.]<Name>")
	flag.StringVar(&b.out, "out", "/lambda/runtime", "the program to write")
	flag.Parse()
	if err := b.build(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		os.Exit(1)
	}
}

// errSaid is a failure of which the go command has said everything.
var errSaid = errors.New("what is wrong has been said")

type builder struct{ source, sdk, handler, out string }

func (b *builder) build() error {
	handler, err := layout.Find(b.source, b.handler)
	if err != nil {
		return err
	}
	module, err := b.module()
	if err != nil {
		return err
	}
	file, text := program(module, handler)
	if err := os.MkdirAll(filepath.Join(b.source, filepath.Dir(file)), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.source, file), []byte(text), 0o600); err != nil {
		return err
	}
	return b.run("build", "-trimpath", "-ldflags=-s -w", "-o", b.out, "./"+path.Dir(file))
}

// program is the file of the main function and its text. A package main cannot be
// imported, so there it is one of the handler's own files.
func program(module string, h *layout.Handler) (file, text string) {
	if h.Package == "main" {
		return path.Join(h.Folder, mainFile), fmt.Sprintf("package main\n\nimport %q\n\nfunc main() { lambda.Start(%s) }\n", sdkModule+"/pkg/lambda", h.Name)
	}
	return mainFolder + "/main.go", fmt.Sprintf("package main\n\nimport (\n\tfunction %q\n\n\t%q\n)\n\nfunc main() { lambda.Start(function.%s) }\n",
		path.Join(module, h.Folder), sdkModule+"/pkg/lambda", h.Name)
}

var (
	moduleLine  = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
	versionLine = regexp.MustCompile(`(?m)^go\s+(\d+)\.(\d+)(\.\d+)?`)
)

// module makes the source a module, unless it is one, that finds the runtime beside
// it, and returns its path.
func (b *builder) module() (string, error) {
	file := filepath.Join(b.source, "go.mod")
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte("module function\n")
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return "", err
	}
	found := moduleLine.FindSubmatch(text)
	if found == nil {
		return "", errors.New("go.mod: there is no module line; expected one such as module example.com/function")
	}
	sdk, err := os.ReadFile(filepath.Join(b.sdk, "go.mod"))
	if err != nil {
		return "", err
	}
	edits := []string{"mod", "edit", "-require=" + sdkModule + "@v0.0.0", "-replace=" + sdkModule + "=" + b.sdk}
	if least := versionLine.Find(sdk); version(text) < version(sdk) {
		edits = append(edits, "-go="+strings.Fields(string(least))[1])
	}
	if err := b.run(edits...); err != nil {
		return "", err
	}
	return string(found[1]), b.sums()
}

// version is the minor one of the go line: 25 for go 1.25.0.
func version(mod []byte) int {
	found := versionLine.FindSubmatch(mod)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(string(found[2]))
	if err != nil {
		return 0
	}
	return n
}

// sums adds the checksums of what the runtime needs to the function's.
func (b *builder) sums() error {
	more, err := os.ReadFile(filepath.Join(b.sdk, "go.sum"))
	if err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(b.source, "go.sum"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(own) > 0 && own[len(own)-1] != '\n' {
		own = append(own, '\n')
	}
	return os.WriteFile(filepath.Join(b.source, "go.sum"), append(own, more...), 0o600)
}

// run runs the go command in the source.
func (b *builder) run(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = b.source
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// A static program, from this compiler and these files, whatever else the
	// source brings along.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-mod=mod")
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errSaid
	}
	return err
}
