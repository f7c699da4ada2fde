package routing

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/eventfilter"
	"knative.dev/eventing/pkg/eventfilter/attributes"
	"knative.dev/eventing/pkg/eventfilter/subscriptionsapi"
)

// Few values, so that filters often pass; with those that a filter or a URI may spell
// in several ways.
var (
	typeValues   = []string{"a", "a.b", "A", " a", "ä", ""}
	sourceValues = []string{"/s", "/s/", "http://h/%7Ex", "http://h/~x", "urn:x:y", "/ä", "/s?a b", ""}
	names        = []string{"type", "source", "Type", "subject", "id", "ext"}
)

func pick(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

func value(r *rand.Rand, name string) string {
	switch name {
	case "source":
		return pick(r, sourceValues)
	case "subject", "id", "ext":
		return pick(r, []string{"1", "2", ""})
	}
	return pick(r, typeValues)
}

func pairs(r *rand.Rand) map[string]string {
	m := map[string]string{}
	for range r.IntN(3) {
		name := pick(r, names)
		m[name] = value(r, name)
	}
	return m
}

// generated filter; several dialects may be set at once, of which only one counts.
func generated(r *rand.Rand, depth int) (f eventingv1.SubscriptionsAPIFilter) {
	for range 1 + r.IntN(2) {
		switch r.IntN(7) {
		case 0, 1:
			f.Exact = pairs(r)
		case 2:
			f.Prefix = pairs(r)
		case 3:
			f.Suffix = pairs(r)
		case 4:
			f.CESQL = pick(r, []string{"type = 'a'", "EXISTS ext", "source LIKE '%s%'"})
		case 5:
			if depth > 0 {
				f.All = list(r, depth-1)
			}
		case 6:
			if depth > 0 {
				f.Any = list(r, depth-1)
			} else {
				f.Not = &eventingv1.SubscriptionsAPIFilter{Exact: map[string]string{"type": "a"}}
			}
		}
	}
	return f
}

func list(r *rand.Rand, depth int) (l []eventingv1.SubscriptionsAPIFilter) {
	for range r.IntN(4) {
		l = append(l, generated(r, depth))
	}
	return l
}

func anEvent(r *rand.Rand) *event.Event {
	e := event.New()
	e.SetID(value(r, "id"))
	e.SetType(pick(r, typeValues))
	e.SetSource(pick(r, sourceValues))
	e.SetSubject(value(r, "subject"))
	e.SetExtension("ext", value(r, "ext"))
	if r.IntN(2) == 0 { // as structured events are: types are not trimmed
		e.Context.(*event.EventContextV1).Type = pick(r, typeValues)
	}
	return &e
}

// evaluator as Knative's own dispatcher makes it.
func evaluator(spec *eventingv1.TriggerSpec) eventfilter.Filter {
	switch {
	case len(spec.Filters) > 0:
		return subscriptionsapi.CreateSubscriptionsAPIFilters(zap.NewNop(), spec.Filters)
	case spec.Filter != nil:
		return attributes.NewAttributesFilter(spec.Filter.Attributes)
	}
	return subscriptionsapi.NewNoFilter()
}

// cleanup ends the goroutines of a filter. The library swaps the entries of a list in
// the background, so that it may clean one up twice, which panics.
func cleanup(f eventfilter.Filter) {
	defer func() { _ = recover() }()
	f.Cleanup()
}

// TestBinding_WhenFilterPasses_KeyMatches: an event that passes a Trigger's filter has the
// Trigger's key, or the Trigger would miss it.
func TestBinding_WhenFilterPasses_KeyMatches(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	passed, selected := 0, 0
	for range 5_000 {
		spec := &eventingv1.TriggerSpec{}
		if r.IntN(4) > 0 {
			spec.Filters = list(r, 2)
		}
		if r.IntN(2) == 0 {
			spec.Filter = &eventingv1.TriggerFilter{Attributes: pairs(r)}
		}
		trigger := &eventingv1.Trigger{Spec: *spec}
		filter, binding := evaluator(spec), Binding(broker, trigger)
		for range 20 {
			e := anEvent(r)
			if filter.Filter(t.Context(), *e) == eventfilter.FailFilter {
				continue
			}
			passed++
			if selective(trigger) {
				selected++
			}
			if !slices.Contains(Keys(broker, e.Type(), e.Source()), binding) {
				t.Fatalf("seed %d: event %s passes %+v, but has not its key", seed, e, spec)
			}
		}
		cleanup(filter)
	}
	if passed < 10_000 || selected < 500 {
		t.Errorf("seed %d: %d events passed, %d a selective filter: the test proves little", seed, passed, selected)
	}
}
