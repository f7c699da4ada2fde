// Package quantity refuses quantities that take Kubernetes' own parser forever: it
// computes every digit of 1e-2147483647. It has to look at JSON before that is decoded
// into the types of Kubernetes.
package quantity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// MaxLength of a quantity in bytes, and MaxExponent is how many digits its exponent has.
const (
	MaxLength   = 64
	MaxExponent = 3
)

// Fields of Kubernetes' types that hold quantities, and those that map names to them.
var (
	fields = []string{"sizeLimit", "divisor"}
	maps   = []string{"limits", "requests"}
)

// among compares as the decoder does, which takes Limits for limits.
func among(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// Check returns an error that names the field if JSON holds a quantity that is longer
// than MaxLength or has a longer exponent than MaxExponent. JSON that cannot be read is
// left to whoever decodes it.
func Check(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil //nolint:nilerr // documented
	}
	return walk(value, nil, false)
}

// walk a value; quantities says that it maps names to quantities.
func walk(value any, path []string, quantities bool) error {
	switch v := value.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names) // the same error each time
		for _, name := range names {
			at := slices.Concat(path, []string{name})
			if quantities || among(fields, name) {
				if err := check(v[name]); err != nil {
					return fmt.Errorf("%s: %w", strings.Join(at, "."), err)
				}
			}
			if err := walk(v[name], at, among(maps, name)); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range v {
			at := slices.Concat(path, []string{fmt.Sprint(i)})
			if err := walk(item, at, false); err != nil {
				return err
			}
		}
	}
	return nil
}

func check(value any) error {
	var text string
	switch v := value.(type) {
	case string:
		text = strings.TrimSpace(v)
	case json.Number:
		text = v.String()
	default:
		return nil
	}
	if len(text) > MaxLength {
		return fmt.Errorf("expected a quantity of at most %d characters, got %d", MaxLength, len(text))
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if digits := strings.TrimLeft(text[i+1:], "+-"); len(digits) > MaxExponent {
			return fmt.Errorf("expected a quantity such as 100m or 1Gi, got %q: its exponent has more than %d digits", text, MaxExponent)
		}
	}
	return nil
}
