package source

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/runtimes/go/layout"
)

// shown is how many files a message names.
const shown = 20

// javascript are the endings of modules of Node.js, whose newer versions run
// TypeScript. Their names are paths and may have dots.
var javascript = []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}

// CheckHandler tells whether dir holds the file of a handler of the form
// <module>.<function>, where modules have the ending of file: for Go, the exported
// function itself; for a file without an ending, that program. A handler of
// another form is the language's own business.
func CheckHandler(dir, handler, file string) error {
	if filepath.Ext(file) == ".go" {
		if _, err := layout.Find(dir, handler); err != nil {
			return invalid("%v", err)
		}
		return nil
	}
	files, err := list(dir)
	if err != nil {
		return err
	}
	return CheckHandlerIn(files, handler, file)
}

// CheckHandlerIn tells the same of the paths of a source's files. Of Go, whose
// handlers are functions and not files, it knows nothing.
func CheckHandlerIn(files []string, handler, file string) error {
	ending := filepath.Ext(file)
	module, function, ok := cutLast(handler, ".")
	switch {
	case ending == "": // functions are whole programs
		return checkFile(files, file, "")
	case ending == ".go", !ok, function == "":
		return nil
	}
	path, endings := strings.ReplaceAll(module, ".", "/"), []string{ending}
	if ending == ".js" {
		path, endings = module, javascript
	}
	for _, e := range endings {
		for _, candidate := range []string{path + e, path + "/__init__" + e, path + "/index" + e} {
			if slices.Contains(files, candidate) {
				return nil
			}
		}
	}
	return invalid("handler %q: no file %s%s in the source, which has %s; set spec.runtime.handler or rename the file",
		handler, path, ending, strings.Join(some(files), ", "))
}

// CheckFile tells whether dir holds a file that a field of the spec names.
func CheckFile(dir, name, field string) error {
	files, err := list(dir)
	if err != nil {
		return err
	}
	return checkFile(files, name, field+": ")
}

func checkFile(files []string, name, prefix string) error {
	if slices.Contains(files, name) {
		return nil
	}
	return invalid("%sno file %s in the source, which has %s", prefix, name, strings.Join(some(files), ", "))
}

// some of the files, for a message.
func some(files []string) []string {
	sorted := slices.Sorted(slices.Values(files))
	if len(sorted) > shown {
		sorted = append(sorted[:shown:shown], "…")
	}
	return sorted
}

func list(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(name))
		return err
	})
	return files, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
