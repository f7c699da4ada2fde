package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const rubyText = `
versions:
  "3.2": {baseImage: r.test/ruby:3.2}
handler: main.handler
file: main.rb
dependenciesFile: Gemfile
template: ruby
worker: [ruby, worker.rb]
`

func TestRuntimes(t *testing.T) {
	got, err := NewRuntimesFromConfigMap(&corev1.ConfigMap{Data: map[string]string{"ruby": rubyText, "_example": "what: ever"}})
	want := &Runtimes{Languages: map[string]*Language{"ruby": {
		Versions: map[string]Version{"3.2": {BaseImage: "r.test/ruby:3.2"}},
		Handler:  "main.handler", File: "main.rb", DependenciesFile: "Gemfile", Template: "ruby", Worker: []string{"ruby", "worker.rb"},
	}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error = %v (-want, +got): %s", err, diff)
	}
}

// TestLanguageErrors: a line of the language that is valid is replaced.
func TestLanguageErrors(t *testing.T) {
	for _, tt := range []struct{ name, line, by, want string }{
		{"no handler", "handler: main.handler", "", "handler: missing"},
		{"no file", "file: main.rb", "", `file: expected the name of a file such as main.py, got ""`},
		{"a file in a folder", "file: main.rb", "file: lib/main.rb", `file: expected the name of a file such as main.py, got "lib/main.rb"`},
		{"a file that is none", "file: main.rb", "file: ..", `file: expected the name of a file such as main.py, got ".."`},
		{"a manifest in a folder", "dependenciesFile: Gemfile", "dependenciesFile: /Gemfile", `dependenciesFile: expected the name of a file, got "/Gemfile"`},
		{"neither template nor dockerfile", "template: ruby", "", "expected exactly one of template, dockerfile"},
		{"no worker", "worker: [ruby, worker.rb]", "worker: []", "worker: missing; only a language that is compiled does without"},
		{"a version that no label can carry", `"3.2"`, `"3 2"`, `versions: expected versions such as 3.11, got "3 2"`},
		{"a version without a name", `"3.2"`, `""`, `versions: expected versions such as 3.11, got ""`},
		{"no base image", "{baseImage: r.test/ruby:3.2}", "{}", "versions[3.2].baseImage: missing"},
		{"a base image that is none", "r.test/ruby:3.2", "no image!", `versions[3.2].baseImage: expected an image reference, got "no image!": could not parse reference: no image!`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(rubyText, tt.line, tt.by, 1)
			_, err := NewRuntimesFromConfigMap(&corev1.ConfigMap{Data: map[string]string{"ruby": text}})
			if want := "config-runtimes: ruby: " + tt.want; err == nil || err.Error() != want {
				t.Errorf("error = %v, want %s", err, want)
			}
		})
	}
}

// TestRuntimesTellAll: each language that is wrong, in order.
func TestRuntimesTellAll(t *testing.T) {
	_, err := NewRuntimesFromConfigMap(&corev1.ConfigMap{Data: map[string]string{"ruby": rubyText, "b": "handler: h", "a": "handler: h"}})
	if want := "config-runtimes: a: versions: missing\nconfig-runtimes: b: versions: missing"; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestVersionsInOrder(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"", ""},
		{"3.10 3.9 3.11", "3.9 3.10 3.11"},
		{"22 18 20", "18 20 22"},
		{"1.21 1.9.3 1.9 1.9.10", "1.9 1.9.3 1.9.10 1.21"},
		{"edge 8 10", "8 10 edge"},
	} {
		l := &Language{Versions: map[string]Version{}}
		for _, name := range strings.Fields(tt.names) {
			l.Versions[name] = Version{}
		}
		if got := strings.Join(l.VersionNames(), " "); got != tt.want {
			t.Errorf("VersionNames() of %s = %s, want %s", tt.names, got, tt.want)
		}
		if want := tt.want[strings.LastIndex(tt.want, " ")+1:]; l.Newest() != want {
			t.Errorf("Newest() of %s = %s, want %s", tt.names, l.Newest(), want)
		}
	}
}

func TestUnknownLanguages(t *testing.T) {
	r := &Runtimes{Languages: map[string]*Language{"ruby": {}, "ada": {Versions: map[string]Version{"95": {}}}}}
	for _, tt := range []struct {
		language, version string
		want              *UnknownError
	}{
		{"cobol", "", &UnknownError{Field: "language", Value: "cobol", Known: []string{"ada", "ruby"}}},
		{"ada", "2012", &UnknownError{Field: "version", Value: "2012", Known: []string{"95"}}},
		{"ruby", "", &UnknownError{Field: "version", Value: "", Known: []string{}}},
	} {
		_, _, err := r.Language(tt.language, tt.version)
		var got *UnknownError
		errors.As(err, &got)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Language(%q, %q) (-want, +got): %s", tt.language, tt.version, diff)
		}
	}
}

// TestCompatibleVersions: a newer version serves an older one only where the language
// says so, and never one of another first number.
func TestCompatibleVersions(t *testing.T) {
	for _, tt := range []struct {
		offered, asked string
		compatible     bool
		want           string
	}{
		{"1.25 1.26", "1.25", true, "1.25"},
		{"1.25 1.26", "1.22", true, "1.25"},
		{"1.26", "1.22", true, "1.26"},
		{"1.9 1.26", "1.10", true, "1.26"},
		{"1.25 1.26", "1.25.3", true, "1.25"},
		{"1.25.4 1.26", "1.25.3", true, "1.25.4"},
		{"1.25.4 1.26", "1.25.5", true, "1.26"},
		{"1.25 1.26", "1", true, "1.25"},
		{"1.25 1.26", "", true, "1.26"},
		{"1.25 1.26", "1.27", true, ""},
		{"1.25 1.26", "2.0", true, ""},
		{"2.1", "1.22", true, ""},
		{"1.25 1.26", "tip", true, ""},
		{"edge", "1.22", true, ""},
		{"3.11 3.13", "3.12", false, ""},
		{"20 22", "18", false, ""},
	} {
		l := &Language{Versions: map[string]Version{}, Compatible: tt.compatible}
		for _, name := range strings.Fields(tt.offered) {
			l.Versions[name] = Version{}
		}
		_, got, err := (&Runtimes{Languages: map[string]*Language{"x": l}}).Language("x", tt.asked)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("of %s, %q is served by %q (%v), want %q", tt.offered, tt.asked, got, err, tt.want)
		}
	}
}

// TestShippedVersions: the versions that manifests name.
func TestShippedVersions(t *testing.T) {
	text, err := os.ReadFile("../../../config/core/configmaps/runtimes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{}
	if err := yaml.Unmarshal(text, cm); err != nil {
		t.Fatal(err)
	}
	r, err := NewRuntimesFromConfigMap(cm)
	if err != nil {
		t.Fatal(err)
	}
	for language, versions := range map[string]string{"python": "3.9 3.10 3.11 3.12 3.13 3.14", "nodejs": "18 20 22 24", "go": "1.21 1.22 1.23 1.24 1.25 1.26"} {
		for _, version := range strings.Fields(versions) {
			if _, _, err := r.Language(language, version); err != nil {
				t.Errorf("%s %s: %v", language, version, err)
			}
		}
	}
}
