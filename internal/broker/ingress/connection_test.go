package ingress

import (
	"context"
	"net/http"
	"strings"
	"testing"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// named are Brokers of namespace team by their names.
type named map[string]Broker

func (n named) Get(_, name string) (Broker, bool) { b, ok := n[name]; return b, ok }

func (n named) Refresh(_ context.Context, namespace, name string) (Broker, bool) {
	return n.Get(namespace, name)
}

// TestConnection: each Broker publishes on its own connection, and a failure of one keeps
// no other from it.
func TestConnection(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	other := &fakePublisher{}
	h.handler.Brokers = named{
		"default": {Namespace: "team", Name: "default", UID: "1"}, "own": {Namespace: "team", Name: "own", UID: "2", Connection: "team.a"},
		"closed": {Namespace: "team", Name: "closed", UID: "3", Connection: "team.b"}, "new": {Namespace: "team", Name: "new", UID: "4", Unconnected: true},
	}
	h.handler.Connection = func(name string) queue.Publisher {
		if name == "team.a" {
			return other
		}
		return nil
	}
	expect := func(broker string, want int) {
		t.Helper()
		w := h.do(post(t.Context(), "/team/"+broker, "{}"))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d: %s", broker, w.Code, want, w.Body)
		}
		if want == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", broker)
		}
	}
	expect("default", http.StatusAccepted)
	expect("own", http.StatusAccepted)
	for _, broker := range []string{"closed", "new"} {
		expect(broker, http.StatusServiceUnavailable)
	}
	if w := h.do(post(t.Context(), "/team/new", "{}")); !strings.Contains(w.Body.String(), "RabbitMQReady") {
		t.Errorf("the answer names no condition: %s", w.Body)
	}
	if len(h.publisher.messages) != 1 || len(other.messages) != 1 {
		t.Errorf("%d and %d events were published, want one on each connection", len(h.publisher.messages), len(other.messages))
	}
	other.errs = []error{queue.ErrBlocked}
	expect("own", http.StatusServiceUnavailable)
	expect("default", http.StatusAccepted)
	h.publisher.errs = []error{queue.ErrUnavailable}
	expect("own", http.StatusAccepted)
}

func TestListedBrokers_Connection(t *testing.T) {
	t.Parallel()
	of := func(name string, connect bool) *eventingv1.Broker {
		b := brokerObject(name, lambda.BrokerClass, "1")
		b.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
		if connect {
			assignment.Connect(b, "team.a")
		}
		return b
	}
	l, _ := listed(t, []*eventingv1.Broker{of("own", true), of("new", false), brokerObject("default", lambda.BrokerClass, "2")}, nil)
	for name, want := range map[string]Broker{"own": {Connection: "team.a"}, "new": {Unconnected: true}, "default": {}} {
		if b, _ := l.Get("team", name); b.Connection != want.Connection || b.Unconnected != want.Unconnected {
			t.Errorf("%s: %+v", name, b)
		}
	}
}
