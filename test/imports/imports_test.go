// Package imports holds the rules of who may import whom:
//
//	cmd → reconciler → {resources, internal} → {source, build, events, apis}
package imports

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"knative.dev/pkg/depcheck"
)

const (
	module = "github.com/brunovlucena/knative-lambda-operator"
	root   = "../.."
)

// clients are packages by which one talks to an API server, or lives in a
// controller's process. Code without them can be linked into anything.
var clients = []string{
	module + "/pkg/client",
	"k8s.io/client-go",
	"knative.dev/eventing/pkg/client", "knative.dev/serving/pkg/client", "knative.dev/eventing-rabbitmq/pkg/client",
	"knative.dev/pkg/client", "knative.dev/pkg/controller", "knative.dev/pkg/injection", "knative.dev/pkg/reconciler",
	"sigs.k8s.io/controller-runtime",
}

// upper are the layers above the pure packages.
var upper = []string{module + "/cmd", module + "/pkg/reconciler"}

// rules of direct imports. They hold for a package and all below it; since each
// layer is closed under them, they hold for what is imported indirectly too, as far
// as it is this module's.
var rules = []struct {
	packages []string
	banned   []string
	why      string
}{{
	[]string{"pkg/apis"},
	append([]string{module + "/pkg/build", module + "/pkg/events", module + "/pkg/registry", module + "/pkg/runtime", module + "/pkg/source"}, append(upper, clients...)...),
	"whoever writes a client of the API imports the types, and nothing else by it",
}, {
	[]string{"pkg/build", "pkg/events", "pkg/registry", "pkg/runtime", "pkg/source"},
	append(upper, clients...),
	"what knows of no cluster runs in a build pod and in function images as well",
}, {
	[]string{"pkg/metrics"},
	[]string{"github.com", "go.opentelemetry.io/otel/sdk", "k8s.io", "knative.dev"},
	"functions in Go are linked with it",
}, {
	[]string{"pkg/reconciler/lambdafunction/resources", "pkg/reconciler/lambdaagent/resources", "pkg/reconciler/internal/eventing/resources"},
	append([]string{"context", "k8s.io/utils/clock", "math/rand", "net", "os"}, clients...),
	"makers are pure: no context, client, clock or chance",
}, {
	[]string{"pkg/reconciler/lambdafunction"}, []string{module + "/pkg/reconciler/lambdaagent"},
	"the two reconcilers do not know each other",
}, {
	[]string{"pkg/reconciler/lambdaagent"}, []string{module + "/pkg/reconciler/lambdafunction"},
	"the two reconcilers do not know each other",
}, {
	[]string{"pkg/reconciler/internal"}, []string{module + "/pkg/reconciler/lambdaagent", module + "/pkg/reconciler/lambdafunction"},
	"what reconcilers share knows none of them",
}, {
	[]string{"pkg/plugin", "cmd/kubectl-lambda"}, []string{module + "/pkg/receiver"},
	"a client of the receiver needs its paths and types only, which are in pkg/apis/receiver/v1",
}, {
	[]string{"pkg"}, []string{module + "/cmd", module + "/test", module + "/hack"},
	"programs and tests use packages, not the other way round",
}}

func TestDirectImports(t *testing.T) {
	for _, rule := range rules {
		for _, top := range rule.packages {
			checked := 0
			for _, dir := range packagesBelow(t, top) {
				checked++
				for _, imported := range directImports(t, dir) {
					if i := slices.IndexFunc(rule.banned, func(b string) bool { return within(imported, b) }); i >= 0 {
						t.Errorf("%s imports %s: %s", dir, imported, rule.why)
					}
				}
			}
			if checked == 0 {
				t.Errorf("there are no packages in %s: the rule checks nothing", top)
			}
		}
	}
}

func within(imported, top string) bool {
	return imported == top || strings.HasPrefix(imported, top+"/")
}

