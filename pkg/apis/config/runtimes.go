package config

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/configmap"
	"sigs.k8s.io/yaml"

	runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// RuntimesConfigName is the ConfigMap that says which languages there are.
const RuntimesConfigName = "config-runtimes"

// Runtimes are the languages that functions may be written in.
type Runtimes struct {
	// Languages by name.
	Languages map[string]*Language
}

// Language is one of them.
type Language struct {
	// Versions by name, "3.11".
	Versions map[string]Version `json:"versions"`
	// Compatible says that a version of the language runs what was written for an
	// older one with the same first number: a version that is not listed is served by
	// the oldest listed one that is newer.
	Compatible bool `json:"compatible,omitempty"`
	// Handler that is called where a function names none.
	Handler string `json:"handler"`
	// File that inline code is written to.
	File string `json:"file"`
	// DependenciesFile is the manifest that dependencies are written to.
	DependenciesFile string `json:"dependenciesFile,omitempty"`
	// Template names a Dockerfile template that the operator brings.
	Template string `json:"template,omitempty"`
	// Dockerfile is a template itself, instead of the name of one.
	Dockerfile string `json:"dockerfile,omitempty"`
	// Worker is the command that serves the worker protocol in the image; empty
	// for functions that are programs themselves.
	Worker []string `json:"worker,omitempty"`
	// Protocol that the worker speaks; default ProtocolFrames.
	Protocol string `json:"protocol,omitempty"`
	// Compiled says that an image is more than a base and the source's files, so
	// that it takes a build even where there are no dependencies.
	Compiled bool `json:"compiled,omitempty"`
	// Env are build arguments of every image of the language, for example where
	// its packages come from. A function's own have the last word.
	Env map[string]string `json:"env,omitempty"`
}

// Protocols that a worker may speak.
const (
	// ProtocolFrames is the one of docs/worker-protocol.md.
	ProtocolFrames = runtimeconfig.ProtocolFrames
	// ProtocolFrames2 is the one of docs/runtime-protocol.md.
	ProtocolFrames2 = runtimeconfig.ProtocolFrames2
	// ProtocolAWS is the runtime API of AWS Lambda.
	ProtocolAWS = runtimeconfig.ProtocolAWS
)

// OneCallAtATime reports whether each worker of the language takes one call at a time.
func (l *Language) OneCallAtATime() bool {
	return len(l.Worker) > 0 && l.Protocol != ProtocolFrames2
}

var protocols = []string{ProtocolFrames, ProtocolFrames2, ProtocolAWS}

// Version of a language.
type Version struct {
	// BaseImage that function images are made from.
	BaseImage string `json:"baseImage"`
	// RunImage that functions run on, where that is not the base image: a
	// compiled program needs no compiler.
	RunImage string `json:"runImage,omitempty"`
}

// Language returns a language, and the version that serves the one that is asked for:
// that one, or a newer one where the language is compatible. An empty version is the
// newest. The error is an *UnknownError, which lists what is offered.
func (r *Runtimes) Language(language, version string) (*Language, string, error) {
	l, ok := r.Languages[language]
	if !ok {
		return nil, "", &UnknownError{Field: "language", Value: language, Known: r.Names()}
	}
	if version == "" {
		version = l.Newest()
	}
	if _, ok := l.Versions[version]; ok {
		return l, version, nil
	}
	for _, offered := range l.VersionNames() { // oldest first
		if l.Compatible && runs(offered, version) {
			return l, offered, nil
		}
	}
	return nil, "", &UnknownError{Field: "version", Value: version, Known: l.VersionNames()}
}

// runs tells whether a version of a compatible language runs what was written for
// another one: the first numbers are the same, and the version is not older. An offered
// version 1.25 is the newest patch of 1.25.
func runs(offered, asked string) bool {
	have, want := strings.Split(offered, "."), strings.Split(asked, ".")
	for i := range min(len(have), len(want)) {
		switch {
		case !isNumber(have[i]) || !isNumber(want[i]):
			return false
		case have[i] == want[i]:
			continue
		default:
			return i > 0 && versionLess(want[i], have[i])
		}
	}
	return true
}

