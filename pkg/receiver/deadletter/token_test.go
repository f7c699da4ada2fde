package deadletter_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

// tokens are texts that say whose they are, and for whom.
type tokens struct{ err error }

func (i tokens) GetJWT(account types.NamespacedName, audience string) (string, error) {
	return account.String() + "@" + audience, i.err
}

// guarded is a Broker that requires a token, and keeps those it got.
type guarded struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newGuarded(t *testing.T) *guarded {
	g := &guarded{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.seen = append(g.seen, r.Header.Get("Ce-Id")+" "+token)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(g.Close)
	return g
}

func publish(t *testing.T, store *rtesting.Store, queue string, e *event.Event) {
	t.Helper()
	if err := store.Publish(t.Context(), queue, e); err != nil {
		t.Fatal(err)
	}
}

// TestReplay_Authenticated: a Broker that asks for a token gets that of a Trigger of the
// owner, for the Broker's audience. The function gets none.
func TestReplay_Authenticated(t *testing.T) {
	t.Parallel()
	forbidden := apierrs.NewForbidden(schema.GroupResource{Resource: "serviceaccounts/token"}, "x", errors.New("no"))
	for name, tt := range map[string]struct {
		tokens deadletter.Tokens
		seen   []string
		failed string
	}{
		"granted": {tokens{}, []string{
			"outcome team/greeter-trigger-oidc-eventing.knative.dev-trigger@eventing.knative.dev/broker/team/default",
			"reply-1 team/greeter-trigger-oidc-eventing.knative.dev-trigger@eventing.knative.dev/broker/team/default",
		}, ""},
		"not granted": {tokens{err: forbidden}, nil, "the receiver may not make tokens; an administrator adds the component oidc"},
		"unsupported": {nil, nil, "401 Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker, function := newGuarded(t), newRecipient(t, func(string) int { return http.StatusOK })
			s, store := service(t, function.function(), 0, to{
				"greeter.team.svc.cluster.local": function.Listener.Addr().String(), "default-broker-ingress.team.svc.cluster.local": broker.Listener.Addr().String(),
			}.client())
			s.Sender.Tokens = tt.tokens
			outcome := newEvent("outcome", map[string]any{"knativeerrorcode": 500})
			outcome.SetType("io.knative.lambda.response.error")
			outcome.SetSource("io.knative.lambda/function/team/greeter")
			outcome.SetSubject("team/greeter")
			publish(t, store, queue, outcome)
			publish(t, store, queue, newEvent("1", nil))
			err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(r receiverv1.ReplayResult) {
				if (r.Error != "") != (tt.failed != "") || !strings.Contains(r.Error, tt.failed) {
					t.Errorf("%s: %q, want %q", r.ID, r.Error, tt.failed)
				}
			})
			slices.Sort(broker.seen)
			if err != nil || !slices.Equal(broker.seen, tt.seen) {
				t.Errorf("Replay() = %v, the Broker got %q, want %q", err, broker.seen, tt.seen)
			}
			if left := len(store.IDs(queue)); (left > 0) != (tt.failed != "") {
				t.Errorf("%d dead letters stay", left)
			}
		})
	}
}

// TestReplayOfAgents_Authenticated: a route has the token of its own Trigger, for the
// audience of the other agent's Broker.
func TestReplayOfAgents_Authenticated(t *testing.T) {
	t.Parallel()
	broker := newGuarded(t)
	owner := deadletter.Agent(key)
	store := rtesting.NewStore(owner.Queue())
	const url = "http://knative-lambda-broker.knative-testing.svc.cluster.local/data/shop"
	publish(t, store, owner.Queue(), newEvent("1", map[string]any{"lambdaorigin": url}))
	route := eventingv1.Trigger{}
	route.Namespace, route.Name = "team", "greeter-to-shop"
	route.Spec.Subscriber = duckv1.Destination{Ref: &duckv1.KReference{Kind: "Broker", Namespace: "data", Name: "shop"}}
	s := &deadletter.Service{Serving: rtesting.Serving{}, Store: store, Agents: agentWith{key: {route}},
		Sender: deadletter.NewSender(to{"knative-lambda-broker.knative-testing.svc.cluster.local": broker.Listener.Addr().String()}.client())}
	s.Sender.Tokens = tokens{}
	if err := s.Replay(t.Context(), owner, deadletter.Selection{All: true}, func(r receiverv1.ReplayResult) {
		if r.Error != "" {
			t.Error(r.Error)
		}
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"1 team/greeter-to-shop-oidc-eventing.knative.dev-trigger@eventing.knative.dev/broker/data/shop"}
	if !slices.Equal(broker.seen, want) {
		t.Errorf("the Broker got %q, want %q", broker.seen, want)
	}
}
