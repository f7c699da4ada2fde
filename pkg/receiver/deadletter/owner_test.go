package deadletter_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

// TestAgents: a function and an agent of one name have each their own letters.
func TestAgents(t *testing.T) {
	agent := deadletter.Agent(key)
	store := rtesting.NewStore(queue, agent.Queue())
	a := &v1alpha1.LambdaAgent{}
	ingest := newIngest(store, func(string) {})
	header := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "/s", "Ce-Knativeerrorcode": "503", "Content-Type": "application/json"}
	if w := post(t, ingest, http.MethodPost, pathOf("agent", "team", "greeter"), header, "{}"); w.Code != http.StatusAccepted {
		t.Fatalf("answer = %d %s", w.Code, w.Body)
	}
	if len(store.IDs(queue)) != 0 || len(store.IDs(agent.Queue())) != 1 {
		t.Errorf("the function has %v, the agent %v", store.IDs(queue), store.IDs(agent.Queue()))
	}
	s := &deadletter.Service{Serving: rtesting.Serving{}, Store: store, Functions: rtesting.Functions{key: {}}, Agents: rtesting.Agents{key: a}}
	if listed, err := s.List(t.Context(), agent, 10); err != nil || len(listed) != 1 || listed[0].Attempts != 0 {
		t.Errorf("List() = %+v, %v; want one with an unknown number of attempts", listed, err)
	}
	if n, err := s.Purge(t.Context(), agent, deadletter.Selection{All: true}); n != 1 || err != nil {
		t.Errorf("Purge() = %d, %v", n, err)
	}
}

// TestReplayOfAgents: an event goes where it was to go, if a Trigger of the agent leads
// there: to the agent, to another agent's broker, or to what the receiver serves for it.
func TestReplayOfAgents(t *testing.T) {
	self, peer, receiver := newRecipient(t, func(string) int { return http.StatusOK }), newRecipient(t, func(string) int { return http.StatusAccepted }), newRecipient(t, func(string) int { return http.StatusForbidden })
	owner := deadletter.Agent(key)
	approvals := receiverpath.Target{Purpose: receiverpath.Approvals, Kind: receiverpath.Agent, Namespace: "team", Name: "greeter"}
	others := receiverpath.Target{Purpose: receiverpath.Approvals, Kind: receiverpath.Agent, Namespace: "data", Name: "shop"}
	const at = "http://receiver.operator.svc.cluster.local"
	store := rtesting.NewStore(owner.Queue())
	for id, origin := range map[string]string{
		"subscription": "http://greeter.team.svc.cluster.local", "route": "http://shop-broker-ingress.data.svc.cluster.local",
		"route of the event plane": "http://knative-lambda-broker.knative-testing.svc.cluster.local/data/shop", "other route of the event plane": "http://knative-lambda-broker.knative-testing.svc.cluster.local/data/other",
		"approval": at + approvals.Path(theKeys), "another's approval": at + others.Path(theKeys), "stranger": "http://stranger.test/", "nowhere": "",
	} {
		extensions := map[string]any{}
		if origin != "" {
			extensions["lambdaorigin"] = origin
		}
		if err := store.Publish(t.Context(), owner.Queue(), newEvent(id, extensions)); err != nil {
			t.Fatal(err)
		}
	}
	trigger := func(kind, namespace, name string, uri *apis.URL) (t eventingv1.Trigger) {
		t.Spec.Subscriber = duckv1.Destination{Ref: &duckv1.KReference{Kind: kind, Namespace: namespace, Name: name}, URI: uri}
		t.Status.SubscriberURI = apis.HTTP("stranger.test") // which a user of the namespace may write
		return t
	}
	triggers := agentWith{key: {
		trigger("Service", "team", "greeter", nil), trigger("Broker", "data", "shop", nil),
		trigger("Service", "operator", "receiver", &apis.URL{Path: approvals.Path(theKeys)}), trigger("Service", "operator", "receiver", &apis.URL{Path: others.Path(theKeys)}),
		trigger("Service", "team", "another", nil),
	}}
	s := &deadletter.Service{Serving: rtesting.Serving{}, Store: store, Agents: triggers, Keys: keyring.Static(theKeys),
		Receiver: func() types.NamespacedName { return types.NamespacedName{Namespace: "operator", Name: "receiver"} },
		Sender: deadletter.NewSender(to{"greeter.team.svc.cluster.local": self.Listener.Addr().String(), "shop-broker-ingress.data.svc.cluster.local": peer.Listener.Addr().String(),
			"knative-lambda-broker.knative-testing.svc.cluster.local": peer.Listener.Addr().String(),
			"receiver.operator.svc.cluster.local":                     receiver.Listener.Addr().String()}.client())}
	results := map[string]string{}
	if err := s.Replay(t.Context(), owner, deadletter.Selection{All: true}, func(one receiverv1.ReplayResult) { results[one.ID] = fmt.Sprint(one.Status, " ", one.Error) }); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"subscription": "200 ", "route": "202 ", "route of the event plane": "202 ",
		"other route of the event plane": `0 no Trigger of agent greeter leads to "http://knative-lambda-broker.knative-testing.svc.cluster.local/data/other", where the event was to go; the event stays in the queue`,
		"approval":                       "403 the answer was 403 Forbidden",
		"another's approval":             `0 no Trigger of agent greeter leads to "` + at + `/agents/data/shop/approvals", where the event was to go; the event stays in the queue`,
		"stranger":                       `0 no Trigger of agent greeter leads to "http://stranger.test/", where the event was to go; the event stays in the queue`,
		"nowhere":                        `0 no Trigger of agent greeter leads to "", where the event was to go; the event stays in the queue`}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want, +got): %s", diff)
	}
	if len(self.got) != 1 || len(peer.got) != 2 || len(store.IDs(owner.Queue())) != 5 {
		t.Errorf("the agent got %v, the other %v, and %v stay", self.got, peer.got, store.IDs(owner.Queue()))
	}
}

// agentWith has agents with these Triggers.
type agentWith map[types.NamespacedName][]eventingv1.Trigger

func (a agentWith) Get(types.NamespacedName) (*v1alpha1.LambdaAgent, error) {
	agent := &v1alpha1.LambdaAgent{}
	agent.Name = key.Name
	return agent, nil
}

func (a agentWith) Triggers(context.Context, *v1alpha1.LambdaAgent) ([]eventingv1.Trigger, error) {
	return a[key], nil
}
