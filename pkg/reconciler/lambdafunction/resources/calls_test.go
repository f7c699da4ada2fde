package resources

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestSubscriptions_Calls: no call is delivered twice, and none is lost.
func TestSubscriptions_Calls(t *testing.T) {
	t.Parallel()
	type attributes = map[string]string
	calls := attributes{"type": "io.knative.lambda.invoke.async", "subject": "team/greeter"}
	enabled := func(triggers ...v1alpha1.FunctionTrigger) func(*v1alpha1.LambdaFunction) {
		return func(f *v1alpha1.LambdaFunction) {
			f.Spec.Eventing, f.Spec.Triggers = &v1alpha1.FunctionEventing{Enabled: true, Broker: "b"}, triggers
		}
	}
	for name, tt := range map[string]struct {
		change func(*v1alpha1.LambdaFunction)
		// those that report outcomes, and those that leave calls out, by their index.
		calls, without []int
		all            int
	}{
		"no triggers":                          {enabled(), []int{0}, nil, 1},
		"of another type":                      {enabled(trigger("b", attributes{"type": "order"})), []int{0}, nil, 2},
		"of any type":                          {enabled(trigger("b", attributes{"source": "/s"})), []int{0}, []int{1}, 2},
		"of any type elsewhere":                {enabled(trigger("c", attributes{"source": "/s"})), []int{0}, nil, 2},
		"of the type":                          {enabled(trigger("b", attributes{"type": calls["type"]})), []int{0}, []int{1}, 2},
		"of another subject":                   {enabled(trigger("b", attributes{"subject": "team/other"})), []int{0}, nil, 2},
		"all calls":                            {enabled(trigger("b", calls), trigger("b", nil)), []int{0}, []int{1}, 2},
		"some calls":                           {enabled(trigger("b", calls, prefix("id", "a"))), []int{0}, []int{1}, 2},
		"calls of another broker":              {enabled(trigger("c", calls)), []int{0}, nil, 2},
		"triggers without a broker of its own": {func(f *v1alpha1.LambdaFunction) { f.Spec.Triggers = []v1alpha1.FunctionTrigger{trigger("b", nil)} }, nil, nil, 1},
	} {
		f := function(tt.change)
		all := Subscriptions(f, true)
		var got, without []int
		for i, s := range all {
			if s.Calls {
				got = append(got, i)
			}
			if s.NoCalls {
				without = append(without, i)
			}
		}
		if diff := cmp.Diff([]any{tt.calls, tt.without, tt.all}, []any{got, without, len(all)}); diff != "" {
			t.Errorf("%s (-want, +got): %s", name, diff)
		}
	}
	f := function(enabled(trigger("b", nil)))
	for _, s := range Subscriptions(f, true) {
		made := MakeTrigger(f, s, lambda.BrokerClass, nil, eventingConfig())
		source := made.Annotations[lambda.OutcomeSourceAnnotationKey]
		filters := made.Spec.Filters
		if last := filters[len(filters)-1]; s.Calls && source != "io.knative.lambda/function/team/greeter" || !s.Calls && (source != "" || !cmp.Equal(last, filter{Not: &filter{Exact: calls}})) {
			t.Errorf("Trigger %s of source %q has filters %v", made.Name, source, filters)
		}
	}
}

// TestDeliveryTimeout: the spec's, else what a call and its start may take.
func TestDeliveryTimeout(t *testing.T) {
	t.Parallel()
	for want, spec := range map[string]*v1alpha1.Duration{"PT1M30S": nil, "PT5M": v1alpha1.NewDuration(5 * time.Minute), "PT10S": v1alpha1.NewDuration(10 * time.Second)} {
		f := function(func(f *v1alpha1.LambdaFunction) {
			f.Spec.Runtime.Timeout = v1alpha1.NewDuration(time.Minute)
			f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, CallSpec: v1alpha1.CallSpec{DeliveryTimeout: spec}}
		})
		if got := delivery(f, nil, eventingConfig()).Timeout; !cmp.Equal(got, ptr.String(want)) {
			t.Errorf("timeout %v, want %s", *got, want)
		}
	}
}

// TestCallsURL: only a Broker that reports outcomes accepts calls.
func TestCallsURL(t *testing.T) {
	t.Parallel()
	f := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "b"}
	})
	if u := CallsURL(f, lambda.BrokerClass); u == nil || u.Path != "/team/b/calls/function/greeter" {
		t.Errorf("CallsURL() = %v", u)
	}
	if u := CallsURL(f, config.RabbitMQBrokerClass); u != nil {
		t.Errorf("CallsURL() of another class = %v", u)
	}
	f.Spec.Eventing.Enabled = false
	if u := CallsURL(f, lambda.BrokerClass); u != nil {
		t.Errorf("CallsURL() without eventing = %v", u)
	}
}
