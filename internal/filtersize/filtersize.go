// Package filtersize bounds the filters of one object. It parses and copies nothing, so
// that what would take long to compile is refused before.
package filtersize

import (
	"fmt"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
)

// Bounds of the filters of one object.
const (
	// MaxList is how many filters one list has: filters, all or any.
	MaxList = 64
	// MaxDepth is how deep filters are nested in all, any and not.
	MaxDepth = 8
	// MaxFilters is how many filters the object has, nested ones included.
	MaxFilters = 256
	// MaxBytes is how many bytes the names, values and expressions of all filters have
	// together.
	MaxBytes = 32 << 10
)

// Counter counts the filters of one object. The zero value has counted none.
type Counter struct{ filters, bytes int }

// Trigger returns what of a Trigger's filters exceeds a bound. The paths begin in spec.
func Trigger(spec *eventingv1.TriggerSpec) *apis.FieldError {
	var c Counter
	if spec.Filter != nil {
		if err := c.Attributes(spec.Filter.Attributes); err != nil {
			return err.ViaField("attributes").ViaField("filter")
		}
	}
	return c.list("filters", spec.Filters, 1)
}

// Attributes counts what a map asks for.
func (c *Counter) Attributes(attributes map[string]string) *apis.FieldError {
	for name, value := range attributes {
		c.bytes += len(name) + len(value)
	}
	if c.bytes > MaxBytes {
		return apis.ErrGeneric(fmt.Sprintf("expected filters of at most %d bytes in all", MaxBytes), apis.CurrentField)
	}
	return nil
}

// List returns an error if a list has too many filters.
func List(n int) *apis.FieldError {
	if n > MaxList {
		return apis.ErrGeneric(fmt.Sprintf("expected at most %d filters, got %d", MaxList, n), apis.CurrentField)
	}
	return nil
}

func (c *Counter) list(field string, list []eventingv1.SubscriptionsAPIFilter, depth int) *apis.FieldError {
	if err := List(len(list)); err != nil {
		return err.ViaField(field)
	}
	for i := range list {
		if err := c.Filter(&list[i], depth); err != nil {
			return err.ViaFieldIndex(field, i)
		}
	}
	return nil
}

// Filter counts a filter and those in it. The depth of one that is in no other is 1.
func (c *Counter) Filter(f *eventingv1.SubscriptionsAPIFilter, depth int) *apis.FieldError {
	c.bytes += len(f.CESQL)
	if c.filters++; c.filters > MaxFilters {
		return apis.ErrGeneric(fmt.Sprintf("expected at most %d filters in all, nested ones included", MaxFilters), apis.CurrentField)
	}
	if depth > MaxDepth {
		return apis.ErrGeneric(fmt.Sprintf("expected filters that are nested at most %d deep", MaxDepth), apis.CurrentField)
	}
	for _, attributes := range []map[string]string{f.Exact, f.Prefix, f.Suffix} {
		if err := c.Attributes(attributes); err != nil {
			return err
		}
	}
	if err := c.list("all", f.All, depth+1); err != nil {
		return err
	}
	if err := c.list("any", f.Any, depth+1); err != nil {
		return err
	}
	if f.Not != nil {
		return c.Filter(f.Not, depth+1).ViaField("not")
	}
	return nil
}
