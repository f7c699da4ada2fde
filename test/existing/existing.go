// Package existing reads manifests of forms that people have already written, with the
// admission warnings that each of them gets.
package existing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Manifest is one object.
type Manifest struct {
	// Name of the file without its extension.
	Name string
	Text []byte
	// Warnings that admission gives, in no order; a manifest without any is admitted
	// silently.
	Warnings []Warning
}

// Warning is a line "# warning: <field>: <words>" of a manifest.
type Warning struct{ Field, Words string }

// In reports whether this is part of a warning as admission writes it: one that has the
// same words for several fields names them all.
func (w Warning) In(text string) bool {
	return strings.Contains(text, w.Words) && (strings.Contains(text, ": "+w.Field) || strings.Contains(text, ", "+w.Field))
}

// Load reads the manifests of a folder. It is an error if there are none.
func Load(folder string) ([]Manifest, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: expected *.yaml", folder)
	}
	manifests := make([]Manifest, 0, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m := Manifest{Name: strings.TrimSuffix(filepath.Base(path), ".yaml"), Text: text}
		for line := range strings.Lines(string(text)) {
			rest, ok := strings.CutPrefix(strings.TrimSpace(line), "# warning: ")
			if !ok {
				continue
			}
			field, words, ok := strings.Cut(rest, ": ")
			if !ok {
				return nil, fmt.Errorf("%s: expected # warning: <field>: <words>, got %q", path, line)
			}
			m.Warnings = append(m.Warnings, Warning{field, words})
		}
		manifests = append(manifests, m)
	}
	return manifests, nil
}

// Missing are the warnings that are in none of the texts, and texts that are none of the
// warnings.
func (m *Manifest) Missing(texts []string) (missing, unexpected []string) {
	known := make([]bool, len(texts))
	for _, w := range m.Warnings {
		found := false
		for i, text := range texts {
			if w.In(text) {
				known[i], found = true, true
			}
		}
		if !found {
			missing = append(missing, w.Field+": "+w.Words)
		}
	}
	for i, text := range texts {
		if !known[i] {
			unexpected = append(unexpected, text)
		}
	}
	return missing, unexpected
}
