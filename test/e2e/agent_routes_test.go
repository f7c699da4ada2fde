//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// listens is an agent of one replica that receives these types.
func listens(all ...string) func(*v1alpha1.LambdaAgentSpec) {
	return func(s *v1alpha1.LambdaAgentSpec) {
		s.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(1)}
		s.Eventing = &v1alpha1.AgentEventing{Enabled: true}
		for _, eventType := range all {
			s.Eventing.Subscriptions = append(s.Eventing.Subscriptions, v1alpha1.AgentSubscription{EventType: eventType})
		}
	}
}

// reaches lets routes lead to these namespaces, and gives no other rights.
func reaches(all ...string) func(*v1alpha1.LambdaAgentSpec) {
	return func(s *v1alpha1.LambdaAgentSpec) {
		s.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableTriggerCreation: true, DisableFunctionCreation: true, AllowedTargetNamespaces: all}
	}
}

// routeTo is what an agent's status tells of a route to another one.
func routeTo(a, to *v1alpha1.LambdaAgent, eventType string) *v1alpha1.RouteStatus {
	for i, r := range a.Status.Routes {
		if r.Kind != v1alpha1.RouteSubscription && r.EventType == eventType && r.Agent == to.Name && r.Namespace == to.Namespace {
			return &a.Status.Routes[i]
		}
	}
	return nil
}

// awaitRoute waits until a route works, or is told with that reason.
func awaitRoute(ctx context.Context, t *testing.T, a, to *v1alpha1.LambdaAgent, eventType, reason string) {
	t.Helper()
	awaitAgent(ctx, t, a, fmt.Sprintf("a route of %s to %s with the reason %q", eventType, to.Name, reason), func(a *v1alpha1.LambdaAgent) bool {
		r := routeTo(a, to, eventType)
		return r != nil && r.Reason == reason && r.Ready == (reason == "")
	})
}

// accepts lets routes come from these namespaces.
func accepts(all ...string) func(*v1alpha1.LambdaAgentSpec) {
	return func(s *v1alpha1.LambdaAgentSpec) { s.Eventing.AllowedSourceNamespaces = all }
}

func brokerOf(a *v1alpha1.LambdaAgent) types.NamespacedName { return test.Key(a) }

const (
	chatMessage = "io.example.chat.message"
	chatAnswer  = "io.example.chat.answer"
	lookupType  = "io.example.library.intent.lookup"
	foundType   = "io.example.library.intent.found"
)

// conversation is the two samples in two namespaces, and an agent that hears what the
// first one emits.
type conversation struct {
	guide, librarian, listener *v1alpha1.LambdaAgent
}

