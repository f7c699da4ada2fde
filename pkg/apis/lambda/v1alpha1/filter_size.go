package v1alpha1

import (
	"fmt"

	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/filtersize"
)

// Bounds of the filters of one object, which are those of a Trigger's, too.
const (
	// MaxFilterList is how many filters one list has: filters, all or any.
	MaxFilterList = filtersize.MaxList
	// MaxFilterDepth is how deep filters are nested in all, any and not.
	MaxFilterDepth = filtersize.MaxDepth
	// MaxFilters is how many filters all triggers or subscriptions have together,
	// nested ones included.
	MaxFilters = filtersize.MaxFilters
	// MaxFilterBytes is how many bytes the names, values and expressions of all filters
	// have together.
	MaxFilterBytes = filtersize.MaxBytes
)

// checkFilterList counts a list that is in no other filter.
func checkFilterList(size *filtersize.Counter, list []EventFilter) *apis.FieldError {
	if err := filtersize.List(len(list)); err != nil {
		return err.ViaField("filters")
	}
	for i := range list {
		if err := size.Filter(&list[i].SubscriptionsAPIFilter, 1); err != nil {
			return err.ViaFieldIndex("filters", i)
		}
	}
	return nil
}

// checkFilterSize returns what of the triggers exceeds a bound.
func (s *LambdaFunctionSpec) checkFilterSize() *apis.FieldError {
	if n := len(s.Triggers); n > MaxFilterList {
		return apis.ErrGeneric(fmt.Sprintf("expected at most %d triggers, got %d", MaxFilterList, n), "triggers")
	}
	var size filtersize.Counter
	for i := range s.Triggers {
		t := &s.Triggers[i]
		if t.Filter != nil {
			if err := size.Attributes(t.Filter.Attributes); err != nil {
				return err.ViaField("attributes").ViaField("filter").ViaFieldIndex("triggers", i)
			}
		}
		if err := checkFilterList(&size, t.Filters); err != nil {
			return err.ViaFieldIndex("triggers", i)
		}
	}
	return nil
}

// checkFilterSize returns what of the subscriptions exceeds a bound.
func (e *AgentEventing) checkFilterSize() *apis.FieldError {
	var size filtersize.Counter
	for i := range e.Subscriptions {
		if err := checkFilterList(&size, e.Subscriptions[i].Filters); err != nil {
			return err.ViaFieldIndex("subscriptions", i)
		}
	}
	return nil
}
