package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// languages of blocks. What is to be typed is console, and tests run it; sh is for what
// only a reader's own machine or cluster can do.
var languages = []string{"console", "sh", "yaml", "json", "python", "js", "go", "text", "mermaid", "promql", "dockerfile"}

// notRun says why blocks of sh are not run by the tests, by document.
var notRun = map[string]string{
	"README.md":              "the commands that run all of this, and those for a cluster with another registry",
	"CONTRIBUTING.md":        "the commands that CI runs",
	"docs/kubectl-lambda.md": "it installs into the reader's PATH what the test has built",
	"docs/gitops.md":         "test/ops runs them with a kubectl that notes what it is asked",
	"docs/load-tests.md":     "TestK6 runs the scripts; the rest needs the k6-operator",
	"docs/operations.md":     "it rotates the keys that other tests use",
	"docs/local-cluster.md":  "they bring up and take down the cluster that the tests run on",
	"docs/monitoring.md":     "TestMonitoring installs no Prometheus operator, which it needs",
	"docs/releases.md":       "test/ops runs it with a ko that notes what it is asked",
	"docs/upgrades.md":       "it installs over what the tests use; hack/upgrade-test.sh runs it",
}

func TestSteps(t *testing.T) {
	lines := strings.Split("# A\n<!-- run: true -->\n```yaml\n# a.yaml\nkind: A\n```\n```console\n$ kubectl apply -f a.yaml\n$ for a in b; do\n    echo $a\n  done\nb\n…\n```\n```sh\nmake\n```", "\n")
	got, err := Steps(lines)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Line: 2, Command: "true"},
		{Line: 3, File: "a.yaml", Text: "# a.yaml\nkind: A\n"},
		{Line: 8, Command: "kubectl apply -f a.yaml"},
		{Line: 9, Command: "for a in b; do\n    echo $a\n  done", Prints: []string{"b", "…"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("steps (-want, +got):", diff)
	}
	if err := got[3].Check("a\nb c\n"); err != nil {
		t.Error(err)
	}
	if err := got[3].Check("a b\n"); err == nil {
		t.Error("a line that is not printed is not missed")
	}
	if _, err := Steps([]string{"```yaml"}); err == nil {
		t.Error("a block without an end is none")
	}
}

// TestBlocks: each block says what it is, and what is to be typed is run by the tests or
// says why not.
func TestBlocks(t *testing.T) {
	each(t, func(t *testing.T, name string, lines []string) {
		blocks, err := Blocks(lines)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			switch {
			case !slices.Contains(languages, b.Language):
				t.Errorf("%s:%d: the block's language is %q, want one of %v", name, b.Line, b.Language, languages)
			case b.Language == "console" && !strings.HasPrefix(b.Text, "$ "):
				t.Errorf("%s:%d: a block of console begins with a command after \"$ \"", name, b.Line)
			case b.Language == "sh" && notRun[name] == "":
				t.Errorf("%s:%d: nothing runs these commands: make it console", name, b.Line)
			}
		}
	})
}

var (
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	markup = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinks: each link inside the repository leads somewhere.
func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, name string, lines []string) {
		for i, line := range lines {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, ":") {
					continue
				}
				path := filepath.Join(root, filepath.Dir(name), target)
				if target == "" {
					path = filepath.Join(root, name)
				}
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s:%d: %s: %v", name, i+1, m[1], err)
				} else if anchor != "" && !slices.Contains(anchors(t, path), anchor) {
					t.Errorf("%s:%d: %s: no such heading", name, i+1, m[1])
				}
			}
		}
	})
}

// anchors of a document's headings, as GitHub makes them.
func anchors(t *testing.T, path string) (all []string) {
	t.Helper()
	lines, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			all = append(all, strings.ReplaceAll(markup.ReplaceAllString(strings.ToLower(heading), ""), " ", "-"))
		}
	}
	return all
}

// TestReasons: each reason that a condition may have is in the troubleshooting.
func TestReasons(t *testing.T) {
	lines, err := Read(filepath.Join(root, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	reasons := reasons(t)
	if len(reasons) < 60 {
		t.Fatalf("%d reasons: they are not found where they are", len(reasons))
	}
	// A layer that needs a pod is built in one: nobody sees the reason.
	delete(reasons, "layer.ReasonNeedsPod")
	for name, reason := range reasons {
		if !strings.Contains(text, "`"+reason+"`") {
			t.Errorf("docs/troubleshooting.md does not say what to do about %s (%s)", reason, name)
		}
	}
}

// reasons are the constants of the product whose names begin with Reason.
func reasons(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, "pkg"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range v.Names {
				if !strings.HasPrefix(name.Name, "Reason") || i >= len(v.Values) {
					continue
				}
				if b, ok := v.Values[i].(*ast.BasicLit); ok && b.Kind == token.STRING {
					if text, err := strconv.Unquote(b.Value); err == nil {
						all[f.Name.Name+"."+name.Name] = text
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// each document, by its path from the root.
func each(t *testing.T, check func(t *testing.T, name string, lines []string)) {
	t.Helper()
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 15 {
		t.Fatalf("%d documents: they are not found where they are", len(files))
	}
	for _, path := range files {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		check(t, name, lines)
	}
}
