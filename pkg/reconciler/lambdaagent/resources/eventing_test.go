package resources

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/eventing-rabbitmq/pkg/rabbit"
	naming "knative.dev/eventing-rabbitmq/pkg/rabbitmqnaming"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
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

func TestMakeSubscription(t *testing.T) {
	a := agent(eventful)
	exponential := eventingduckv1.BackoffPolicyExponential
	got := MakeSubscription(a, map[string]string{"type": "x.y"}, DeadLetterSink(a, theKeys, eventingConfig()), eventingConfig())
	meta := objectMeta(a, got.Name)
	meta.Annotations = map[string]string{"rabbitmq.eventing.knative.dev/parallelism": "3"}
	same(t, "Trigger", &eventingv1.Trigger{ObjectMeta: meta, Spec: eventingv1.TriggerSpec{
		Broker: "bruno", Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "x.y"}},
		Subscriber: duckv1.Destination{
			Ref: &duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: "team", Name: "bruno"},
			URI: &apis.URL{Path: "/", RawQuery: "lambdapermanent=retry"},
		},
		Delivery: &eventingduckv1.DeliverySpec{Retry: ptr.Int32(2), BackoffPolicy: &exponential, BackoffDelay: ptr.String("PT1S"), Timeout: ptr.String("PT30S"), DeadLetterSink: &duckv1.Destination{
			Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: "knative-lambda", Name: "receiver"},
			URI: &apis.URL{Path: "/dead-letters/team/agents/bruno/" + theKeys.Sign("dead-letters", "agent", "team", "bruno"), RawQuery: "binding=" + got.Name + "-dead-letters"},
		}},
	}}, got)
	if bare := MakeSubscription(a, map[string]string{"type": "x.y"}, nil, eventingConfig()); bare.Spec.Delivery.DeadLetterSink != nil || bare.Spec.Subscriber.URI != nil {
		t.Errorf("without dead letters: %+v", bare.Spec)
	}
}

// TestMakeRoute: what decides which events take a route, and where to, is in its name.
func TestMakeRoute(t *testing.T) {
	a := agent(eventful)
	shop := types.NamespacedName{Namespace: "data", Name: "shop"}
	own, relay := MakeRoute(a, "x.y", shop, false, nil, eventingConfig()), MakeRoute(a, "x.y", shop, true, nil, eventingConfig())
	same(t, "attributes of its own events", eventingv1.TriggerFilterAttributes{"type": "x.y", "source": "/team/bruno"}, own.Spec.Filter.Attributes)
	same(t, "attributes of all events", eventingv1.TriggerFilterAttributes{"type": "x.y"}, relay.Spec.Filter.Attributes)
	same(t, "subscriber", duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: "data", Name: "shop"}}, own.Spec.Subscriber)
	other := MakeRoute(a, "x.y", types.NamespacedName{Namespace: "team", Name: "shop"}, false, nil, eventingConfig())
	moved := MakeRoute(agent(eventful, func(a *v1alpha1.LambdaAgent) { a.Spec.Eventing.EventSource = "/new" }), "x.y", shop, false, nil, eventingConfig())
	names := map[string]bool{}
	for _, r := range []*eventingv1.Trigger{own, relay, other, moved} {
		names[r.Name] = true
	}
	if len(names) != 4 {
		t.Errorf("different routes have one name: %v", names)
	}
	if target, ok := TargetOf(own); !ok || target != shop {
		t.Errorf("TargetOf() = %v, %t", target, ok)
	}
	if _, ok := TargetOf(MakeSubscription(a, nil, nil, eventingConfig())); ok {
		t.Error("a subscription leads to an agent")
	}
	retired := own.DeepCopy()
	RetireRoute(retired, shop, DeadLetterSink(a, theKeys, eventingConfig()), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	same(t, "where a retired route leads", duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: "knative-lambda", Name: "receiver"},
		URI: &apis.URL{Path: "/dead-letters/team/agents/bruno/" + theKeys.Sign("dead-letters", "agent", "team", "bruno"), RawQuery: "gone=data%2Fshop"},
	}, retired.Spec.Subscriber)
	same(t, "since when", "2026-01-02T03:04:05Z", retired.Annotations[lambda.RetiredAnnotationKey])
	if target, ok := TargetOf(retired); !ok || target != shop {
		t.Errorf("TargetOf() of a retired route = %v, %t", target, ok)
	}
	undelivered := own.DeepCopy()
	RetireRoute(undelivered, shop, nil, time.Now())
	same(t, "where a retired route leads without a dead letter queue", own.Spec.Subscriber, undelivered.Spec.Subscriber)
	MutateTrigger(retired, own)
	same(t, "a Trigger that was to go and is wanted again", own, retired)
}

