package env

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Secret of a name, made up at its first use and kept until down.
func (e *Env) Secret(name string) (string, error) {
	text, err := os.ReadFile(e.Path("secrets", name))
	if !errors.Is(err, os.ErrNotExist) {
		return string(text), err
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	secret := hex.EncodeToString(random)
	return secret, e.Write("secrets/"+name, secret)
}

// Export tells users of the cluster variables (NAME=value) of a part.
func (e *Env) Export(part string, variables ...string) error {
	return e.Write("env/"+part, strings.Join(variables, "\n"))
}

// Exports are the variables of all parts.
func (e *Env) Exports() []string {
	var variables []string
	files, _ := filepath.Glob(e.Path("env", "*"))
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			variables = append(variables, strings.Split(string(text), "\n")...)
		}
	}
	return variables
}

// remembered is the file with the optional parts that were asked for since the
// cluster came up, so that a later up keeps them up too.
const remembered = "with"

// switchOn adds to With what was asked for before.
func (e *Env) switchOn(parts []Part) error {
	known := map[string]bool{}
	for _, p := range parts {
		if p.With != "" {
			known[p.With] = true
		}
	}
	for w := range e.With {
		if !known[w] {
			return fmt.Errorf("there is no optional part %q, only %s", w, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	before, err := os.ReadFile(e.Path(remembered))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, w := range strings.Fields(string(before)) {
		e.With[w] = true
	}
	return e.Write(remembered, strings.Join(slices.Sorted(maps.Keys(e.With)), "\n"))
}