func newConversation(ctx context.Context, t *testing.T) *conversation {
	t.Helper()
	town, library := clients.Namespace(ctx, t), clients.Namespace(ctx, t)
	guide, librarian := sampleImage(ctx, t, town, "guide"), sampleImage(ctx, t, library, "librarian")
	runModels(ctx, t, town, guide)
	model := func(s *v1alpha1.LambdaAgentSpec) { s.AI.Endpoint = "http://models." + town + ".svc.cluster.local/v1" }
	c := &conversation{
		guide:     createAgent(ctx, t, sampleAgent(t, town, "guide", guide, model, reaches(library), accepts(library))),
		librarian: createAgent(ctx, t, sampleAgent(t, library, "librarian", librarian, model, reaches(town), accepts(town))),
		listener:  createAgent(ctx, t, agentOf(town, "listener", imageOf(ctx, t, town, "listener-image", remember), listens(chatAnswer, lookupType))),
	}
	awaitRoute(ctx, t, c.guide, c.librarian, lookupType, "")
	awaitRoute(ctx, t, c.librarian, c.guide, foundType, "")
	awaitRoute(ctx, t, c.guide, c.listener, chatAnswer, "")
	awaitRoute(ctx, t, c.guide, c.listener, lookupType, "")
	for _, a := range []**v1alpha1.LambdaAgent{&c.guide, &c.librarian, &c.listener} {
		*a = awaitAgent(ctx, t, *a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	}
	return c
}

// ask sends the guide a message, through its broker.
func (c *conversation) ask(ctx context.Context, t *testing.T, question string) {
	t.Helper()
	e := newEvent(question, chatMessage, "/e2e")
	if err := e.SetData("application/json", map[string]string{"text": question}); err != nil {
		t.Fatal(err)
	}
	publish(ctx, t, brokerOf(c.guide), e)
}

// hears waits until the listener has an event of that type that speaks of a question.
func (c *conversation) hears(ctx context.Context, t *testing.T, kind, question string) []seen {
	t.Helper()
	return remembersAt(ctx, t, c.listener.Status.URL, kind+" of "+question, func(got []seen) bool { return speaksOf(got, kind, question) })
}

func speaksOf(got []seen, kind, question string) bool {
	for _, e := range got {
		if e.Type == kind && strings.Contains(fmt.Sprint(e.Data), question) {
			return true
		}
	}
	return false
}

// TestAgentsConverse: two agents of two namespaces answer a question by their intents;
// as long as either side does not consent they do not, and the status says so.
func TestAgentsConverse(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	c := newConversation(ctx, t)
	asked := time.Now()
	c.ask(ctx, t, "question-1")
	got := c.hears(ctx, t, chatAnswer, "question-1")
	t.Logf("from the question to the answer, over three brokers: %v", time.Since(asked).Round(100*time.Millisecond))
	for _, e := range got {
		if e.Source != "/"+c.guide.Namespace+"/guide" {
			t.Errorf("the listener has got %+v, want the guide's own events only", e)
		}
	}
	test.Contains(t, "the answer", fmt.Sprint(got), "You are a guide.", "You are a librarian.")

	route := routeTriggers(ctx, t, c.guide, c.librarian)
	updateAgent(ctx, t, c.librarian, func(s *v1alpha1.LambdaAgentSpec) { s.Eventing.Subscriptions = nil })
	awaitAgent(ctx, t, c.guide, "no route to the librarian, which subscribes no more", func(a *v1alpha1.LambdaAgent) bool { return routeTo(a, c.librarian, lookupType) == nil })
	awaitTornDown(ctx, t, c.guide.Namespace, route)
	c.ask(ctx, t, "question-2")
	c.hears(ctx, t, lookupType, "question-2") // so that it has been emitted without the route

	updateAgent(ctx, t, c.librarian, func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.Subscriptions = []v1alpha1.AgentSubscription{{EventType: lookupType, Source: "/" + c.guide.Namespace + "/guide"}}
	})
	awaitRoute(ctx, t, c.guide, c.librarian, lookupType, "")
	awaitAgent(ctx, t, c.librarian, "its subscription", subscribed)
	c.ask(ctx, t, "question-3")
	c.hears(ctx, t, chatAnswer, "question-3")

	route = routeTriggers(ctx, t, c.guide, c.librarian)
	updateAgent(ctx, t, c.guide, reaches())
	awaitRoute(ctx, t, c.guide, c.librarian, lookupType, v1alpha1.ReasonTargetNotAllowed)
	awaitTornDown(ctx, t, c.guide.Namespace, route)
	c.ask(ctx, t, "question-4")
	c.hears(ctx, t, lookupType, "question-4")

	updateAgent(ctx, t, c.guide, reaches(c.librarian.Namespace))
	awaitRoute(ctx, t, c.guide, c.librarian, lookupType, "")

	route = routeTriggers(ctx, t, c.guide, c.librarian)
	updateAgent(ctx, t, c.librarian, func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.Subscriptions, s.Eventing.AllowedSourceNamespaces = []v1alpha1.AgentSubscription{{EventType: lookupType}}, nil
	})
	awaitAgent(ctx, t, c.guide, "no route to the librarian, which allows none", func(a *v1alpha1.LambdaAgent) bool { return routeTo(a, c.librarian, lookupType) == nil })
	awaitTornDown(ctx, t, c.guide.Namespace, route)
	updateAgent(ctx, t, c.librarian, accepts(c.guide.Namespace))
	awaitRoute(ctx, t, c.guide, c.librarian, lookupType, "")
	c.ask(ctx, t, "question-5")
	got = c.hears(ctx, t, chatAnswer, "question-5")
	for _, question := range []string{"question-2", "question-4"} {
		if speaksOf(got, chatAnswer, question) {
			t.Errorf("%s was answered without the consent of both: %+v", question, got)
		}
	}
}

// TestAgentRoutesSample applies the shipped manifest unchanged: what it forwards waits
// for an agent that is not there, and holds nothing else up.
func TestAgentRoutesSample(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	manifest := sample(t, "agent-routes.yaml")
	clients.UseNamespace(ctx, t, manifest.GetNamespace())
	if _, err := clients.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: manifest.GetNamespace(), Name: manifest.GetName()}}
	auditor := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "audit", Name: "auditor"}}
	awaitRoute(ctx, t, a, auditor, "io.example.audit.note", v1alpha1.ReasonSourceNotAllowed)
	awaitAgent(ctx, t, a, "its broker, and its subscription", func(a *v1alpha1.LambdaAgent) bool { // its image is nowhere, so it has no address
		return a.Status.GetCondition(v1alpha1.AgentConditionBrokerReady).IsTrue() &&
			slices.ContainsFunc(a.Status.Routes, func(r v1alpha1.RouteStatus) bool { return r.EventType == "io.example.chat.message" })
	})
}

// routeTriggers are the Triggers of an agent that lead to another one's broker.
func routeTriggers(ctx context.Context, t *testing.T, a, to *v1alpha1.LambdaAgent) map[string]bool {
	t.Helper()
	list, err := clients.Eventing.EventingV1().Triggers(a.Namespace).List(ctx, metav1.ListOptions{LabelSelector: lambda.AgentLabelKey + "=" + a.Name})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i := range list.Items {
		if ref := list.Items[i].Spec.Subscriber.Ref; ref != nil && ref.Kind == "Broker" && ref.Namespace == to.Namespace && ref.Name == to.Name {
			names[list.Items[i].Name] = true
		}
	}
	return names
}

// awaitTornDown waits until Triggers are gone, and RabbitMQ has nothing of them: until
// then their dispatchers deliver.
func awaitTornDown(ctx context.Context, t *testing.T, namespace string, triggers map[string]bool) {
	t.Helper()
	if len(triggers) == 0 {
		t.Error("there was no Trigger of the route")
	}
	for name := range triggers {
		if err := clients.AwaitTriggerGone(ctx, types.NamespacedName{Namespace: namespace, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
}

// subscribed reports whether all subscriptions of an agent work.
func subscribed(a *v1alpha1.LambdaAgent) bool {
	n := 0
	for _, r := range a.Status.Routes {
		if r.Kind == v1alpha1.RouteSubscription && r.Ready {
			n++
		}
	}
	return n == len(a.Spec.Eventing.Subscriptions)
}
