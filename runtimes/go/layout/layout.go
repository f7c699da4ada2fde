// Package layout finds the handler in the source of a function in Go, without
// compiling it. It is part of the build and of what checks a source before.
package layout

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Handler is where a function's handler is.
type Handler struct {
	// Folder of its package below the source, with slashes; empty is the source
	// itself.
	Folder string
	// Package that it is in.
	Package string
	// Name of the function, or of the variable that holds one or an http.Handler.
	Name string
}

// Find finds the handler [<folder>.]<Name> in the source dir. The error is for
// the function's author.
func Find(dir, handler string) (*Handler, error) {
	h := &Handler{Name: handler}
	if i := strings.LastIndexByte(handler, '.'); i >= 0 {
		h.Folder, h.Name = handler[:i], handler[i+1:]
	}
	if !token.IsExported(h.Name) || !token.IsIdentifier(h.Name) || h.Folder != "" && !filepath.IsLocal(h.Folder) {
		return nil, fmt.Errorf("handler %q: expected an exported function or variable such as Handler, or folder.Handler; set spec.runtime.handler", handler)
	}
	files, err := parse(dir, h.Folder)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("handler %q: no Go file in %s; set spec.runtime.handler", handler, place(h.Folder))
	}
	h.Package = files[0].Name.Name
	for _, f := range files[1:] {
		if f.Name.Name != h.Package {
			return nil, fmt.Errorf("handler %q: the Go files in %s are of two packages, %s and %s", handler, place(h.Folder), h.Package, f.Name.Name)
		}
	}
	exported, hasMain := functions(files)
	if !exported[h.Name] {
		return nil, fmt.Errorf("handler %q not found: package %s has %s; set spec.runtime.handler", handler, h.Package, list(exported))
	}
	if h.Package == "main" && hasMain {
		return nil, errors.New(`package main has a function main of its own: call the package something else, such as function, or use runtime.language "provided" for a whole program`)
	}
	return h, nil
}

func place(folder string) string {
	if folder == "" {
		return "the source"
	}
	return "the source's folder " + folder
}

// parse reads the files that a build for Linux would take. Syntax errors name file
// and line.
func parse(dir, folder string) ([]*ast.File, error) {
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	platform := build.Default
	platform.GOOS, platform.CgoEnabled = "linux", false
	var files []*ast.File
	for _, e := range entries {
		name := filepath.Join(folder, e.Name())
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || e.IsDir() {
			continue
		}
		if match, err := platform.MatchFile(filepath.Join(dir, folder), e.Name()); err == nil && !match {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		var syntax scanner.ErrorList
		if errors.As(err, &syntax) {
			return nil, syntax[0]
		} else if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// functions are the exported functions and variables, which may be a handler, and
// whether there is a function main.
func functions(files []*ast.File) (exported map[string]bool, hasMain bool) {
	exported = map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					exported[d.Name.Name] = d.Name.IsExported()
					hasMain = hasMain || d.Name.Name == "main"
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
						for _, n := range v.Names {
							exported[n.Name] = n.IsExported()
						}
					}
				}
			}
		}
	}
	return exported, hasMain
}

func list(exported map[string]bool) string {
	var names []string
	for name, ok := range exported {
		if ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no exported function or variable"
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
