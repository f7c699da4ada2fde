package v1alpha1

import (
	"encoding/json"
	"regexp"
	"strings"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/cesql"
)

// EventFilter is a filter of the CloudEvents Subscriptions API: one of the
// dialects exact, prefix, suffix, all, any, not, cesql. Filters hold filters, which a
// structural schema cannot say: validation checks them.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type EventFilter struct {
	eventingv1.SubscriptionsAPIFilter `json:",inline"`
}

// MarshalJSON writes the filter as Knative Eventing does.
func (f EventFilter) MarshalJSON() ([]byte, error) {
	return json.Marshal(f.SubscriptionsAPIFilter)
}

// UnmarshalJSON reads the filter as Knative Eventing does.
func (f *EventFilter) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &f.SubscriptionsAPIFilter)
}

// Split parts what the trigger asks for into the attributes that an event must
// have exactly, which every class of broker can tell, and the filters that are
// left: an event must have the former and match all of the latter.
func (t *FunctionTrigger) Split() (exact map[string]string, rest []eventingv1.SubscriptionsAPIFilter) {
	exact = map[string]string{}
	if t.Filter != nil {
		for name, value := range t.Filter.Attributes {
			if value != eventingv1.TriggerAnyFilter {
				exact[name] = value
			}
		}
	}
	return exact, splitFilters(exact, t.Filters)
}

// splitFilters adds to exact what filters ask for exactly, and returns the others.
func splitFilters(exact map[string]string, filters []EventFilter) (rest []eventingv1.SubscriptionsAPIFilter) {
	var add func(eventingv1.SubscriptionsAPIFilter)
	add = func(f eventingv1.SubscriptionsAPIFilter) {
		switch {
		case len(f.All) > 0:
			for _, inner := range f.All {
				add(inner)
			}
		case len(f.Exact) > 0 && compatible(exact, f.Exact):
			for name, value := range f.Exact {
				exact[name] = value
			}
		default:
			rest = append(rest, f)
		}
	}
	for _, f := range filters {
		add(*f.SubscriptionsAPIFilter.DeepCopy())
	}
	return rest
}

// compatible tells whether an event can have all attributes of both.
func compatible(a, b map[string]string) bool {
	for name, value := range b {
		if other, ok := a[name]; ok && other != value {
			return false
		}
	}
	return true
}

var (
	attributePattern = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	dialects         = []string{"exact", "prefix", "suffix", "all", "any", "not", "cesql"}
)

func validateAttributes(attributes map[string]string, mayBeEmpty bool) (errs *apis.FieldError) {
	for name, value := range attributes {
		if !attributePattern.MatchString(name) {
			errs = errs.Also(apis.ErrInvalidKeyName(name, apis.CurrentField, "expected the name of a CloudEvents attribute: lower-case letters and digits, beginning with a letter"))
		}
		if value == "" && !mayBeEmpty {
			errs = errs.Also(apis.ErrMissingField(apis.CurrentField).ViaKey(name))
		}
	}
	return errs
}

// validateFilter returns what is wrong with a filter and those in it. Its size is checked
// before, by checkFilterSize.
func validateFilter(f *eventingv1.SubscriptionsAPIFilter) (errs *apis.FieldError) {
	set := make([]string, 0, 1)
	for i, is := range []bool{len(f.Exact) > 0, len(f.Prefix) > 0, len(f.Suffix) > 0, len(f.All) > 0, len(f.Any) > 0, f.Not != nil, f.CESQL != ""} {
		if is {
			set = append(set, dialects[i])
		}
	}
	switch len(set) {
	case 1:
	case 0:
		return apis.ErrMissingOneOf(dialects...)
	default:
		return apis.ErrMultipleOneOf(set...)
	}
	errs = validateAttributes(f.Exact, false).ViaField("exact").
		Also(validateAttributes(f.Prefix, false).ViaField("prefix")).
		Also(validateAttributes(f.Suffix, false).ViaField("suffix"))
	for i := range f.All {
		errs = errs.Also(validateFilter(&f.All[i]).ViaFieldIndex("all", i))
	}
	for i := range f.Any {
		errs = errs.Also(validateFilter(&f.Any[i]).ViaFieldIndex("any", i))
	}
	if f.Not != nil {
		errs = errs.Also(validateFilter(f.Not).ViaField("not"))
	}
	if f.CESQL != "" {
		if _, err := cesql.Parse(f.CESQL); err != nil {
			errs = errs.Also(apis.ErrInvalidValue(shortened(f.CESQL), "cesql", err.Error()))
		}
	}
	return errs
}

// shortened is the beginning of a text, for a message.
func shortened(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
