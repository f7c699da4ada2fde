package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// servers are the files that may run an HTTP server by themselves, and why. All others
// use internal/httpserver, which bounds what a peer may take.
var servers = map[string]string{
	"internal/httpserver/httpserver.go": "is what the others use",
	"pkg/runtime/serve.go":              "is in function images and measured: it bounds connections, and the queue proxy in front has the timeouts",
	"pkg/runtime/telemetry.go":          "is in function images, which internal/httpserver is not: it sets the same timeouts and bounds connections",
	"internal/front/programapi.go":      "listens on loopback, for the one program that the runtime has started",
}

// serving are names of net/http that start a server.
var serving = []string{"Server", "ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"}

// TestServers: no file but those of the list starts an HTTP server of its own.
func TestServers(t *testing.T) {
	found := map[string]bool{}
	for _, below := range []string{"cmd", "internal", "pkg", "hack", "runtimes/go/build"} {
		err := filepath.WalkDir(filepath.Join(root, below), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				var of ast.Expr
				switch n := n.(type) {
				case *ast.CompositeLit:
					of = n.Type
				case *ast.CallExpr:
					of = n.Fun
				}
				if s, ok := of.(*ast.SelectorExpr); ok && slices.Contains(serving, s.Sel.Name) {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "http" {
						relative, _ := filepath.Rel(root, file)
						found[filepath.ToSlash(relative)] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for file := range found {
		if servers[file] == "" {
			t.Errorf("%s starts an HTTP server: use internal/httpserver, which bounds timeouts, connections and bytes in flight", file)
		}
	}
	for file := range servers {
		if !found[file] {
			t.Errorf("%s starts no HTTP server any more: remove it from the list", file)
		}
	}
}
