package v1alpha1

import (
	"fmt"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
)

// Bounds of the filters of one object.
const (
	// MaxFilterList is how many filters one list has: filters, all or any.
	MaxFilterList = 64
	// MaxFilterDepth is how deep filters are nested in all, any and not.
	MaxFilterDepth = 8
	// MaxFilters is how many filters all triggers or subscriptions have together,
	// nested ones included.
	MaxFilters = 256
	// MaxFilterBytes is how many bytes the names, values and expressions of all filters
	// have together.
	MaxFilterBytes = 32 << 10
)

// filterSize counts the filters of one object. It parses and copies nothing, so that
// admission can refuse what would take long to look at.
type filterSize struct{ filters, bytes int }

// attributes counts what a map asks for.
func (s *filterSize) attributes(attributes map[string]string) *apis.FieldError {
	for name, value := range attributes {
		s.bytes += len(name) + len(value)
	}
	if s.bytes > MaxFilterBytes {
		return apis.ErrGeneric(fmt.Sprintf("expected filters of at most %d bytes in all", MaxFilterBytes), apis.CurrentField)
	}
	return nil
}

// list counts a list that is so deep in other filters.
func (s *filterSize) list(list []EventFilter) *apis.FieldError {
	if err := longList(len(list)); err != nil {
		return err.ViaField("filters")
	}
	for i := range list {
		if err := s.filter(&list[i].SubscriptionsAPIFilter, 1); err != nil {
			return err.ViaFieldIndex("filters", i)
		}
	}
	return nil
}

func longList(n int) *apis.FieldError {
	if n > MaxFilterList {
		return apis.ErrGeneric(fmt.Sprintf("expected at most %d filters, got %d", MaxFilterList, n), apis.CurrentField)
	}
	return nil
}

// filter counts a filter and those in it.
func (s *filterSize) filter(f *eventingv1.SubscriptionsAPIFilter, depth int) *apis.FieldError {
	s.bytes += len(f.CESQL)
	if s.filters++; s.filters > MaxFilters {
		return apis.ErrGeneric(fmt.Sprintf("expected at most %d filters in all, nested ones included", MaxFilters), apis.CurrentField)
	}
	if depth > MaxFilterDepth {
		return apis.ErrGeneric(fmt.Sprintf("expected filters that are nested at most %d deep", MaxFilterDepth), apis.CurrentField)
	}
	for _, attributes := range []map[string]string{f.Exact, f.Prefix, f.Suffix} {
		if err := s.attributes(attributes); err != nil {
			return err
		}
	}
	for _, inner := range []struct {
		field string
		list  []eventingv1.SubscriptionsAPIFilter
	}{{"all", f.All}, {"any", f.Any}} {
		if err := longList(len(inner.list)); err != nil {
			return err.ViaField(inner.field)
		}
		for i := range inner.list {
			if err := s.filter(&inner.list[i], depth+1); err != nil {
				return err.ViaFieldIndex(inner.field, i)
			}
		}
	}
	if f.Not != nil {
		return s.filter(f.Not, depth+1).ViaField("not")
	}
	return nil
}

// checkFilterSize returns what of the triggers exceeds a bound.
func (s *LambdaFunctionSpec) checkFilterSize() *apis.FieldError {
	if n := len(s.Triggers); n > MaxFilterList {
		return apis.ErrGeneric(fmt.Sprintf("expected at most %d triggers, got %d", MaxFilterList, n), "triggers")
	}
	var size filterSize
	for i := range s.Triggers {
		t := &s.Triggers[i]
		if t.Filter != nil {
			if err := size.attributes(t.Filter.Attributes); err != nil {
				return err.ViaField("attributes").ViaField("filter").ViaFieldIndex("triggers", i)
			}
		}
		if err := size.list(t.Filters); err != nil {
			return err.ViaFieldIndex("triggers", i)
		}
	}
	return nil
}

// checkFilterSize returns what of the subscriptions exceeds a bound.
func (e *AgentEventing) checkFilterSize() *apis.FieldError {
	var size filterSize
	for i := range e.Subscriptions {
		if err := size.list(e.Subscriptions[i].Filters); err != nil {
			return err.ViaFieldIndex("subscriptions", i)
		}
	}
	return nil
}
