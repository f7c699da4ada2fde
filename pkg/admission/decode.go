package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// explain why JSON is no object of a kind, with the field as in the manifest and what to
// write. It returns nil if it is one, or if the error names no field.
func explain(kind string, data []byte) error {
	object := map[string]any{"LambdaFunction": &v1alpha1.LambdaFunction{}, "LambdaAgent": &v1alpha1.LambdaAgent{}}[kind]
	var mismatch *json.UnmarshalTypeError
	if object == nil || !errors.As(json.Unmarshal(data, object), &mismatch) {
		return nil
	}
	field, value := locate(data, mismatch)
	if field == "" {
		return nil
	}
	return fmt.Errorf("%s: expected %s, got %s%s", field, wanted(mismatch.Type), describe(value, mismatch.Value), advice(mismatch.Type, value, mismatch.Value))
}

// locate the value that an error is about. The error has the offset at which the value's
// first token ends, but where a type decodes itself, the offset is within that.
func locate(data []byte, e *json.UnmarshalTypeError) (field string, value any) {
	names := fieldNames(e.Field)
	if path, token, ok := at(data, e.Offset); ok && follows(path, names) {
		return strings.TrimPrefix(strings.Join(path, ""), "."), token
	}
	return strings.Join(names, "."), nil
}

// fieldNames of an error, without the Go names of embedded structs.
func fieldNames(field string) (names []string) {
	for name := range strings.SplitSeq(field, ".") {
		if name != "" && !unicode.IsUpper(rune(name[0])) {
			names = append(names, name)
		}
	}
	return names
}

// follows reports whether a path has the names, in order.
func follows(path, names []string) bool {
	for _, element := range path {
		if len(names) > 0 && element == "."+names[0] {
			names = names[1:]
		}
	}
	return len(names) == 0
}

// at returns the path of the value whose first token ends at an offset, as elements such
// as .env and [0], and that token.
func at(data []byte, offset int64) (path []string, token json.Token, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var find func(path []string) ([]string, json.Token, bool)
	find = func(path []string) ([]string, json.Token, bool) {
		token, err := decoder.Token()
		if err != nil {
			return nil, nil, false
		}
		if decoder.InputOffset() >= offset {
			return path, token, decoder.InputOffset() == offset
		}
		open, isDelim := token.(json.Delim)
		if !isDelim {
			return nil, nil, false
		}
		for i := 0; decoder.More(); i++ {
			element := "[" + strconv.Itoa(i) + "]"
			if open == '{' {
				key, err := decoder.Token()
				if err != nil {
					return nil, nil, false
				}
				element = fmt.Sprintf(".%s", key)
			}
			if found, token, ok := find(append(path[:len(path):len(path)], element)); ok || decoder.InputOffset() >= offset {
				return found, token, ok
			}
		}
		_, _ = decoder.Token() // the end of the list or the object
		return nil, nil, false
	}
	return find(nil)
}

func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[v1alpha1.Duration]() {
		return "a duration such as 30s"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of at most %d", int64(1)<<(t.Bits()-1)-1)
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "an object"
}

// describe a token; kind is what the decoder calls it.
func describe(token any, kind string) string {
	switch v := token.(type) {
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case json.Number:
		return "the number " + v.String()
	case string:
		if len(v) > 64 {
			return "a string"
		}
		return fmt.Sprintf("the string %q", v)
	}
	switch kind {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "a boolean"
	}
	return "a " + kind
}

// advice for what YAML reads as another type than its author meant.
func advice(t reflect.Type, token any, kind string) string {
	text, isText := token.(string)
	_, isBool := token.(bool)
	number, isNumber := token.(json.Number)
	switch {
	case t == reflect.TypeFor[v1alpha1.Duration]() && isNumber:
		return fmt.Sprintf("; add a unit, such as %ss", number)
	case t.Kind() == reflect.String && (isBool || kind == "bool"):
		return "; put the value in quotes: YAML reads true, yes, on and y without quotes as a boolean"
	case t.Kind() == reflect.String && (isNumber || kind == "number"):
		return "; put the value in quotes: YAML reads 0.10 without quotes as the number 0.1"
	case isText && (t.Kind() == reflect.Bool || t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64) && json.Valid([]byte(text)):
		return "; remove the quotes"
	case t.Kind() == reflect.Slice && (isText || isNumber || isBool):
		return "; begin each item with '- '"
	}
	return ""
}
