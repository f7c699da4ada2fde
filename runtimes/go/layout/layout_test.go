package layout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	const good = "package function\n\nfunc Handler() {}\n"
	for name, tt := range map[string]struct {
		files   map[string]string
		handler string
		want    *Handler
		err     string
	}{
		"function":           {map[string]string{"handler.go": good}, "Handler", &Handler{Package: "function", Name: "Handler"}, ""},
		"variable":           {map[string]string{"handler.go": "package x\n\nvar Handler = func() {}\n"}, "Handler", &Handler{Package: "x", Name: "Handler"}, ""},
		"folder":             {map[string]string{"a/b/x.go": good}, "a/b.Handler", &Handler{Folder: "a/b", Package: "function", Name: "Handler"}, ""},
		"main without main":  {map[string]string{"main.go": "package main\n\nfunc Handler() {}\n"}, "Handler", &Handler{Package: "main", Name: "Handler"}, ""},
		"tests are no files": {map[string]string{"x.go": good, "x_test.go": "package function_test\n"}, "Handler", &Handler{Package: "function", Name: "Handler"}, ""},
		"other platforms":    {map[string]string{"x.go": good, "x_windows.go": "package other\n", "y.go": "//go:build ignore\n\npackage main\n"}, "Handler", &Handler{Package: "function", Name: "Handler"}, ""},
		"not there": {map[string]string{"x.go": good + "func Hello() {}\nfunc hidden() {}\nfunc (t) Method() {}\n"}, "Handlr", nil,
			`handler "Handlr" not found: package function has Handler, Hello; set spec.runtime.handler`},
		"nothing exported": {map[string]string{"x.go": "package function\n"}, "Handler", nil, `handler "Handler" not found: package function has no exported function or variable; set spec.runtime.handler`},
		"not exported":     {map[string]string{"x.go": good}, "handler", nil, `handler "handler": expected an exported function or variable such as Handler, or folder.Handler; set spec.runtime.handler`},
		"no Go":            {map[string]string{"x.py": ""}, "Handler", nil, `handler "Handler": no Go file in the source; set spec.runtime.handler`},
		"no such folder":   {map[string]string{"x.go": good}, "lib.Handler", nil, `handler "lib.Handler": no Go file in the source's folder lib; set spec.runtime.handler`},
		"outside":          {map[string]string{"x.go": good}, "../x.Handler", nil, `handler "../x.Handler": expected an exported function or variable such as Handler, or folder.Handler; set spec.runtime.handler`},
		"two packages":     {map[string]string{"a.go": good, "b.go": "package other\n"}, "Handler", nil, `handler "Handler": the Go files in the source are of two packages, function and other`},
		"whole program": {map[string]string{"main.go": "package main\n\nfunc Handler() {}\nfunc main() {}\n"}, "Handler", nil,
			`package main has a function main of its own: call the package something else, such as function, or use runtime.language "provided" for a whole program`},
		"syntax error": {map[string]string{"handler.go": "package function\n\nfunc Handler( {\n"}, "Handler", nil, `handler.go:3:15: expected ')', found '{'`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range tt.files {
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Find(dir, tt.handler)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("(-want, +got):", diff)
			}
			if err == nil && tt.err != "" || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %s", err, tt.err)
			}
		})
	}
}
