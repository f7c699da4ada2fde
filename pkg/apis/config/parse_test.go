package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// read reads one key of each kind.
type read struct {
	Text     string
	Boolean  bool
	Integer  int
	Duration time.Duration
	List     []string
	YAML     struct{ A int }
}

func parse(data map[string]string) (read, error) {
	r := read{Text: "default", Boolean: true, Integer: 1, Duration: time.Second, List: []string{"default"}}
	short := func(s string) error {
		if len(s) > 5 {
			return errors.New("too long")
		}
		return nil
	}
	p := newParser("config-test", data)
	p.text("text", &r.Text, short)
	p.boolean("boolean", &r.Boolean)
	p.integer("integer", &r.Integer, -1, 9)
	p.duration("duration", &r.Duration, 0, time.Minute)
	p.list("list", &r.List, short)
	p.yaml("yaml", &r.YAML)
	p.required("text", r.Text)
	return r, p.done()
}

func TestParser(t *testing.T) {
	defaults := read{Text: "default", Boolean: true, Integer: 1, Duration: time.Second, List: []string{"default"}}
	for _, tt := range []struct {
		name string
		data map[string]string
		want read
	}{
		{"nothing", nil, defaults},
		{"nothing but white space, and the example", map[string]string{"text": " \n", "boolean": "", "integer": "\t", "duration": " ", "list": "\n", "yaml": "", "_example": "what: ever"}, defaults},
		{"all", map[string]string{"text": " a b\n", "boolean": "false", "integer": "-1", "duration": "0s", "list": "a, b\nc,,\td ", "yaml": "A: 2"},
			read{Text: "a b", Integer: -1, List: []string{"a", "b", "c", "d"}, YAML: struct{ A int }{2}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.data)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("error = %v (-want, +got): %s", err, diff)
			}
		})
	}
}

// TestParserTellsAll: everything that is wrong at once, sorted, so that one look is
// enough.
func TestParserTellsAll(t *testing.T) {
	_, err := parse(map[string]string{"text": "too long", "boolean": "yes", "integer": "10", "duration": "1", "list": "a,too-long,b", "yaml": "B: 2", "txet": "", "lsit": "a"})
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	const known = "known are boolean, duration, integer, list, text, yaml"
	want := []string{
		`config-test: boolean: expected true or false, got "yes"`,
		`config-test: duration: expected a duration from 0s to 1m0s such as 90s or 5m, got "1"`,
		`config-test: integer: expected a whole number from -1 to 9, got "10"`,
		"config-test: list: too long",
		"config-test: lsit: unknown key; " + known,
		"config-test: text: too long",
		"config-test: txet: unknown key; " + known,
		`config-test: yaml: expected YAML of the form in _example: error unmarshaling JSON: while decoding JSON: json: unknown field "B"`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), err.Error()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}

func TestImageReferences(t *testing.T) {
	for text, ok := range map[string]bool{
		"gcr.io/kaniko-project/executor:v1.24.0": true, "localhost:5001/a/b@sha256:" + strings.Repeat("0", 64): true, "ko://example.com/cmd": true, "python": true,
		"": false, "A/b": false, "a b": false, "a:b:c": false, "a@sha256:1": false,
	} {
		if err := imageReference(text); (err == nil) != ok {
			t.Errorf("imageReference(%q) = %v, want one: %t", text, err, !ok)
		}
	}
}

func TestRepositoryPaths(t *testing.T) {
	for text, ok := range map[string]bool{
		"a": true, "team/python": true, "a.b/c_d/e__f/g--h": true, strings.Repeat("a", 255): true,
		"": false, "/a": false, "a/": false, "a//b": false, "A": false, "a:b": false, "a._b": false, strings.Repeat("a", 256): false,
	} {
		if err := repositoryPath(text); (err == nil) != ok {
			t.Errorf("repositoryPath(%q) = %v, want an error: %t", text, err, !ok)
		}
	}
}

// FuzzConfigMaps: whatever an administrator writes is read or refused by its key.
func FuzzConfigMaps(f *testing.F) {
	for _, seed := range []string{"", "soon", "5m", "{{.Namespace}}/{{.Language}}", "requests: {cpu: 1}", "versions: {\"1\": {baseImage: base}}\nhandler: h\nfile: f\ntemplate: t\nworker: [w]\n"} {
		for _, key := range []string{"registry", "repository-template", "timeout", "resources", "function-timeout", "agent-resources", "python"} {
			f.Add(key, seed)
		}
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		for name, constructor := range Constructors {
			err := parseAny(constructor, &corev1.ConfigMap{Data: map[string]string{key: value}})
			if err != nil && !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("an error of %s does not say so: %v", name, err)
			}
		}
	})
}
