package security

import (
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/brunovlucena/knative-lambda-operator/"

// dials finds code that connects to something by itself. Comments are not searched.
var dials = regexp.MustCompile(`\bhttp\.(Client\{|Transport\{|DefaultClient|DefaultTransport|Get\(|Head\(|Post\(|PostForm\()|\bnet\.Dial|\btls\.(Dial|Client\()|\bremote\.DefaultTransport|\bwebsocket\.Dial|\bgrpc\.(Dial|NewClient)`)

// mayDial are the files that dial without internal/egress, each with the reason.
var mayDial = map[string]string{
	"internal/egress/client.go": "the guarded client itself",
	"internal/egress/dialer.go": "the guarded dialer itself",
	"pkg/modelproxy/server.go":  "runs in the agent's own pod; the operator imports its configuration",
	"pkg/runtime/sink.go":       "runs in the function's own pod; the operator imports its configuration",
}

// TestOneEgress: what is linked into the controller, the event plane, the receiver, the
// webhook, the builder and the setup of RabbitMQ connects to nothing but through
// internal/egress, so that no address is dialled unchecked. The model proxy, the runtime
// and kubectl-lambda run with the rights and on the network of their users, and are not
// covered.
func TestOneEgress(t *testing.T) {
	seen, used := map[string]bool{}, map[string]bool{}
	for _, program := range []string{"cmd/broker", "cmd/controller", "cmd/receiver", "cmd/webhook", "cmd/builder", "cmd/rabbitmq-setup"} {
		visit(t, program, seen, used)
	}
	if len(seen) < 20 {
		t.Errorf("only %d packages were searched", len(seen))
	}
	for file := range mayDial {
		if !used[file] {
			t.Errorf("%s dials nothing: remove it from the list", file)
		}
	}
}

// visit a package of this module and those that it imports.
func visit(t *testing.T, dir string, seen, used map[string]bool) {
	t.Helper()
	if seen[dir] {
		return
	}
	seen[dir] = true
	p, err := build.Default.ImportDir(filepath.Join("../..", dir), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.GoFiles {
		file := filepath.ToSlash(filepath.Join(dir, name))
		if found := dials.FindString(code(t, filepath.Join("../..", file))); found != "" {
			used[file] = true
			if mayDial[file] == "" {
				t.Errorf("%s uses %s: connect through internal/egress", file, strings.TrimRight(found, "({"))
			}
		}
	}
	for _, imported := range p.Imports {
		if inside, ok := strings.CutPrefix(imported, module); ok {
			visit(t, inside, seen, used)
		}
	}
}

// code of a file without its comments.
func code(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range parsed.Comments {
		for i := files.Position(group.Pos()).Offset; i < files.Position(group.End()).Offset; i++ {
			text[i] = ' '
		}
	}
	return string(text)
}
