//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// awaitTriggers waits until an agent has so many Triggers of which each has a condition.
func awaitTriggers(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, n int, condition apis.ConditionType) {
	t.Helper()
	var all []eventingv1.Trigger
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		list, err := clients.Eventing.EventingV1().Triggers(a.Namespace).List(ctx, metav1.ListOptions{LabelSelector: lambda.AgentLabelKey + "=" + a.Name})
		if err != nil {
			return false, err
		}
		all = list.Items
		return len(all) == n && !slices.ContainsFunc(all, func(t eventingv1.Trigger) bool { return !t.Status.GetCondition(condition).IsTrue() }), nil
	})
	if err != nil {
		t.Fatalf("%d Triggers of agent %s that are %s: %v; there are %+v", n, a.Name, condition, err, all)
	}
}

// all reports whether every one of these events has come.
func all(got []seen, ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !has(got, id) })
}

// moody is an agent that remembers events where its mood is good, and always fails otherwise.
const moody = remember + `
keep = handler

def handler(event, context):
    if os.environ.get("MOOD") != "good":
        raise ValueError("not today")
    return keep(event, context)
`

// TestDeadLettersOfAgents: what an agent cannot take is in its queue, says why, and
// comes to it from there after a repair.
func TestDeadLettersOfAgents(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	a := createAgent(ctx, t, agentOf(namespace, "moody", imageOf(ctx, t, namespace, "moody-image", moody), listens(chatMessage), func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.DLQ = &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}
	}))
	a = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	reached(ctx, t, a.Status.URL)
	publish(ctx, t, brokerOf(a), newEvent("m-1", chatMessage, "/e2e"), newEvent("m-2", chatMessage, "/e2e"), newEvent("m-3", chatMessage, "/e2e"))
	for _, l := range deadLetters(ctx, t, namespace, "agent/moody", 3) {
		if l.ErrorCode != http.StatusInternalServerError || l.Attempts != 1 || !strings.Contains(l.Origin, "moody") {
			t.Errorf("letter = %+v, want code 500 after 1 attempt, and that it was for the agent", l)
		}
	}
	if said, err := kubectlLambda(ctx, namespace, "dlq", "replay", "agent/moody", "m-1"); err == nil {
		t.Errorf("a letter is delivered that the agent does not take: %s", said)
	}
	if said, err := kubectlLambda(ctx, namespace, "dlq", "list", "moody"); err == nil && strings.Contains(said, "m-1") {
		t.Errorf("the agent's letters are a function's: %s", said)
	}
	updateAgent(ctx, t, a, func(s *v1alpha1.LambdaAgentSpec) { s.Env = []corev1.EnvVar{{Name: "MOOD", Value: "good"}} })
	a = awaitAgent(ctx, t, a, "the repaired agent", (*v1alpha1.LambdaAgent).IsReady)
	settleAt(ctx, t, a.Status.URL, "what it remembers", 20, 3*test.Takeover, func(a test.Answer) bool { return a.Status == http.StatusOK })
	said, err := kubectlLambda(ctx, namespace, "dlq", "show", "agent/moody", "m-1")
	if err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "dlq show", said, "m-1", chatMessage)
	if said, err = kubectlLambda(ctx, namespace, "dlq", "purge", "agent/moody", "m-3"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if said, err = kubectlLambda(ctx, namespace, "dlq", "replay", "agent/moody", "--all"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	test.Contains(t, "dlq replay", said, "2 delivered, 0 stay in the queue")
	got := remembersAt(ctx, t, a.Status.URL, "the letters", func(got []seen) bool { return all(got, []string{"m-1", "m-2"}) })
	if has(got, "m-3") {
		t.Errorf("a letter that was removed has come: %+v", got)
	}
	deadLetters(ctx, t, namespace, "agent/moody", 0)
}

// TestRouteToDeletedAgent: events for an agent that was deleted become dead letters of
// the agent that sent them, and go to the agent when it exists again.
func TestRouteToDeletedAgent(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	home, away := clients.Namespace(ctx, t), clients.Namespace(ctx, t)
	const ordered = "io.example.shop.order.created"
	image := imageOf(ctx, t, home, "shop-image", remember)
	shop := createAgent(ctx, t, agentOf(away, "shop", nowhere, listens(ordered), accepts(home)))
	sender := createAgent(ctx, t, agentOf(home, "sender", nowhere, eventful, reaches(away), func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.Intents = []string{"order.created"}
	}))
	awaitRoute(ctx, t, sender, shop, ordered, "")
	if err := clients.Lambda.LambdaV1alpha1().LambdaAgents(away).Delete(ctx, shop.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitRoute(ctx, t, sender, shop, ordered, v1alpha1.ReasonTargetGone)
	const many = 60
	var sent []event.Event
	var ids []string
	for i := range many {
		e := newEvent(fmt.Sprintf("order-%02d", i), ordered, sender.EventSource())
		sent, ids = append(sent, e), append(ids, e.ID())
	}
	publish(ctx, t, brokerOf(sender), sent...)
	for _, l := range deadLetters(ctx, t, home, "agent/sender", many) {
		if !slices.Contains(ids, l.ID) || !strings.HasSuffix(l.Origin, "/"+away+"/shop") || l.ErrorReason != "agent "+away+"/shop was deleted" {
			t.Errorf("dead letter = %+v, want the Broker of the deleted agent as origin, and that it was deleted", l)
		}
	}
	if err := clients.AwaitBrokerGone(ctx, brokerOf(shop)); err != nil {
		t.Fatal(err)
	}
	shop = createAgent(ctx, t, agentOf(away, "shop", image, listens(ordered), accepts(home)))
	awaitRoute(ctx, t, sender, shop, ordered, "")
	shop = awaitAgent(ctx, t, shop, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	if replayed, err := kubectlLambda(ctx, home, "dlq", "replay", "agent/sender", "--all"); err != nil {
		t.Fatalf("%v: %s", err, replayed)
	}
	remembersAt(ctx, t, shop.Status.URL, "the orders", func(got []seen) bool { return all(got, ids) })
	publish(ctx, t, brokerOf(sender), newEvent("order-again", ordered, sender.EventSource()))
	remembersAt(ctx, t, shop.Status.URL, "an order after it is back", func(got []seen) bool { return has(got, "order-again") })
	deadLetters(ctx, t, home, "agent/sender", 0)
}

// TestReceiverThroughTheBroker: controls and requests for approval come to the receiver
// by the agent's own broker, and so does the outcome to the agent.
func TestReceiverThroughTheBroker(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	a := createAgent(ctx, t, agentOf(namespace, "careful", imageOf(ctx, t, namespace, "careful-image", remember), listens(), func(s *v1alpha1.LambdaAgentSpec) {
		s.OperationMode = v1alpha1.ModeSupervised
		s.Approval = &v1alpha1.ApprovalSpec{Custom: &v1alpha1.CustomApproval{Endpoint: "http://169.254.169.254"}, Timeout: v1alpha1.NewDuration(time.Hour)}
		s.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true, EventControls: &v1alpha1.EventControls{
			AllowEventDisable: true, ControlEventTypes: []string{events.ControlPermission}, AllowedControlSources: []string{"/guards/north"},
		}}
	}))
	awaitTriggers(ctx, t, a, 4, eventingv1.TriggerConditionReady)
	a = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	publish(ctx, t, brokerOf(a), control("withdraw-1", "/guards/north", `{"permission":"triggers","action":"withdraw","reason":"a test"}`))
	awaitAgent(ctx, t, a, "a withdrawn permission", func(a *v1alpha1.LambdaAgent) bool {
		p := a.Status.Permissions
		return p != nil && len(p.Withdrawn) == 1 && p.Withdrawn[0].Source == "/guards/north"
	})
	request := newEvent("req-1", events.ApprovalRequested, a.EventSource())
	if err := request.SetData(event.ApplicationJSON, []byte(`{"action":"restart"}`)); err != nil {
		t.Fatal(err)
	}
	publish(ctx, t, brokerOf(a), request)
	var said string
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		var err error
		said, err = kubectlLambda(ctx, namespace, "approvals", "list", a.Name)
		return strings.Contains(said, "req-1"), err
	})
	if err != nil {
		t.Fatalf("the request did not come: %v; %s", err, said)
	}
	if said, err = kubectlLambda(ctx, namespace, "approvals", "grant", a.Name, "req-1"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	remembersAt(ctx, t, a.Status.URL, "the outcome", func(got []seen) bool {
		return slices.ContainsFunc(got, func(e seen) bool { return e.Type == events.ApprovalGranted })
	})
	updateAgent(ctx, t, a, func(s *v1alpha1.LambdaAgentSpec) {
		s.OperationMode, s.Approval, s.Permissions = v1alpha1.ModeAgentic, nil, nil
	})
	awaitTriggers(ctx, t, a, 1, eventingv1.TriggerConditionReady)
}