// packagesBelow are the folders with Go files, by their paths in the module.
func packagesBelow(t *testing.T, top string) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, top), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		files, err := filepath.Glob(filepath.Join(p, "*.go"))
		if len(files) > 0 {
			relative, _ := filepath.Rel(root, p)
			dirs = append(dirs, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// directImports of a package, without those of its tests.
func directImports(t *testing.T, dir string) []string {
	t.Helper()
	p, err := build.Default.ImportDir(filepath.Join(root, dir), 0)
	var onlyTests *build.NoGoError
	if err != nil && !errors.As(err, &onlyTests) {
		t.Fatal(err)
	}
	return p.Imports
}

// TestReceiverTypes: clients of the receiver import its types, and nothing else by it.
func TestReceiverTypes(t *testing.T) {
	for _, imported := range directImports(t, "pkg/apis/receiver/v1") {
		domain, _, _ := strings.Cut(imported, "/")
		if strings.Contains(domain, ".") && imported != module+"/pkg/apis/lambda/v1alpha1" {
			t.Errorf("pkg/apis/receiver/v1 imports %s: expected the standard library and v1alpha1 only", imported)
		}
	}
}

// TestMakersHaveNoClock: the package time is for durations there.
func TestMakersHaveNoClock(t *testing.T) {
	clock := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
	for _, top := range []string{"pkg/reconciler/lambdafunction/resources", "pkg/reconciler/lambdaagent/resources", "pkg/build", "pkg/apis"} {
		for _, dir := range packagesBelow(t, top) {
			for name, call := range callsOf(t, dir, "time") {
				if slices.Contains(clock, call) {
					t.Errorf("%s calls time.%s: the time comes from the reconciler", name, call)
				}
			}
		}
	}
}

// TestEventsAreReadByCeio: the CloudEvents SDK panics on some malformed events.
func TestEventsAreReadByCeio(t *testing.T) {
	for _, top := range []string{"cmd", "internal", "pkg"} {
		for _, dir := range packagesBelow(t, top) {
			for name, call := range callsOf(t, dir, "binding") {
				if call == "ToEvent" && dir != "internal/ceio" {
					t.Errorf("%s calls binding.ToEvent: use internal/ceio", name)
				}
			}
		}
	}
}

// callsOf are what the package's files take from another, by position.
func callsOf(t *testing.T, dir, from string) map[string]string {
	t.Helper()
	calls := map[string]string{}
	files, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, f := range files {
		if path.Ext(f.Name()) != ".go" || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(set, filepath.Join(root, dir, f.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == from {
					calls[set.Position(s.Pos()).String()] = s.Sel.Name
				}
			}
			return true
		})
	}
	return calls
}

// TestDependencies looks through other modules as well: what would be linked.
func TestDependencies(t *testing.T) {
	inAController := []string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/rest", "k8s.io/client-go/tools/cache", "knative.dev/pkg/controller", "knative.dev/pkg/injection"}
	ours := []string{module + "/pkg/client/clientset/versioned", module + "/pkg/client/injection/client", module + "/pkg/reconciler/internal/child"}
	depcheck.AssertNoDependency(t, map[string][]string{
		module + "/pkg/apis/lambda": inAController,
		module + "/pkg/apis/config": inAController,
		// The filters of Knative Eventing's Triggers bring its clients with them.
		module + "/pkg/apis/lambda/v1alpha1": append(ours, module+"/pkg/build", module+"/pkg/source"),
		// What starts with a function's container, or with a build, is small.
		module + "/cmd/runtime": append(inAController, module+"/pkg/apis/lambda/v1alpha1", "k8s.io/api/core/v1"),
		// A client of the receiver links none of what the receiver is made of.
		module + "/cmd/kubectl-lambda":            {"github.com/rabbitmq/amqp091-go", "knative.dev/eventing-rabbitmq/third_party/pkg/client/clientset/versioned"},
		module + "/cmd/builder":                   append(inAController, module+"/pkg/apis/lambda/v1alpha1"),
		module + "/pkg/reconciler/lambdafunction": {module + "/pkg/reconciler/lambdaagent", module + "/pkg/reconciler/lambdaagent/resources"},
		module + "/pkg/reconciler/lambdaagent":    {module + "/pkg/reconciler/lambdafunction", module + "/pkg/reconciler/lambdafunction/resources"},
	})
}