// TestMakeRetirement: the policy holds for the Trigger's queue before Knative's own, and
// what it drops goes where Knative's goes, and says which agent has gone.
func TestMakeRetirement(t *testing.T) {
	a, shop := agent(eventful), types.NamespacedName{Namespace: "data", Name: "shop"}
	route := MakeRoute(a, "x.y", shop, false, DeadLetterSink(a, theKeys, eventingConfig()), eventingConfig())
	route.UID = "trigger-uid"
	p := MakeRetirement(a, route, "broker-uid", shop, eventingConfig())
	queue := naming.CreateTriggerQueueRabbitName(route, "broker-uid")
	knatives := rabbit.NewPolicy(&rabbit.QueueArgs{QueueName: queue, DLXName: ptr.String(naming.TriggerDLXExchangeName(route)), RabbitmqClusterReference: &topologyv1beta1.RabbitmqClusterReference{}})
	same(t, "its queue", knatives.Spec.Pattern, p.Spec.Pattern)
	same(t, "what it holds for", knatives.Spec.ApplyTo, p.Spec.ApplyTo)
	if p.Spec.Priority <= knatives.Spec.Priority {
		t.Errorf("priority %d, want more than %d of Knative's", p.Spec.Priority, knatives.Spec.Priority)
	}
	var own, theirs map[string]any
	if err := json.Unmarshal(knatives.Spec.Definition.Raw, &theirs); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p.Spec.Definition.Raw, &own); err != nil {
		t.Fatal(err)
	}
	theirs["max-length"], theirs["dead-letter-routing-key"] = 0.0, "lambda.knative.io/gone:data/shop"
	same(t, "definition", theirs, own)
	same(t, "annotations", map[string]string{lambda.RetiredAnnotationKey: route.Name}, p.Annotations)
	same(t, "RabbitMQ", MakeDeadLetterQueue(a, eventingConfig()).Spec.RabbitmqClusterReference, p.Spec.RabbitmqClusterReference)
	same(t, "owner", MakeDeadLetterQueue(a, eventingConfig()).OwnerReferences, p.OwnerReferences)
}

// TestSink: the broker's URL is known from the start, and the spec's own wins.
func TestSink(t *testing.T) {
	for want, a := range map[string]*v1alpha1.LambdaAgent{
		"http://bruno-broker-ingress.team.svc.cluster.local": agent(eventful),
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

// TestObjectsOfDeadLetters: a function of the agent's name has others.
func TestObjectsOfDeadLetters(t *testing.T) {
	a := agent(eventful)
	queue, policy := MakeDeadLetterQueue(a, eventingConfig()), MakeDeadLetterPolicy(a, eventingConfig())
	same(t, "names", []string{"bruno-agent-dlq", "lambda.dlq.team.agents.bruno", "bruno-agent-dlq", `^lambda\.dlq\.team\.agents\.bruno$`},
		[]string{queue.Name, queue.Spec.Name, policy.Name, policy.Spec.Pattern})
	b := MakeDeadLetterBinding(a, MakeRoute(a, "x", types.NamespacedName{Name: "b"}, false, nil, eventingConfig()), true, eventingConfig())
	same(t, "binding", []string{"lambda.dlq.team.agents.bruno", "true"}, []string{b.Spec.Destination, b.Annotations[lambda.LateBindingAnnotationKey]})
	off := agent()
	off.Spec.Eventing = nil
	if wanted, _ := WantsDeadLetters(off, eventingConfig()); wanted {
		t.Error("an agent without a broker wants dead letters")
	}
}
