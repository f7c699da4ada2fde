package testing

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
)

// Marker is in each of Hostile: by it the text is found again.
const Marker = "h0stile"

// Hostile texts do something to a shell, a template, a Dockerfile, a command line or a
// file system. The first is plain: it is admitted wherever the others may be.
var Hostile = []string{
	Marker,
	"$(touch /tmp/" + Marker + ") `id` ; {{.BaseImage}} ' \" && ../../" + Marker,
	"x\nRUN " + Marker + "\n---\n",
	"--" + Marker + "=../../etc/passwd",
}

// field of type string, wherever below an object.
type field struct {
	path string
	// at calls put with the field of an object, which then has all that leads there.
	at func(object reflect.Value, put func(reflect.Value))
}

// WithText calls try for each string field below the object and each hostile text, with
// a copy of the object that has the text there.
func WithText[T runtime.Object](o T, try func(path, text string, changed T)) {
	root := field{at: func(v reflect.Value, put func(reflect.Value)) { put(v) }}
	t := reflect.TypeOf(o).Elem()
	spec, _ := t.FieldByName("Spec")
	for _, f := range fields(spec.Type, root.member("spec", spec.Index), nil) {
		for _, text := range Hostile {
			changed := o.DeepCopyObject().(T)
			f.at(reflect.ValueOf(changed).Elem(), func(v reflect.Value) { setText(v, text) })
			try(f.path, text, changed)
		}
	}
}

func setText(v reflect.Value, text string) {
	if u, ok := v.Addr().Interface().(*apis.URL); ok {
		*u = apis.URL{Scheme: "http", Host: "sink.test", Path: "/" + text}
		return
	}
	v.SetString(text)
}

// atoms are types that hold no text of a user's choice.
var atoms = []reflect.Type{reflect.TypeFor[metav1.Time](), reflect.TypeFor[apiresource.Quantity]()}

// fields of type string below a type; types that hold themselves are gone into twice.
func fields(t reflect.Type, f field, within []reflect.Type) (all []field) {
	again := 0
	for _, outer := range within {
		if outer == t {
			again++
		}
	}
	if slices.Contains(atoms, t) || again > 1 {
		return nil
	}
	within = append(within[:len(within):len(within)], t)
	switch {
	case t == reflect.TypeFor[apis.URL](), t.Kind() == reflect.String:
		return []field{f}
	case t.Kind() == reflect.Pointer:
		return fields(t.Elem(), f.pointed(), within)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return fields(t.Elem(), f.element(), within)
	case t.Kind() == reflect.Map:
		return append(fields(t.Elem(), f.value(), within), f.key())
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			m := t.Field(i)
			name, _, _ := strings.Cut(m.Tag.Get("json"), ",")
			if m.IsExported() && name != "-" {
				all = append(all, fields(m.Type, f.member(name, m.Index), within)...)
			}
		}
	}
	return all
}

func (f field) member(name string, index []int) field {
	path := f.path
	if name != "" {
		path = strings.TrimPrefix(path+"."+name, ".")
	}
	return field{path, func(o reflect.Value, put func(reflect.Value)) {
		f.at(o, func(v reflect.Value) { put(v.FieldByIndex(index)) })
	}}
}

func (f field) pointed() field {
	return field{f.path, func(o reflect.Value, put func(reflect.Value)) {
		f.at(o, func(v reflect.Value) {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			put(v.Elem())
		})
	}}
}

func (f field) element() field {
	return field{f.path + "[]", func(o reflect.Value, put func(reflect.Value)) {
		f.at(o, func(v reflect.Value) {
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			}
			put(v.Index(0))
		})
	}}
}

// first key of a map, and its value.
func first(v reflect.Value) (key, value reflect.Value) {
	value = reflect.New(v.Type().Elem()).Elem()
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	keys := v.MapKeys()
	if len(keys) == 0 {
		key = reflect.New(v.Type().Key()).Elem()
		key.SetString("type")
		return key, value
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	value.Set(v.MapIndex(keys[0]))
	return keys[0], value
}

func (f field) value() field {
	return field{f.path + "[]", func(o reflect.Value, put func(reflect.Value)) {
		f.at(o, func(v reflect.Value) {
			key, value := first(v)
			put(value)
			v.SetMapIndex(key, value)
		})
	}}
}

func (f field) key() field {
	return field{f.path + "[key]", func(o reflect.Value, put func(reflect.Value)) {
		f.at(o, func(v reflect.Value) {
			_, value := first(v)
			key := reflect.New(v.Type().Key()).Elem()
			put(key)
			v.SetMapIndex(key, value)
		})
	}}
}

// Places where hostile text may end up, and those where it has.
type Places struct {
	// Known are patterns of places where any text does no harm, with why.
	Known map[string]string
	// Names are patterns of places where only names end up.
	Names []string

	seen map[string]bool
}

// name is text that is nothing but a name: of an object, an image, a key.
var name = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/@-]*$`)

// Check that what was written has hostile text in known places only, whole.
func (p *Places) Check(t *testing.T, from string, writes []clientgotesting.Action) {
	t.Helper()
	for _, w := range writes {
		create, ok := w.(clientgotesting.CreateAction)
		if !ok || w.GetSubresource() == "status" {
			continue
		}
		for _, found := range Texts(t, w.GetResource().Resource, create.GetObject()) {
			if strings.Contains(found.Value, Marker) {
				p.check(t, from, found)
			}
		}
	}
}

func (p *Places) check(t *testing.T, from string, found Text) {
	t.Helper()
	patterns := slices.Collect(maps.Keys(p.Known))
	if name.MatchString(found.Value) && !strings.Contains(found.Value, "..") {
		patterns = append(patterns, p.Names...)
	}
	for _, pattern := range patterns {
		if regexp.MustCompile("^" + pattern + "$").MatchString(found.Place) {
			if p.seen == nil {
				p.seen = map[string]bool{}
			}
			p.seen[pattern] = true
			return
		}
	}
	t.Errorf("text from %q ends in %s, which is not a known place: %q", from, found.Place, found.Value)
}

// Seen fails for each known place where no text has ended: the list is to be true.
func (p *Places) Seen(t *testing.T) {
	t.Helper()
	for _, pattern := range append(slices.Sorted(maps.Keys(p.Known)), p.Names...) {
		if !p.seen[pattern] {
			t.Errorf("no text has ended in %s", pattern)
		}
	}
}

// Text of an object.
type Text struct{ Place, Value string }

// Texts of an object with their places: names of fields, [] for an element of a list,
// and {} for a key of a map that is no field.
func Texts(t *testing.T, what string, o runtime.Object) []Text {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return collect(what, tree, nil)
}

func collect(place string, v any, all []Text) []Text {
	switch v := v.(type) {
	case string:
		all = append(all, Text{place, v})
	case []any:
		for _, e := range v {
			all = collect(place+"[]", e, all)
		}
	case map[string]any:
		for key, e := range v {
			if strings.Contains(key, Marker) {
				all = append(all, Text{place + "{}", key})
				key = "{}"
			}
			all = collect(place+"."+key, e, all)
		}
	}
	return all
}
