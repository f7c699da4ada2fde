package filter

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/eventfilter"
	"knative.dev/eventing/pkg/eventfilter/subscriptionsapi"
)

type subscription = eventingv1.SubscriptionsAPIFilter

func anEvent(change func(*event.Event)) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("order.placed")
	e.SetSource("/shop")
	e.SetExtension("region", "eu")
	e.SetExtension("count", 3)
	if change != nil {
		change(&e)
	}
	return &e
}

func exact(name, value string) subscription {
	return subscription{Exact: map[string]string{name: value}}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	attribute := func(name, value string) *eventingv1.TriggerFilter {
		return &eventingv1.TriggerFilter{Attributes: map[string]string{name: value}}
	}
	for name, tt := range map[string]struct {
		spec  eventingv1.TriggerSpec
		want  bool
		panic bool
		fails bool
	}{
		"none":                             {want: true},
		"filter":                           {spec: eventingv1.TriggerSpec{Filter: attribute("type", "order.placed")}, want: true},
		"filter, other type":               {spec: eventingv1.TriggerSpec{Filter: attribute("type", "other")}},
		"filter, any value":                {spec: eventingv1.TriggerSpec{Filter: attribute("region", "")}, want: true},
		"filter, any subject, absent":      {spec: eventingv1.TriggerSpec{Filter: attribute("subject", "")}},
		"empty filters leave filter":       {spec: eventingv1.TriggerSpec{Filter: attribute("type", "other"), Filters: []subscription{}}},
		"filters replace filter":           {spec: eventingv1.TriggerSpec{Filter: attribute("type", "other"), Filters: []subscription{exact("region", "eu")}}, want: true},
		"exact, typed extension":           {spec: eventingv1.TriggerSpec{Filters: []subscription{exact("count", "3")}}, want: true},
		"prefix":                           {spec: eventingv1.TriggerSpec{Filters: []subscription{{Prefix: map[string]string{"type": "order."}}}}, want: true},
		"suffix":                           {spec: eventingv1.TriggerSpec{Filters: []subscription{{Suffix: map[string]string{"type": ".paid"}}}}},
		"all of the list":                  {spec: eventingv1.TriggerSpec{Filters: []subscription{exact("region", "eu"), exact("type", "other")}}},
		"any":                              {spec: eventingv1.TriggerSpec{Filters: []subscription{{Any: []subscription{exact("type", "other"), exact("region", "eu")}}}}, want: true},
		"any of none":                      {spec: eventingv1.TriggerSpec{Filters: []subscription{{Any: []subscription{exact("type", "other"), exact("region", "us")}}}}},
		"not":                              {spec: eventingv1.TriggerSpec{Filters: []subscription{{Not: &subscription{Exact: map[string]string{"region": "eu"}}}}}},
		"not of nothing":                   {spec: eventingv1.TriggerSpec{Filters: []subscription{{Not: &subscription{}}}}, want: true},
		"an empty entry":                   {spec: eventingv1.TriggerSpec{Filters: []subscription{{}}}, want: true},
		"CESQL":                            {spec: eventingv1.TriggerSpec{Filters: []subscription{{CESQL: "region = 'eu' AND count > 2"}}}, want: true},
		"CESQL, attribute absent":          {spec: eventingv1.TriggerSpec{Filters: []subscription{{CESQL: "missing > 2"}}}, fails: true},
		"CESQL, division by zero":          {spec: eventingv1.TriggerSpec{Filters: []subscription{{CESQL: "count / 0 = 1"}}}, fails: true},
		"any of CESQL that fails":          {spec: eventingv1.TriggerSpec{Filters: []subscription{{Any: []subscription{{CESQL: "1 / 0 = 1"}, exact("region", "eu")}}}}, want: true, fails: true},
		"not of CESQL that fails":          {spec: eventingv1.TriggerSpec{Filters: []subscription{{Not: &subscription{CESQL: "1 / 0 = 1"}}}}, want: true, fails: true},
		"CESQL, result is no boolean":      {spec: eventingv1.TriggerSpec{Filters: []subscription{{CESQL: "count + 1"}}}, panic: true},
		"not of CESQL that panics":         {spec: eventingv1.TriggerSpec{Filters: []subscription{{Not: &subscription{CESQL: "count + 1"}}}}, panic: true},
		"the first dialect of an entry is": {spec: eventingv1.TriggerSpec{Filters: []subscription{{Exact: map[string]string{"region": "eu"}, CESQL: "FALSE"}}}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := New(&tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Match(t.Context(), anEvent(nil))
			if got != tt.want || errors.Is(err, ErrPanic) != tt.panic || errors.Is(err, ErrEvaluation) != tt.fails {
				t.Errorf("Match = %t, %v; want %t, panic %t, failure %t", got, err, tt.want, tt.panic, tt.fails)
			}
		})
	}
}