// UnknownError says that a language or version is not offered.
type UnknownError struct {
	// Field is language or version.
	Field string
	// Value that is not known.
	Value string
	// Known values.
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s %q is not one of %s", e.Field, e.Value, strings.Join(e.Known, ", "))
}

// Names of the languages, sorted.
func (r *Runtimes) Names() []string {
	names := make([]string, 0, len(r.Languages))
	for n := range r.Languages {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// VersionNames are the language's versions, oldest first.
func (l *Language) VersionNames() []string {
	names := make([]string, 0, len(l.Versions))
	for n := range l.Versions {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return versionLess(names[i], names[j]) })
	return names
}

// Newest version.
func (l *Language) Newest() string {
	names := l.VersionNames()
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

// versionLess compares dotted versions number by number: 3.9 before 3.11.
func versionLess(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(as) && i < len(bs); i++ {
		if as[i] == bs[i] {
			continue
		}
		if len(as[i]) != len(bs[i]) && isNumber(as[i]) && isNumber(bs[i]) {
			return len(as[i]) < len(bs[i])
		}
		return as[i] < bs[i]
	}
	return len(as) < len(bs)
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

var languagePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// NewRuntimesFromConfigMap parses config-runtimes: a key per language. The
// error names the key and what would be right.
func NewRuntimesFromConfigMap(cm *corev1.ConfigMap) (*Runtimes, error) {
	r := &Runtimes{Languages: map[string]*Language{}}
	var errs []error
	for key, text := range cm.Data {
		if key == configmap.ExampleKey {
			continue
		}
		l, err := parseLanguage(key, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", RuntimesConfigName, key, err))
			continue
		}
		r.Languages[key] = l
	}
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	return r, errors.Join(errs...)
}

func parseLanguage(key, text string) (*Language, error) {
	l := &Language{}
	if !languagePattern.MatchString(key) {
		return nil, errors.New("expected the name of a language: lower-case letters, digits and '-'")
	}
	if err := yaml.UnmarshalStrict([]byte(text), l); err != nil {
		return nil, fmt.Errorf("expected YAML of the form in _example: %w", err)
	}
	switch {
	case len(l.Versions) == 0:
		return nil, errors.New("versions: missing")
	case l.Handler == "":
		return nil, errors.New("handler: missing")
	case !plainFile(l.File):
		return nil, fmt.Errorf("file: expected the name of a file such as main.py, got %q", l.File)
	case l.DependenciesFile != "" && !plainFile(l.DependenciesFile):
		return nil, fmt.Errorf("dependenciesFile: expected the name of a file, got %q", l.DependenciesFile)
	case (l.Template == "") == (l.Dockerfile == ""):
		return nil, errors.New("expected exactly one of template, dockerfile")
	case len(l.Worker) == 0 && !l.Compiled:
		return nil, errors.New("worker: missing; only a language that is compiled does without")
	case l.Protocol != "" && !slices.Contains(protocols, l.Protocol):
		return nil, fmt.Errorf("protocol: expected one of %s, got %q", strings.Join(protocols, ", "), l.Protocol)
	}
	for name := range l.Env {
		if errs := validation.IsEnvVarName(name); len(errs) > 0 {
			return nil, fmt.Errorf("env: expected names of environment variables, got %q", name)
		}
	}
	for v, version := range l.Versions {
		if errs := validation.IsValidLabelValue(v); len(errs) > 0 || v == "" {
			return nil, fmt.Errorf("versions: expected versions such as 3.11, got %q", v)
		}
		if version.BaseImage == "" {
			return nil, fmt.Errorf("versions[%s].baseImage: missing", v)
		}
		if err := imageReference(version.BaseImage); err != nil {
			return nil, fmt.Errorf("versions[%s].baseImage: %w", v, err)
		}
		if version.RunImage == "" {
			continue
		}
		if err := imageReference(version.RunImage); err != nil {
			return nil, fmt.Errorf("versions[%s].runImage: %w", v, err)
		}
	}
	return l, nil
}

func plainFile(name string) bool {
	return name != "" && name != "." && name != ".." && path.Base(name) == name
}
