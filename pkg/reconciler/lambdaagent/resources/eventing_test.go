package resources

import (
	"bytes"
	"cmp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// theKeys sign what is made in these tests.
var theKeys = func() *keyring.Keyring {
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		panic(err)
	}
	return k
}()

func eventingConfig() *config.Eventing {
	return &config.Eventing{
		RabbitMQCluster: types.NamespacedName{Namespace: "rabbitmq", Name: "main"}, QueueType: "quorum", Parallelism: 10,
		Delivery: config.Delivery{Retry: 5, BackoffPolicy: "exponential", BackoffDelay: time.Second, Timeout: 30 * time.Second},
		DeadLetters: config.DeadLetters{Enabled: true, MessageTTL: time.Hour, MaxLength: 100, OverflowPolicy: "drop-head",
			Receiver: types.NamespacedName{Namespace: "knative-lambda", Name: "receiver"}},
	}
}

func eventful(a *v1alpha1.LambdaAgent) {
	a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true, RabbitMQ: &v1alpha1.RabbitMQSpec{Parallelism: ptr.Int32(3)}, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(2)}}
}

// maker of the agent's Triggers on a Broker of the class.
func maker(a *v1alpha1.LambdaAgent, class string) *Maker {
	dead := &shared.Dead{Queue: "lambda.dlq.team.agents.bruno", Sink: DeadLetterSink(a, theKeys, eventingConfig())}
	return &Maker{Agent: a, Class: class, Dead: dead, Config: eventingConfig()}
}

func TestSubscription(t *testing.T) {
	a := agent(eventful)
	exponential := eventingduckv1.BackoffPolicyExponential
	prefix := []eventingv1.SubscriptionsAPIFilter{{Prefix: map[string]string{"source": "/agent/"}}, shared.NotFrom("/team/bruno")}
	got := maker(a, lambda.BrokerClass).Subscription(map[string]string{"type": "x.y"}, prefix)
	meta := objectMeta(a, got.Name)
	meta.Annotations = map[string]string{lambda.ParallelismAnnotationKey: "3", lambda.DeadLetterQueueAnnotationKey: "lambda.dlq.team.agents.bruno"}
	want := &eventingv1.Trigger{ObjectMeta: meta, Spec: eventingv1.TriggerSpec{
		Broker: "bruno", Filters: []eventingv1.SubscriptionsAPIFilter{
			{Exact: map[string]string{"type": "x.y"}}, {Prefix: map[string]string{"source": "/agent/"}},
			{Not: &eventingv1.SubscriptionsAPIFilter{Exact: map[string]string{"source": "/team/bruno"}}},
		},
		Subscriber: duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: "team", Name: "bruno"}},
		Delivery:   &eventingduckv1.DeliverySpec{Retry: ptr.Int32(2), BackoffPolicy: &exponential, BackoffDelay: ptr.String("PT1S"), Timeout: ptr.String("PT30S")},
	}}
	same(t, "Trigger", want, got)

	plain := maker(a, config.RabbitMQBrokerClass).Subscription(map[string]string{"type": "x.y"}, nil)
	sink := &duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: "knative-lambda", Name: "receiver"},
		URI: &apis.URL{Path: "/dead-letters/team/agents/bruno/" + theKeys.Sign("dead-letters", "agent", "team", "bruno")},
	}
	same(t, "filter of class RabbitMQBroker", &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "x.y"}}, plain.Spec.Filter)
	same(t, "sink of class RabbitMQBroker", sink, plain.Spec.Delivery.DeadLetterSink)
	none := maker(a, lambda.BrokerClass)
	none.Dead = nil
	same(t, "annotations without dead letters", map[string]string{lambda.ParallelismAnnotationKey: "3"}, none.Subscription(map[string]string{"type": "x.y"}, nil).Annotations)
}

