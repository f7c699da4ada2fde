package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// shown is how many files a message names.
const shown = 20

// javascript are the endings of modules of Node.js. Their names are paths and may
// have dots.
var javascript = []string{".js", ".mjs", ".cjs"}

// CheckHandler tells whether dir holds the file of a handler of the form
// <module>.<function>, where modules have the ending of file. A handler of
// another form is the language's own business.
func CheckHandler(dir, handler, file string) error {
	module, function, ok := cutLast(handler, ".")
	if !ok || function == "" {
		return nil
	}
	ending := filepath.Ext(file)
	path, endings := strings.ReplaceAll(module, ".", "/"), []string{ending}
	if ending == ".js" {
		path, endings = module, javascript
	}
	for _, e := range endings {
		for _, candidate := range []string{path + e, filepath.Join(path, "__init__"+e), filepath.Join(path, "index"+e)} {
			if info, err := os.Stat(filepath.Join(dir, candidate)); err == nil && info.Mode().IsRegular() {
				return nil
			}
		}
	}
	files, err := list(dir)
	if err != nil {
		return err
	}
	return invalid("handler %q: no file %s%s in the source, which has %s; set spec.runtime.handler or rename the file",
		handler, path, ending, strings.Join(files, ", "))
}

func list(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, name)
		return err
	})
	sort.Strings(files)
	if len(files) > shown {
		files = append(files[:shown:shown], "…")
	}
	return files, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
