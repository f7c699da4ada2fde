package v1alpha1

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/cesql"
)

// What validating the filters of one object may take: far more than it takes, and far
// less than the 10 seconds after which the API server gives up.
const (
	maxFilterTime   = 3 * time.Second
	maxFilterMemory = 128 << 20
)

// bounded calls f and fails if it takes more than that.
func bounded(t testing.TB, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > maxFilterTime {
		t.Errorf("it takes %s, want at most %s", took, maxFilterTime)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > maxFilterMemory {
		t.Errorf("it takes %d bytes of memory, want at most %d", n, maxFilterMemory)
	}
}

func expression(text string) EventFilter {
	return EventFilter{eventingv1.SubscriptionsAPIFilter{CESQL: text}}
}

func nested(depth int) EventFilter {
	f := eventingv1.SubscriptionsAPIFilter{CESQL: "TRUE"}
	for range depth - 1 {
		f = eventingv1.SubscriptionsAPIFilter{Not: f.DeepCopy()}
	}
	return EventFilter{f}
}

func filters(n int, f EventFilter) (list []EventFilter) {
	for range n {
		list = append(list, f)
	}
	return list
}

// triggers have so many filters together, and as many as they may have each.
func triggers(n int, f EventFilter) (list []FunctionTrigger) {
	for i := 0; n > 0; i++ {
		m := min(n, MaxFilterList)
		list = append(list, FunctionTrigger{Broker: fmt.Sprintf("b%d", i), Filters: filters(m, f)})
		n -= m
	}
	return list
}

// TestFilters_Bounded: the largest filters that are admitted take little, and so do
// larger ones, which are refused by the name of the field.
func TestFilters_Bounded(t *testing.T) {
	longest := cesql.MaxLength
	slow := strings.Repeat("-a+", (longest-1)/3) + "a"
	alternatives := EventFilter{}
	for range MaxFilterList {
		alternatives.Any = append(alternatives.Any, eventingv1.SubscriptionsAPIFilter{CESQL: "TRUE"})
	}
	tooMany := alternatives.DeepCopy()
	tooMany.Any = append(tooMany.Any, alternatives.Any[0])
	long := strings.Repeat("v", MaxFilterBytes)
	for _, tt := range []struct {
		name     string
		triggers []FunctionTrigger
		want     string
	}{
		{"32 of the slowest expressions", triggers(MaxFilterBytes/longest, expression(slow)), ""},
		{"33 of the slowest expressions", triggers(MaxFilterBytes/longest+1, expression(slow)), "expected filters of at most 32768 bytes in all: triggers[0].filters[32]"},
		{"one that is too long", triggers(1, expression(strings.Repeat("-", longest)+"a")), "invalid value: ----------------------------------------------------------------…: triggers[0].filters[0].cesql\nexpected at most 1024 bytes, got 1025"},
		{"one megabyte", triggers(1, expression(strings.Repeat("(", 1<<20))), "expected filters of at most 32768 bytes in all: triggers[0].filters[0]"},
		{"1000 parentheses", triggers(1, expression(strings.Repeat("(", 1000))), "invalid value: ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((…: triggers[0].filters[0].cesql\nexpected parentheses, NOT and minus signs that are nested at most 32 deep"},
		{"256 filters", triggers(MaxFilters, expression("TRUE")), ""},
		{"257 filters", triggers(MaxFilters+1, expression("TRUE")), "expected at most 256 filters in all, nested ones included: triggers[4].filters[0]"},
		{"64 alternatives", triggers(1, alternatives), ""},
		{"65 alternatives", triggers(1, EventFilter{tooMany.SubscriptionsAPIFilter}), "expected at most 64 filters, got 65: triggers[0].filters[0].any"},
		{"65 filters of a trigger", []FunctionTrigger{{Broker: "b", Filters: filters(65, expression("TRUE"))}}, "expected at most 64 filters, got 65: triggers[0].filters"},
		{"8 deep", triggers(1, nested(MaxFilterDepth)), ""},
		{"9 deep", triggers(1, nested(MaxFilterDepth+1)), "expected filters that are nested at most 8 deep: triggers[0].filters[0]" + strings.Repeat(".not", MaxFilterDepth)},
		{"4000 deep", triggers(1, nested(4000)), "expected filters that are nested at most 8 deep: triggers[0].filters[0]" + strings.Repeat(".not", MaxFilterDepth)},
		{"a long attribute", []FunctionTrigger{{Broker: "b", Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": long}}}}, "expected filters of at most 32768 bytes in all: triggers[0].filter.attributes"},
		{"100000 triggers", make([]FunctionTrigger, 100_000), "expected at most 64 triggers, got 100000: triggers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := &LambdaFunctionSpec{Triggers: tt.triggers}
			var err *apis.FieldError
			bounded(t, func() { err = spec.validateTriggers(context.Background()) })
			if got := message(err); got != tt.want {
				t.Errorf("error %q, want %q", got, tt.want)
			}
			if subscriptions := len(tt.triggers); subscriptions > 256 { // of which the schema allows no more
				return
			}
			agent := &AgentEventing{Enabled: true}
			for _, trigger := range tt.triggers {
				agent.Subscriptions = append(agent.Subscriptions, AgentSubscription{EventType: "a.b", Filters: trigger.Filters})
			}
			bounded(t, func() { err = (&LambdaAgentSpec{Eventing: agent}).validateEventing(context.Background()) })
			if want := strings.ReplaceAll(tt.want, "triggers[", "subscriptions["); want != "" && !strings.Contains(want, "filter.attributes") && !strings.Contains(message(err), want) {
				t.Errorf("of an agent: error %q, want %q", message(err), want)
			}
		})
	}
}

func message(err *apis.FieldError) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzFilters: whatever the filters of an object are, validating them takes little.
func FuzzFilters(f *testing.F) {
	for _, list := range [][]FunctionTrigger{
		triggers(MaxFilterBytes/cesql.MaxLength, expression(strings.Repeat("NOT a AND ", 100)+"a")),
		triggers(2, nested(MaxFilterDepth)), triggers(1, nested(200)), triggers(70, expression("type LIKE 'a%' AND subject IN ('b', 'c')")),
	} {
		data, err := json.Marshal(list)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`[{"broker":"b","filter":{"attributes":{"type":"a"}},"filters":[{"exact":{"a":"b"}},{"any":[{"prefix":{"a":"b"}},{"all":[{"suffix":{"c":"d"}}]}]}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []FunctionTrigger
		if json.Unmarshal(data, &list) != nil {
			return
		}
		spec := &LambdaFunctionSpec{Triggers: list}
		bounded(t, func() {
			if errs := spec.validateTriggers(context.Background()); errs != nil && errs.Error() == "" {
				t.Error("an error says nothing")
			}
		})
	})
}