// TestNew_WhenInvalid_Fails: what the library would leave out is an error that names
// the filter.
func TestNew_WhenInvalid_Fails(t *testing.T) {
	t.Parallel()
	deep := subscription{CESQL: "TRUE"}
	for range 200 {
		deep = subscription{Not: deep.DeepCopy()}
	}
	for name, tt := range map[string]struct {
		filters []subscription
		want    string
	}{
		"exact without a value": {[]subscription{exact("type", "")}, "spec.filters[0] is not valid"},
		"CESQL, incomplete":     {[]subscription{exact("a", "b"), {CESQL: "a ="}}, "spec.filters[1] is not valid"},
		"CESQL, too long":       {[]subscription{{CESQL: strings.Repeat("(", 2_000)}}, "expected at most 1024 bytes"},
		"within":                {[]subscription{{All: []subscription{{Any: []subscription{{CESQL: "("}}}}}}, "spec.filters[0].all[0].any[0]"},
		"not":                   {[]subscription{{Not: &subscription{CESQL: "("}}}, "spec.filters[0].not"},
		"too deep":              {[]subscription{deep}, "expected filters that are nested at most 8 deep: spec.filters[0].not.not.not.not.not.not.not.not"},
		"number out of range":   {[]subscription{{CESQL: "SUBSTRING('abc', -2147483648, 2147483647) = 'x'"}}, "spec.filters[0] is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(&eventingv1.TriggerSpec{Filters: tt.filters}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNew_Bounded: one Trigger of the largest size that an API server stores takes no
// time, and the largest filters that are allowed take little.
func TestNew_Bounded(t *testing.T) {
	list := func(n int, text string) (all []subscription) {
		for range n {
			all = append(all, subscription{CESQL: text})
		}
		return all
	}
	slowest := strings.Repeat("NOT a AND ", 100) + "a"
	for name, tt := range map[string]struct {
		filters []subscription
		valid   bool
		most    time.Duration
	}{
		"12,001 expressions":     {list(12_001, "type LIKE '%a%b%c%d%e%f%g%h%i%j%k%l%m%n%o%p%q%r%s%t%u%v%w' OR TRUE"), false, 50 * time.Millisecond},
		"nested in one another":  {[]subscription{{All: list(12_001, slowest)}}, false, 50 * time.Millisecond},
		"one expression of 1 MB": {list(1, strings.Repeat("(", 1<<20)), false, 50 * time.Millisecond},
		"largest allowed":        {list(32, slowest), true, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := New(&eventingv1.TriggerSpec{Filters: tt.filters})
			if took := time.Since(start); (err == nil) != tt.valid || took > tt.most {
				t.Errorf("New = %v after %s, want valid %t within %s", err, took, tt.valid, tt.most)
			} else {
				t.Log(took)
			}
		})
	}
}

func generated(r *rand.Rand, depth int) (f subscription) {
	name := []string{"type", "source", "region", "count", "subject", "missing"}[r.IntN(6)]
	value := []string{"order.placed", "/shop", "eu", "3", "order"}[r.IntN(5)]
	switch r.IntN(7) {
	case 0:
		return exact(name, value)
	case 1:
		return subscription{Prefix: map[string]string{name: value}}
	case 2:
		return subscription{Suffix: map[string]string{name: value}}
	case 3:
		return subscription{CESQL: name + " = '" + value + "'"}
	}
	if depth == 0 {
		return exact(name, value)
	}
	list := []subscription{generated(r, depth-1), generated(r, depth-1)}
	switch r.IntN(3) {
	case 0:
		return subscription{All: list}
	case 1:
		return subscription{Any: list}
	}
	return subscription{Not: &list[0]}
}

// TestMatch_IsAsInLibrary compares with Knative's own evaluator, from several
// goroutines.
func TestMatch_IsAsInLibrary(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	passed := 0
	for range 2_000 {
		filters := []subscription{generated(r, 3), generated(r, 2)}
		f, err := New(&eventingv1.TriggerSpec{Filters: filters})
		if err != nil {
			t.Fatal(err)
		}
		e := anEvent(func(e *event.Event) {
			if r.IntN(2) == 0 {
				e.SetSubject("order")
			}
		})
		want := subscriptionsapi.CreateSubscriptionsAPIFilters(zap.NewNop(), filters).Filter(t.Context(), *e) != eventfilter.FailFilter
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				if got, err := f.Match(t.Context(), e); got != want || errors.Is(err, ErrPanic) {
					t.Errorf("seed %d: Match(%+v) = %t, %v; Knative's is %t", seed, filters, got, err, want)
				}
			})
		}
		group.Wait()
		if want {
			passed++
		}
	}
	if passed < 100 || passed > 1_900 {
		t.Errorf("seed %d: %d of 2000 passed: the test proves little", seed, passed)
	}
}
