package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	sql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/cesql"
)

// Filters decide which events reach the handler: one list for each trigger that
// delivers them. An event passes if any list does, and a list if all of its
// filters do. No lists let everything pass.
//
// They are evaluated here for brokers that do not evaluate all filters of the
// CloudEvents Subscriptions API. Knative's own library does the same, at the cost
// of a Kubernetes client in each function's image; a test holds the two in step.
type Filters [][]filter

// filter is given the event and its attributes by name.
type filter func(e *event.Event, attributes map[string]any) bool

// filterSpec is a filter as the Subscriptions API writes it: one of the dialects.
type filterSpec struct {
	Exact  map[string]string `json:"exact"`
	Prefix map[string]string `json:"prefix"`
	Suffix map[string]string `json:"suffix"`
	All    []filterSpec      `json:"all"`
	Any    []filterSpec      `json:"any"`
	Not    *filterSpec       `json:"not"`
	CESQL  string            `json:"cesql"`
}

// Bounds of filters as text. Admission has narrower ones; the operator adds two levels
// and a few filters.
const (
	maxFilterText  = 256 << 10 // bytes
	maxFilterDepth = 64        // of brackets and braces
)

// ParseFilters reads a JSON array of arrays of filters. It refuses what exceeds a bound
// before it parses.
func ParseFilters(text string) (Filters, error) {
	if len(text) > maxFilterText {
		return nil, fmt.Errorf("expected at most %d bytes, got %d", maxFilterText, len(text))
	}
	if depth(text) > maxFilterDepth {
		return nil, fmt.Errorf("expected brackets that are nested at most %d deep", maxFilterDepth)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var lists [][]filterSpec
	if err := decoder.Decode(&lists); err != nil {
		return nil, fmt.Errorf(`expected a JSON array of arrays of filters such as [[{"exact":{"type":"io.example.order"}}]]: %w`, err)
	}
	filters := make(Filters, len(lists))
	for i, list := range lists {
		parsed, err := parseList(list)
		if err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
		filters[i] = parsed
	}
	return filters, nil
}

// depth returns how deep brackets and braces are nested in a JSON text, or more: what is
// not closed counts on.
func depth(text string) (deepest int) {
	open, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			open++
			deepest = max(deepest, open)
		case c == ']' || c == '}':
			open--
		}
	}
	return deepest
}

// pass tells whether the handler is called with the event.
func (f Filters) pass(e *event.Event, attributes map[string]any) bool {
	for _, list := range f {
		if all(list)(e, attributes) {
			return true
		}
	}
	return len(f) == 0
}

func parseList(specs []filterSpec) ([]filter, error) {
	filters := make([]filter, len(specs))
	for i := range specs {
		f, err := specs[i].parse()
		if err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
		filters[i] = f
	}
	return filters, nil
}

func (s *filterSpec) parse() (filter, error) {
	switch {
	case len(s.Exact) > 0:
		return compare(s.Exact, func(value, want string) bool { return value == want }), nil
	case len(s.Prefix) > 0:
		return compare(s.Prefix, strings.HasPrefix), nil
	case len(s.Suffix) > 0:
		return compare(s.Suffix, strings.HasSuffix), nil
	case len(s.All) > 0:
		list, err := parseList(s.All)
		return all(list), named("all", err)
	case len(s.Any) > 0:
		list, err := parseList(s.Any)
		return anyOf(list), named("any", err)
	case s.Not != nil:
		inner, err := s.Not.parse()
		return func(e *event.Event, attributes map[string]any) bool { return !inner(e, attributes) }, named("not", err)
	case s.CESQL != "":
		return parseCESQL(s.CESQL)
	}
	return nil, errors.New(": expected one of exact, prefix, suffix, all, any, not, cesql")
}

func named(field string, err error) error {
	if err != nil {
		err = fmt.Errorf(".%s%w", field, err)
	}
	return err
}

func all(list []filter) filter {
	return func(e *event.Event, attributes map[string]any) bool {
		for _, f := range list {
			if !f(e, attributes) {
				return false
			}
		}
		return true
	}
}

func anyOf(list []filter) filter {
	return func(e *event.Event, attributes map[string]any) bool {
		for _, f := range list {
			if f(e, attributes) {
				return true
			}
		}
		return false
	}
}

// compare is true where each of the attributes is there and compares as wanted.
func compare(wants map[string]string, matches func(value, want string) bool) filter {
	return func(_ *event.Event, attributes map[string]any) bool {
		for name, want := range wants {
			if value, ok := attributes[name]; !ok || !matches(fmt.Sprint(value), want) {
				return false
			}
		}
		return true
	}
}

func parseCESQL(text string) (filter, error) {
	expression, err := cesql.Parse(text)
	if err != nil {
		return nil, fmt.Errorf(".cesql: %w", err)
	}
	return func(e *event.Event, _ map[string]any) bool { return evaluate(expression, e) }, nil
}

// evaluate takes an expression that cannot be evaluated on the event for false,
// as Knative's brokers do.
func evaluate(expression sql.Expression, e *event.Event) bool {
	value, err := expression.Evaluate(*e)
	passes, ok := value.(bool)
	return err == nil && ok && passes
}

// UnmarshalJSON refuses a filter of more than one dialect, of which all but one
// would be ignored.
func (s *filterSpec) UnmarshalJSON(text []byte) error {
	type plain filterSpec // without this method
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode((*plain)(s)); err != nil {
		return err
	}
	dialects := 0
	for _, set := range []bool{s.Exact != nil, s.Prefix != nil, s.Suffix != nil, s.All != nil, s.Any != nil, s.Not != nil, s.CESQL != ""} {
		if set {
			dialects++
		}
	}
	if dialects > 1 {
		return fmt.Errorf("%s: expected one of exact, prefix, suffix, all, any, not, cesql, got %d", text, dialects)
	}
	return nil
}
