package calls_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// TestOf: only a Trigger that a function or an agent controls reports outcomes.
func TestOf(t *testing.T) {
	t.Parallel()
	owner := func(apiVersion, kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "greeter", Controller: ptr.Bool(true)}}
	}
	const group = "lambda.knative.io/v1alpha1"
	for name, tt := range map[string]struct {
		owners  []metav1.OwnerReference
		source  string
		callee  string
		subject string
	}{
		"a function":         {owner(group, "LambdaFunction"), "/s", "function/team/greeter", "team/greeter"},
		"an agent":           {owner(group, "LambdaAgent"), "/s", "agent/team/greeter", "team/agents/greeter"},
		"another kind":       {owner(group, "ApprovalRequest"), "/s", "", ""},
		"another group":      {owner("example.io/v1", "LambdaFunction"), "/s", "", ""},
		"a similar group":    {owner("lambda.knative.io.example/v1", "LambdaFunction"), "/s", "", ""},
		"nothing":            {nil, "/s", "", ""},
		"no controller":      {[]metav1.OwnerReference{{APIVersion: group, Kind: "LambdaFunction", Name: "greeter"}}, "/s", "", ""},
		"no source":          {owner(group, "LambdaFunction"), "", "", ""},
		"a source of no URI": {owner(group, "LambdaFunction"), "a b", "", ""},
	} {
		trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "t", OwnerReferences: tt.owners}}
		trigger.Spec.Broker = "default"
		if tt.source != "" {
			trigger.Annotations = map[string]string{lambda.OutcomeSourceAnnotationKey: tt.source}
		}
		c, source, ok := calls.Of(trigger)
		if ok != (tt.callee != "") {
			t.Errorf("%s: found is %v", name, ok)
		}
		if keys, err := calls.IndexFunc(trigger); len(keys) > 0 || err != nil {
			t.Errorf("%s, without a queue: keys %v, %v", name, keys, err)
		}
		assignment.Assignment{Queue: assignment.Queues(trigger)[0], Keys: []string{"k"}}.Record(trigger)
		keys, err := calls.IndexFunc(trigger)
		if !ok {
			if len(keys) > 0 || err != nil {
				t.Errorf("%s: keys %v, %v", name, keys, err)
			}
			continue
		}
		if c.String() != tt.callee || c.Subject() != tt.subject || source != tt.source || !slices.Equal(keys, []string{calls.IndexKey("default", c)}) {
			t.Errorf("%s: %s with subject %s and source %s, keys %v", name, c, c.Subject(), source, keys)
		}
		if parsed, ok := calls.Parse(c.String()); !ok || parsed != c {
			t.Errorf("%s: Parse(%s) = %v, %v", name, c, parsed, ok)
		}
	}
	for _, text := range []string{"", "function/team", "function//greeter", "job/team/greeter", "function/team/a/b"} {
		if c, ok := calls.Parse(text); ok {
			t.Errorf("Parse(%q) = %v", text, c)
		}
	}
}
