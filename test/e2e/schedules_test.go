//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// everyFew seconds.
const everyFew = "*/5 * * * * *"

func ticks(change ...func(*v1alpha1.Schedule)) []v1alpha1.Schedule {
	s := v1alpha1.Schedule{Name: "ticks", Cron: everyFew, TimeZone: "Europe/Berlin", Data: `{"of": "clock"}`}
	for _, c := range change {
		c(&s)
	}
	return []v1alpha1.Schedule{s}
}

// ticked are the events of schedules, each of which has come once.
func ticked(t *testing.T, got []seen, component, namespace, name, eventType string) (n int) {
	t.Helper()
	ids := map[string]bool{}
	for _, s := range got {
		if s.Source != v1alpha1.ScheduleSource(component, namespace, name) || s.Type != eventType {
			continue
		}
		if data, ok := s.Data.(map[string]any); !ok || data["of"] != "clock" {
			t.Errorf("the data of %+v is not the schedule's", s)
		}
		if ids[s.ID] {
			t.Errorf("%+v was delivered twice", s)
		}
		ids[s.ID] = true
	}
	return len(ids)
}

// pingSources of an owner, by its label.
func pingSources(ctx context.Context, t *testing.T, namespace, label, name string) []sourcesv1.PingSource {
	t.Helper()
	list, err := clients.Eventing.SourcesV1().PingSources(namespace).List(ctx, metav1.ListOptions{LabelSelector: label + "=" + name})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func awaitNoPingSources(ctx context.Context, t *testing.T, namespace, label, name string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		return len(pingSources(ctx, t, namespace, label, name)) == 0, nil
	})
	if err != nil {
		t.Errorf("the PingSources of %s remain: %v", name, err)
	}
}

// TestSchedules: a function gets each tick once, with the data of the schedule, although
// a trigger of its own matches them as well; an edit takes effect in place, and a removed
// schedule has no PingSource.
func TestSchedules(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := rememberer(namespace, "clerk")
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true}
	f.Spec.Triggers = []v1alpha1.FunctionTrigger{{Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": events.InvokeScheduled}}}}
	f.Spec.Schedules = ticks()
	f = ready(ctx, t, create(ctx, t, f))
	remembers(ctx, t, f, "ticks of the schedule", func(got []seen) bool {
		return ticked(t, got, "function", namespace, f.Name, events.InvokeScheduled) >= 2
	})
	before := pingSources(ctx, t, namespace, lambda.FunctionLabelKey, f.Name)

	const edited = "io.example.tick"
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Schedules = ticks(func(s *v1alpha1.Schedule) { s.Type = edited })
	}))
	remembers(ctx, t, f, "ticks of the edited schedule", func(got []seen) bool {
		return ticked(t, got, "function", namespace, f.Name, edited) >= 1
	})
	after := pingSources(ctx, t, namespace, lambda.FunctionLabelKey, f.Name)
	if len(before) != 1 || len(after) != 1 || before[0].UID != after[0].UID {
		t.Errorf("the PingSources are %+v, and after an edit %+v; want one that stays", before, after)
	}
	triggers := len(triggersOf(ctx, t, f))

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Schedules[0].Suspend = true }))
	awaitNoPingSources(ctx, t, namespace, lambda.FunctionLabelKey, f.Name)
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Schedules = nil }))
	awaitNoPingSources(ctx, t, namespace, lambda.FunctionLabelKey, f.Name)
	if n := len(triggersOf(ctx, t, f)); n != triggers-1 {
		t.Errorf("%d Triggers without schedules, %d with them; want one less", n, triggers)
	}
}

// TestSchedulesOfAgents: an agent without subscriptions gets the ticks.
func TestSchedulesOfAgents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	a := createAgent(ctx, t, agentOf(namespace, "clerk", imageOf(ctx, t, namespace, "clerk-image", remember), listens(), func(s *v1alpha1.LambdaAgentSpec) {
		s.Schedules = ticks()
	}))
	a = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	remembersAt(ctx, t, a.Status.URL, "ticks of the schedule", func(got []seen) bool {
		return ticked(t, got, "agent", namespace, a.Name, events.InvokeScheduled) >= 2
	})
	updateAgent(ctx, t, a, func(s *v1alpha1.LambdaAgentSpec) { s.Schedules = nil })
	awaitNoPingSources(ctx, t, namespace, lambda.AgentLabelKey, a.Name)
	awaitAgent(ctx, t, a, "Ready without schedules", (*v1alpha1.LambdaAgent).IsReady)
}

// TestFailedTicksAreDeadLetters: after as many attempts as were asked for.
func TestFailedTicksAreDeadLetters(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "late", "def handler(event, context):\n    raise ValueError('not today')\n")
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(1), RetryBackoffDelay: v1alpha1.NewDuration(100 * time.Millisecond)}}
	f.Spec.Schedules = ticks()
	f = ready(ctx, t, create(ctx, t, f))
	var list receiverv1.DeadLetterList
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		said, err := kubectlLambda(ctx, namespace, "dlq", "list", f.Name, "-o", "json")
		if err != nil || json.Unmarshal([]byte(said), &list) != nil {
			return false, nil //nolint:nilerr // the receiver may be starting
		}
		return slices.ContainsFunc(list.Items, func(l receiverv1.DeadLetter) bool {
			return l.Source == v1alpha1.ScheduleSource("function", namespace, f.Name) && l.Type == events.InvokeScheduled && l.Subject == "ticks" &&
				l.ErrorCode == http.StatusInternalServerError && l.ErrorReason == "ValueError: not today" && l.Attempts == 2
		}), nil
	})
	if err != nil {
		t.Fatalf("no tick is a dead letter with code 500 after 2 attempts: %v; there are %+v", err, list.Items)
	}
}
