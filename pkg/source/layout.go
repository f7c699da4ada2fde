package source

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// shown is how many files a message names.
const shown = 20

// CheckHandler tells whether dir holds the file of a handler of the form
// <module>.<function>, where modules have the ending of file. A handler of
// another form is the language's own business.
func CheckHandler(dir, handler, file string) error {
	files, err := list(dir)
	if err != nil {
		return err
	}
	return CheckHandlerIn(files, handler, file)
}

// CheckHandlerIn tells the same of the paths of a source's files.
func CheckHandlerIn(files []string, handler, file string) error {
	module, function, ok := cutLast(handler, ".")
	if !ok || function == "" {
		return nil
	}
	ending := filepath.Ext(file)
	path := strings.ReplaceAll(module, ".", "/")
	for _, candidate := range []string{path + ending, path + "/__init__" + ending, path + "/index" + ending} {
		if slices.Contains(files, candidate) {
			return nil
		}
	}
	return invalid("handler %q: no file %s%s in the source, which has %s; set spec.runtime.handler or rename the file",
		handler, path, ending, strings.Join(some(files), ", "))
}

// CheckFile tells whether dir holds a file that a field of the spec names.
func CheckFile(dir, name, field string) error {
	files, err := list(dir)
	if err != nil || slices.Contains(files, name) {
		return err
	}
	return invalid("%s: no file %s in the source, which has %s", field, name, strings.Join(some(files), ", "))
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