// TestRoute: a route's Trigger is one for each type and target. What else decides which
// events take it is edited in place, but where the Broker does not allow that.
func TestRoute(t *testing.T) {
	a := agent(eventful)
	shop := types.NamespacedName{Namespace: "data", Name: "shop"}
	renamed := agent(eventful, func(a *v1alpha1.LambdaAgent) { a.Spec.Eventing.EventSource = "/new" })
	for class, want := range map[string]int{lambda.BrokerClass: 2, config.RabbitMQBrokerClass: 4} {
		names := map[string]bool{}
		for _, r := range []*eventingv1.Trigger{
			maker(a, class).Route("x.y", shop, false), maker(a, class).Route("x.y", shop, true),
			maker(a, class).Route("x.y", types.NamespacedName{Namespace: "team", Name: "shop"}, false), maker(renamed, class).Route("x.y", shop, false),
		} {
			names[r.Name] = true
			same(t, "type", "x.y", TypeOf(r))
			if target, ok := TargetOf(r); !ok || target.Name != "shop" || DeliversTo(a, r) {
				t.Errorf("TargetOf() = %v, %t", target, ok)
			}
		}
		same(t, "number of names of class "+class, want, len(names))
	}
	own, relay := maker(a, lambda.BrokerClass).Route("x.y", shop, false), maker(a, lambda.BrokerClass).Route("x.y", shop, true)
	same(t, "its own events", []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": "x.y", "source": "/team/bruno"}}}, own.Spec.Filters)
	same(t, "all events", []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": "x.y"}}}, relay.Spec.Filters)
	same(t, "subscriber", duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: "data", Name: "shop"}}, own.Spec.Subscriber)
	subscription := maker(a, lambda.BrokerClass).Subscription(nil, nil)
	if _, ok := TargetOf(subscription); ok || !DeliversTo(a, subscription) {
		t.Error("a subscription leads to another agent")
	}
}

// TestSetBroker: the agent's program sends to where the Broker of the class accepts events,
// or to where the spec says.
func TestSetBroker(t *testing.T) {
	for class, want := range map[string]string{
		lambda.BrokerClass:         "http://knative-lambda-broker.knative-testing.svc.cluster.local/team/bruno",
		config.RabbitMQBrokerClass: "http://bruno-broker-ingress.team.svc.cluster.local",
	} {
		for _, own := range []string{"", "http://mine"} {
			a := agent(eventful)
			if own != "" {
				a.Spec.Env = append(a.Spec.Env, corev1.EnvVar{Name: "K_SINK", Value: own})
			}
			service := MakeService(a, "config", &config.Defaults{})
			SetBroker(service, a, class)
			for _, e := range service.Spec.Template.Spec.Containers[0].Env {
				if e.Name == "K_SINK" && e.Value != cmp.Or(own, want) {
					t.Errorf("class %s: K_SINK is %q, want %q", class, e.Value, cmp.Or(own, want))
				}
			}
		}
	}
}

// TestSink: the broker's URL is known from the start, and the spec's own wins.
func TestSink(t *testing.T) {
	for want, a := range map[string]*v1alpha1.LambdaAgent{
		"http://knative-lambda-broker.knative-testing.svc.cluster.local/team/bruno": agent(eventful),
		"http://mine": agent(eventful, func(a *v1alpha1.LambdaAgent) {
			a.Spec.Env = append(a.Spec.Env, corev1.EnvVar{Name: "K_SINK", Value: "http://mine"})
		}),
		"": agent(func(a *v1alpha1.LambdaAgent) { a.Spec.Eventing = &v1alpha1.AgentEventing{} }),
	} {
		got, times := "", 0
		for _, e := range Environment(a) {
			if e.Name == "K_SINK" {
				got, times = e.Value, times+1
			}
		}
		if got != want || times > 1 {
			t.Errorf("K_SINK is %q, %d times, want %q", got, times, want)
		}
	}
}

func TestWantsDeadLetters(t *testing.T) {
	off := agent()
	off.Spec.Eventing = nil
	if wanted, _ := WantsDeadLetters(off, eventingConfig()); wanted {
		t.Error("an agent without a broker wants dead letters")
	}
	if wanted, _ := WantsDeadLetters(agent(eventful), eventingConfig()); !wanted {
		t.Error("an agent with a broker wants no dead letters")
	}
}
