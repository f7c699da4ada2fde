package deadletter_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

// TestAgents: a function and an agent of one name have each their own letters.
func TestAgents(t *testing.T) {
	agent := deadletter.Agent(key)
	store := rtesting.NewStore(queue, agent.Queue())
	a := &v1alpha1.LambdaAgent{}
	a.Spec.Eventing = &v1alpha1.AgentEventing{DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(1)}}
	ingest := deadletter.NewIngest(store, rtesting.Functions{key: {}}, rtesting.Agents{key: a}, never, func(context.Context, string) {})
	header := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "/s", "Ce-Knativeerrorcode": "503", "Content-Type": "application/json"}
	if w := post(t, ingest, http.MethodPost, deadletter.Path+"team/agents/greeter", header, "{}"); w.Code != http.StatusAccepted {
		t.Fatalf("answer = %d %s", w.Code, w.Body)
	}
	if len(store.IDs(queue)) != 0 || len(store.IDs(agent.Queue())) != 1 {
		t.Errorf("the function has %v, the agent %v", store.IDs(queue), store.IDs(agent.Queue()))
	}
	s := &deadletter.Service{Store: store, Functions: rtesting.Functions{key: {}}, Agents: rtesting.Agents{key: a}}
	if listed, err := s.List(t.Context(), agent, 10); err != nil || len(listed) != 1 || listed[0].Attempts != 2 {
		t.Errorf("List() = %+v, %v; want one with 2 attempts", listed, err)
	}
	if n, err := s.Purge(t.Context(), agent, deadletter.Selection{}); n != 1 || err != nil {
		t.Errorf("Purge() = %d, %v", n, err)
	}
}

// TestLettersOfAnAgentThatHasGone: what was on its way says so, and where it was to go.
func TestLettersOfAnAgentThatHasGone(t *testing.T) {
	agent := deadletter.Agent(key)
	store := rtesting.NewStore(agent.Queue())
	ingest := deadletter.NewIngest(store, rtesting.Functions{}, rtesting.Agents{key: {}}, never, func(context.Context, string) {})
	header := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "/s", "Content-Type": "application/json"}
	path := deadletter.Path + "team/agents/greeter?" + events.RetiredQuery("data/shop")
	if w := post(t, ingest, http.MethodPost, path, header, "{}"); w.Code != http.StatusAccepted {
		t.Fatalf("answer = %d %s", w.Code, w.Body)
	}
	s := &deadletter.Service{Store: store, Agents: rtesting.Agents{key: {}}}
	listed, err := s.List(t.Context(), agent, 10)
	if err != nil || len(listed) != 1 {
		t.Fatalf("List() = %+v, %v; want one", listed, err)
	}
	if l := listed[0]; l.ErrorReason != "agent data/shop has gone" || l.ErrorCode != -1 || l.Origin != "http://shop-broker-ingress.data.svc.cluster.local" || l.DeadTime == "" {
		t.Errorf("letter = %+v", l)
	}
}

// TestReplayOfAgents: a letter goes where it was to go, if a Trigger of the agent leads
// there.
func TestReplayOfAgents(t *testing.T) {
	self, peer := newRecipient(t, func(string) int { return http.StatusOK }), newRecipient(t, func(string) int { return http.StatusAccepted })
	agent := deadletter.Agent(key)
	store := rtesting.NewStore(agent.Queue())
	for id, origin := range map[string]string{"subscription": self.URL + "/?lambdapermanent=retry", "route": peer.URL, "stranger": "http://stranger.test/", "nowhere": ""} {
		extensions := map[string]any{}
		if origin != "" {
			extensions["lambdaorigin"] = origin
		}
		if err := store.Publish(t.Context(), agent.Queue(), newEvent(id, extensions)); err != nil {
			t.Fatal(err)
		}
	}
	a := &v1alpha1.LambdaAgent{}
	a.Name = "greeter"
	address, err := apis.ParseURL(self.URL)
	if err != nil {
		t.Fatal(err)
	}
	a.Status.Address = &duckv1.Addressable{URL: address}
	a.Status.Routes = []v1alpha1.RouteStatus{{Agent: strings.TrimPrefix(peer.URL, "http://")}}
	s := &deadletter.Service{Store: store, Agents: rtesting.Agents{key: a}, Sender: deadletter.Sender{Client: http.DefaultClient}}
	results := map[string]string{}
	if err := s.Replay(t.Context(), agent, deadletter.Selection{}, func(one deadletter.Result) { results[one.ID] = fmt.Sprint(one.Status, " ", one.Error) }); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"subscription": "200 ", "route": "202 ",
		"stranger": `0 it was for "http://stranger.test/", where no Trigger of agent greeter leads now: it stays until one does`,
		"nowhere":  `0 it was for "", where no Trigger of agent greeter leads now: it stays until one does`}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want, +got): %s", diff)
	}
	if len(self.got) != 1 || len(peer.got) != 1 || len(store.IDs(agent.Queue())) != 2 {
		t.Errorf("the agent got %v, the other %v, and %v stay", self.got, peer.got, store.IDs(agent.Queue()))
	}
}
