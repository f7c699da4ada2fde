// Command apidocs writes the reference of the API's fields from the types and the
// CRDs that are generated from them: apidocs <folder of CRDs>.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const head = `<!-- Generated from pkg/apis by hack/update-codegen.sh. -->
# API reference

Every field of ` + "`lambda.knative.io/v1alpha1`" + `, as ` + "`kubectl explain`" + ` has it. A name in *italics* is a type of Kubernetes or Knative with its own documentation.
Durations are a number with a unit (` + "`90s`, `5m`, `1h30m`" + `). Defaults are set at admission, so ` + "`kubectl get -o yaml`" + ` shows them; those that are configuration are in [operations.md](operations.md#configuration).
`

var kinds = []struct {
	file string
	kind any
}{
	{"lambdafunction.yaml", v1alpha1.LambdaFunction{}},
	{"lambdaagent.yaml", v1alpha1.LambdaAgent{}},
	{"approvalrequest.yaml", v1alpha1.ApprovalRequest{}},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apidocs <folder of CRDs>")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(w io.Writer, crds string) error {
	fmt.Fprint(w, head)
	for _, k := range kinds {
		text, err := os.ReadFile(filepath.Join(crds, k.file))
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			return fmt.Errorf("%s: %w", k.file, err)
		}
		schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		names := crd.Spec.Names
		fmt.Fprintf(w, "\n## %s\n\n%s\n\nIn URLs and commands `%s`", names.Kind, sentence(schema.Description), names.Plural)
		for _, short := range names.ShortNames {
			fmt.Fprintf(w, ", `%s`", short)
		}
		fmt.Fprintln(w, ".")
		for _, part := range []string{"spec", "status"} {
			s := schema.Properties[part]
			fmt.Fprintf(w, "\n### %s.%s\n\n%s\n\n| field | type | meaning |\n| --- | --- | --- |\n", names.Kind, part, sentence(s.Description))
			fields(w, "", field(reflect.TypeOf(k.kind), part), &s)
		}
	}
	return nil
}

// fields writes a row for each field of a struct and all below it.
func fields(w io.Writer, path string, t reflect.Type, s *apiextensionsv1.JSONSchemaProps) {
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	order := ordered(t)
	slices.SortFunc(names, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	for _, name := range names {
		p := s.Properties[name]
		at := path + name
		below := field(t, name)
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", at, kind(below, &p), meaning(&p, slices.Contains(s.Required, name)))
		item, suffix := &p, "."
		for below.Kind() == reflect.Pointer || below.Kind() == reflect.Slice || below.Kind() == reflect.Map {
			switch below.Kind() {
			case reflect.Slice:
				suffix = "[]."
				if item.Items != nil {
					item = item.Items.Schema
				}
			case reflect.Map:
				suffix = ".<key>."
				if item.AdditionalProperties != nil {
					item = item.AdditionalProperties.Schema
				}
			}
			below = below.Elem()
		}
		if below.Kind() == reflect.Struct && ours(below) {
			fields(w, at+suffix, below, item)
		}
	}
}

// ours tells whether a type is of this API, and not of Kubernetes' or Knative's.
func ours(t reflect.Type) bool {
	return t.PkgPath() == reflect.TypeFor[v1alpha1.LambdaFunction]().PkgPath()
}

// field of a struct by its name in JSON, in what it embeds too.
func field(t reflect.Type, name string) reflect.Type {
	for f := range members(t) {
		if jsonName(&f) == name {
			return f.Type
		}
	}
	panic(fmt.Sprintf("the CRD has a field %q, which %v does not have: generate it anew", name, t))
}

// ordered are the names of a struct's fields as they are written.
func ordered(t reflect.Type) (names []string) {
	for f := range members(t) {
		names = append(names, jsonName(&f))
	}
	return names
}

// members of a struct, and of the structs that are inline in it.
func members(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			inline := f.Anonymous && jsonName(&f) == ""
			if f.IsExported() && !inline && !yield(f) {
				return
			}
		}
	}
}

func jsonName(f *reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// kind of a field, as a person writes it.
func kind(t reflect.Type, s *apiextensionsv1.JSONSchemaProps) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kind(t.Elem(), s)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 || s.Items == nil {
			return simple(s)
		}
		return "list of " + kind(t.Elem(), s.Items.Schema)
	case reflect.Map:
		if s.AdditionalProperties == nil || s.AdditionalProperties.Schema == nil {
			return simple(s)
		}
		return "map of " + kind(t.Elem(), s.AdditionalProperties.Schema)
	case reflect.Struct:
		if s.Type == "object" && !ours(t) {
			return "*" + t.Name() + "*"
		}
	}
	return simple(s)
}

func simple(s *apiextensionsv1.JSONSchemaProps) string {
	switch {
	case s.XIntOrString:
		return "number or string"
	case s.Type == "":
		return "any"
	}
	return s.Type
}

// meaning is the description and what the schema bounds.
func meaning(s *apiextensionsv1.JSONSchemaProps, required bool) string {
	said := []string{sentence(s.Description)}
	if required {
		said = append(said, "Required.")
	}
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, "`"+unquoted(v.Raw)+"`")
		}
		said = append(said, "One of "+strings.Join(values, ", ")+".")
	}
	if s.Default != nil {
		said = append(said, "Default `"+unquoted(s.Default.Raw)+"`.")
	}
	if s.Minimum != nil || s.Maximum != nil {
		said = append(said, bounds(s.Minimum, s.Maximum))
	}
	if s.MaxLength != nil {
		said = append(said, fmt.Sprintf("At most %d characters.", *s.MaxLength))
	}
	if s.MaxItems != nil {
		said = append(said, fmt.Sprintf("At most %d.", *s.MaxItems))
	}
	return strings.TrimSpace(strings.Join(said, " "))
}

func bounds(least, most *float64) string {
	switch {
	case most == nil:
		return fmt.Sprintf("At least %v.", *least)
	case least == nil:
		return fmt.Sprintf("At most %v.", *most)
	}
	return fmt.Sprintf("From %v to %v.", *least, *most)
}

func unquoted(raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(bytes.TrimSpace(raw))
}

// sentence is a description on one line, as a cell of a table can hold it.
func sentence(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.Join(strings.Fields(text), " "))
}
