package filtersize

import (
	"strings"
	"testing"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

type filter = eventingv1.SubscriptionsAPIFilter

func nested(depth int) filter {
	f := filter{CESQL: "TRUE"}
	for range depth - 1 {
		f = filter{Not: f.DeepCopy()}
	}
	return f
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	many := func(n int, f filter) (list []filter) {
		for range n {
			list = append(list, f)
		}
		return list
	}
	long := strings.Repeat("v", MaxBytes)
	for name, tt := range map[string]struct {
		spec eventingv1.TriggerSpec
		want string
	}{
		"none":          {eventingv1.TriggerSpec{}, ""},
		"64 in a list":  {eventingv1.TriggerSpec{Filters: many(MaxList, filter{CESQL: "TRUE"})}, ""},
		"65 in a list":  {eventingv1.TriggerSpec{Filters: many(MaxList+1, filter{})}, "expected at most 64 filters, got 65: filters"},
		"65 in any":     {eventingv1.TriggerSpec{Filters: []filter{{Any: many(MaxList+1, filter{})}}}, "expected at most 64 filters, got 65: filters[0].any"},
		"257 in all":    {eventingv1.TriggerSpec{Filters: many(8, filter{All: many(33, filter{})})}, "expected at most 256 filters in all, nested ones included: filters[7].all[17]"},
		"8 deep":        {eventingv1.TriggerSpec{Filters: []filter{nested(MaxDepth)}}, ""},
		"9 deep":        {eventingv1.TriggerSpec{Filters: []filter{nested(MaxDepth + 1)}}, "expected filters that are nested at most 8 deep: filters[0]" + strings.Repeat(".not", MaxDepth)},
		"long value":    {eventingv1.TriggerSpec{Filters: []filter{{Prefix: map[string]string{"type": long}}}}, "expected filters of at most 32768 bytes in all: filters[0]"},
		"long filter":   {eventingv1.TriggerSpec{Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": long}}}, "expected filters of at most 32768 bytes in all: filter.attributes"},
		"not of a list": {eventingv1.TriggerSpec{Filters: []filter{{Not: &filter{All: many(MaxList+1, filter{})}}}}, "expected at most 64 filters, got 65: filters[0].not.all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := Trigger(&tt.spec); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Trigger = %q, want %q", got, tt.want)
			}
		})
	}
}
