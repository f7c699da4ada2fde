package resources

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

func schedules(owner string) *Schedules {
	return &Schedules{Owner: metav1.ObjectMeta{Namespace: "team", Name: owner, Labels: map[string]string{"a": "b"}}, Broker: "default", Source: v1alpha1.ScheduleSource("function", "team", owner)}
}

// TestPingSources: Knative admits what admission here lets through, and the events go to the
// Broker with the schedule's type and the owner's source.
func TestPingSources(t *testing.T) {
	t.Parallel()
	s := schedules("greeter")
	all := s.PingSources([]v1alpha1.Schedule{
		{Name: "a", Cron: "*/10 * * * * *"},
		{Name: "paused", Cron: "@daily", Suspend: true},
		{Name: "b", Cron: "@hourly", TimeZone: "Europe/Berlin", Type: "io.example.tick", Data: `{"a": 1}`},
		{Name: "c", Cron: "0 8 * * MON-FRI", Data: "[1]"},
		{Name: "d", Cron: "0 8 * * MON-FRI", Data: "ä", ContentType: "text/plain; charset=utf-8"},
	})
	if len(all) != 4 || len(s.Owner.Labels) != 1 {
		t.Fatalf("%d PingSources, and the owner has %v", len(all), s.Owner.Labels)
	}
	for i, want := range []struct{ schedule, eventType, contentType string }{
		{"a", "io.knative.lambda.invoke.scheduled", ""},
		{"b", "io.example.tick", "application/json"},
		{"c", "io.knative.lambda.invoke.scheduled", "text/plain"},
		{"d", "io.knative.lambda.invoke.scheduled", "text/plain; charset=utf-8"},
	} {
		p := all[i]
		if err := p.Validate(t.Context()); err != nil {
			t.Errorf("Knative refuses %s: %v", want.schedule, err)
		}
		if p.Labels[lambda.ScheduleLabelKey] != want.schedule || p.Labels["a"] != "b" || p.Spec.ContentType != want.contentType {
			t.Errorf("labels %v, content type %q; want schedule %q, %q", p.Labels, p.Spec.ContentType, want.schedule, want.contentType)
		}
		sink := apis.HTTP("broker.test")
		sink.Path = "/team/default"
		got := sink.ResolveReference(p.Spec.Sink.URI).URL()
		if got.Path != "/team/default" || p.Spec.Sink.Ref.Name != "default" {
			t.Errorf("sink %s of Broker %s", got, p.Spec.Sink.Ref.Name)
		}
		if diff := cmp.Diff(url.Values{"ce-type": {want.eventType}, "ce-subject": {want.schedule}, "ce-source": {"io.knative.lambda/function/team/greeter/schedules"}}, got.Query()); diff != "" {
			t.Errorf("%s (-want, +got): %s", want.schedule, diff)
		}
		var again sourcesv1.PingSource
		if text, err := json.Marshal(p); err != nil || json.Unmarshal(text, &again) != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, &again); diff != "" {
			t.Errorf("what the API server stores differs (-want, +got): %s", diff)
		}
	}
}

// TestScheduleConstants: the API writes out what pkg/events has.
func TestScheduleConstants(t *testing.T) {
	t.Parallel()
	if v1alpha1.DefaultScheduleType != events.InvokeScheduled || v1alpha1.ScheduleSource("agent", "a", "b") != events.Source("agent", "a", "b")+"/schedules" {
		t.Errorf("%s from %s", v1alpha1.DefaultScheduleType, v1alpha1.ScheduleSource("agent", "a", "b"))
	}
}

// TestPingSources_Names are valid, and differ for any two schedules of any two owners.
func TestPingSources_Names(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 63)
	seen := map[string]bool{}
	for _, owner := range []string{"a", "a-b", long, long[:62]} {
		for _, name := range []string{"b", "b-c", "c", long, long[:62]} {
			got := schedules(owner).PingSources([]v1alpha1.Schedule{{Name: name, Cron: "@daily"}})[0].Name
			if msgs := validation.IsDNS1123Label(got); len(msgs) > 0 || seen[got] {
				t.Errorf("schedule %s of %s is named %s: %v", name, owner, got, msgs)
			}
			seen[got] = true
		}
	}
}
