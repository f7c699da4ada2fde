package filter

import (
	"context"
	"errors"
	"fmt"

	sdk "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	"knative.dev/eventing/pkg/eventfilter"

	"github.com/brunovlucena/knative-lambda-operator/internal/cesql"
)

// ErrEvaluation says that an expression in CESQL failed on an event, as a division by zero
// does.
var ErrEvaluation = errors.New("an expression failed")

// expression in CESQL. The library's filter would parse without bounds, and hides errors.
type expression struct{ parsed sdk.Expression }

var _ eventfilter.Filter = expression{}

func newExpression(text string) (eventfilter.Filter, error) {
	parsed, err := cesql.Parse(text)
	if err != nil {
		return nil, err
	}
	return expression{parsed}, nil
}

// Filter implements eventfilter.Filter.
func (x expression) Filter(ctx context.Context, e event.Event) eventfilter.FilterResult {
	result, err := x.parsed.Evaluate(e)
	if err != nil {
		fail(ctx, err)
		return eventfilter.FailFilter
	}
	if !result.(bool) { //nolint:forcetypeassert // Match recovers, as for other panics of the library
		return eventfilter.FailFilter
	}
	return eventfilter.PassFilter
}

// Cleanup implements eventfilter.Filter.
func (expression) Cleanup() {}

type failureKey struct{}

// withFailure lets fail set the error.
func withFailure(ctx context.Context, err *error) context.Context {
	return context.WithValue(ctx, failureKey{}, err)
}

// fail keeps the first error of the expressions of a filter.
func fail(ctx context.Context, err error) {
	if first, ok := ctx.Value(failureKey{}).(*error); ok && *first == nil {
		*first = fmt.Errorf("%w: %w", ErrEvaluation, err)
	}
}
