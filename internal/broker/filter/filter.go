// Package filter decides whether a Trigger wants an event. It evaluates with the filters
// of Knative Eventing's library, but for lists: the library's reorder themselves in
// goroutines, which race with their cleanup, and leave out what is not valid, so that
// more events match.
package filter

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/eventfilter"
	"knative.dev/eventing/pkg/eventfilter/attributes"
	"knative.dev/eventing/pkg/eventfilter/subscriptionsapi"

	"github.com/brunovlucena/knative-lambda-operator/internal/filtersize"
)

// ErrPanic says that a filter panicked on an event, as CESQL does for an expression whose result
// is not a boolean. The event does not match.
var ErrPanic = errors.New("the filter panicked")

// Filter of a Trigger. It never changes.
type Filter struct{ filter eventfilter.Filter }

// New returns the filter of a Trigger: spec.filters if it is not empty, else
// spec.filter. Without either, every event matches. The error says which filter is not
// valid, or exceeds a bound of package filtersize. Compiling the largest filters takes a
// few hundred milliseconds.
func New(spec *eventingv1.TriggerSpec) (*Filter, error) {
	if err := filtersize.Trigger(spec); err != nil {
		return nil, err.ViaField("spec")
	}
	switch {
	case len(spec.Filters) > 0:
		made, err := compileAll(spec.Filters, "spec.filters")
		if err != nil {
			return nil, err
		}
		return &Filter{all(made)}, nil
	case spec.Filter != nil:
		return &Filter{attributes.NewAttributesFilter(spec.Filter.Attributes)}, nil
	}
	return &Filter{subscriptionsapi.NewNoFilter()}, nil
}

// Match reports whether the event passes. The error is ErrPanic, or an ErrEvaluation if an
// expression has failed: like an expression that is false, it does not match, but what it is
// nested in may.
func (f *Filter) Match(ctx context.Context, e *event.Event) (matches bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			matches, err = false, fmt.Errorf("%w: %v", ErrPanic, p)
		}
	}()
	var failed error
	matches = f.filter.Filter(withFailure(ctx, &failed), *e) != eventfilter.FailFilter
	return matches, failed
}

func compileAll(list []eventingv1.SubscriptionsAPIFilter, field string) (made []eventfilter.Filter, err error) {
	for i := range list {
		one, err := compile(&list[i], fmt.Sprintf("%s[%d]", field, i))
		if err != nil {
			return nil, err
		}
		if one != nil {
			made = append(made, one)
		}
	}
	return made, nil
}

// compile one filter, whose first dialect counts, as in the library; nil where there is
// none.
func compile(f *eventingv1.SubscriptionsAPIFilter, field string) (made eventfilter.Filter, err error) {
	switch {
	case len(f.Exact) > 0:
		made, err = subscriptionsapi.NewExactFilter(f.Exact)
	case len(f.Prefix) > 0:
		made, err = subscriptionsapi.NewPrefixFilter(f.Prefix)
	case len(f.Suffix) > 0:
		made, err = subscriptionsapi.NewSuffixFilter(f.Suffix)
	case len(f.All) > 0:
		made, err := compileAll(f.All, field+".all")
		return all(made), err
	case len(f.Any) > 0:
		made, err := compileAll(f.Any, field+".any")
		return anyOf(made), err
	case f.Not != nil:
		made, err := compile(f.Not, field+".not")
		return subscriptionsapi.NewNotFilter(made), err
	case f.CESQL != "":
		made, err = newExpression(f.CESQL)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not valid: %w", field, err)
	}
	return made, nil
}

// list passes or fails with the first filter whose result is decisive; otherwise the last
// decides.
type list struct {
	filters  []eventfilter.Filter
	decisive eventfilter.FilterResult
}

func all(filters []eventfilter.Filter) eventfilter.Filter {
	return list{filters, eventfilter.FailFilter}
}

func anyOf(filters []eventfilter.Filter) eventfilter.Filter {
	return list{filters, eventfilter.PassFilter}
}

// Filter implements eventfilter.Filter.
func (l list) Filter(ctx context.Context, e event.Event) eventfilter.FilterResult {
	result := eventfilter.NoFilter
	for _, one := range l.filters {
		if result = one.Filter(ctx, e); result == l.decisive {
			break
		}
	}
	return result
}

// Cleanup implements eventfilter.Filter.
func (list) Cleanup() {}
