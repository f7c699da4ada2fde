package deadletter

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/network"

	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// knativeEventing is the namespace of the ingresses that brokers of some classes share.
const knativeEventing = "knative-eventing"

// target of a replay. The receiver makes its URLs from names alone: what is in the
// status of an object may have been written by a user of its namespace.
type target struct {
	endpoint
	// gateway is the host to connect to in place of that of url; empty is that of url.
	gateway string
	// replies is where replies go; without a URL nowhere.
	replies endpoint
	timeout time.Duration
	// tell reports whether people are told the text of an answer: that of the owner
	// itself, and of no other.
	tell bool
}

// targets returns where each dead letter of an owner is redelivered to.
func (s *Service) targets(ctx context.Context, o Owner) (func(*Letter) (target, error), error) {
	if o.Kind == KindAgent {
		a, err := s.Agents.Get(o.NamespacedName)
		if err != nil {
			return nil, err
		}
		find, err := s.targetsOfAgent(ctx, o, a)
		gateway := sync.OnceValues(func() (string, error) { return s.Serving.Gateway(ctx, o, a.UID) })
		return func(l *Letter) (target, error) {
			t, err := find(l)
			if err == nil && t.tell { // the agent itself
				t.gateway, err = gateway()
			}
			return t, err
		}, err
	}
	f, err := s.Functions.Get(o.NamespacedName)
	if err != nil {
		return nil, err
	}
	t, err := s.targetOf(o, f)
	gateway := sync.OnceValues(func() (string, error) { return s.Serving.Gateway(ctx, o, f.UID) })
	source, subject := events.Source("function", o.Namespace, o.Name), events.FunctionSubject(o.Namespace, o.Name)
	return func(l *Letter) (target, error) {
		if isOutcome(l, source, subject) || isReply(l, t.replies) {
			return toBroker(o, t.replies)
		}
		own := t // replays run side by side
		var err error
		own.gateway, err = gateway()
		return own, err
	}, err
}

// isOutcome reports whether a dead letter is the outcome of a call of its owner, which the
// destination of outcomes did not take.
func isOutcome(l *Letter, source, subject string) bool {
	switch l.Event.Type() {
	case events.ResponseSuccess, events.ResponseError, events.ResponseTimeout:
		return l.Event.Source() == source && l.Event.Subject() == subject
	}
	return false
}

// isReply reports whether a dead letter is what an owner replied to a call, which its Broker
// did not store.
func isReply(l *Letter, broker endpoint) bool {
	return broker.url != "" && place(l.text(events.OriginExtension)) == place(broker.url)
}

// toBroker is where outcomes are redelivered: the Broker delivers them to their
// destinations, which are addresses that users write.
func toBroker(o Owner, broker endpoint) (target, error) {
	if broker.url == "" {
		return target{}, notReady(o, "has no Broker; the outcomes of its calls stay in the queue")
	}
	return target{endpoint: broker, timeout: defaultTimeout}, nil
}

// serviceURL is the address of an owner's Knative Service inside the cluster.
func serviceURL(o Owner) string {
	return apis.HTTP(network.GetServiceHostname(o.Name, o.Namespace)).String()
}

// expect returns an error unless the URL of a status is one of those that the receiver
// makes by itself.
func expect(o Owner, field string, found *apis.URL, expected ...string) error {
	if slices.Contains(expected, strings.TrimSuffix(found.String(), "/")) {
		return nil
	}
	return notReady(o, "cannot be sent its dead letters: %s is %q, expected %s; events are sent to no other address",
		field, receiverpath.Redact(found.String()), strings.Join(expected, " or "))
}

// brokerURLs are the ingresses that a Broker may have, by its class: LambdaBroker,
// RabbitMQBroker, MTChannelBasedBroker, and Kafka.
func brokerURLs(broker types.NamespacedName) []string {
	shared := func(service string) string {
		return apis.HTTP(network.GetServiceHostname(service, knativeEventing)).String() + "/" + broker.Namespace + "/" + broker.Name
	}
	return []string{
		v1alpha1.AgentBrokerURL(broker).String(), v1alpha1.RabbitMQBrokerURL(broker).String(),
		shared("broker-ingress"), shared("kafka-broker-ingress"),
	}
}

// repliesTo the Broker of a status, at that of its addresses which the status has; without
// a URL if it has none. A token is that of one of the Triggers on it.
func repliesTo(o Owner, field string, b *v1alpha1.BrokerStatus, triggers func(context.Context) ([]eventingv1.Trigger, error)) (endpoint, error) {
	if b == nil || b.URL == nil {
		return endpoint{}, nil
	}
	if len(validation.IsDNS1123Subdomain(b.Name)) > 0 {
		return endpoint{}, notReady(o, "cannot be sent its dead letters: %s.name is %q, which is no name of a Broker", field, b.Name)
	}
	broker := types.NamespacedName{Namespace: o.Namespace, Name: b.Name}
	if err := expect(o, field+".url", b.URL, brokerURLs(broker)...); err != nil {
		return endpoint{}, err
	}
	return endpoint{strings.TrimSuffix(b.URL.String(), "/"), audienceOf(broker), accountOn(broker, triggers)}, nil
}

// targetOf is where a function's dead letters are sent, and its replies: to its broker,
// as if that had sent the event. A function with a sink sends them there itself and
// answers with none.
func (s *Service) targetOf(o Owner, f *v1alpha1.LambdaFunction) (target, error) {
	t := target{endpoint: endpoint{url: serviceURL(o)}, timeout: defaultTimeout, tell: true}
	if f.Status.Address == nil || f.Status.Address.URL == nil {
		return t, notReady(o, "has no address yet; its dead letters stay in the queue until it is Ready")
	}
	if err := expect(o, "status.address.url", f.Status.Address.URL, t.url); err != nil {
		return t, err
	}
	if r := f.Status.Runtime; r != nil && r.Timeout != nil {
		t.timeout = r.Timeout.Value()
	}
	t.timeout += coldStart
	if len(f.Status.Brokers) > 0 {
		var err error
		own := func(ctx context.Context) ([]eventingv1.Trigger, error) { return s.Functions.Triggers(ctx, f) }
		if t.replies, err = repliesTo(o, "status.brokers[0]", &f.Status.Brokers[0], own); err != nil {
			return t, err
		}
	}
	return t, nil
}

// targetsOfAgent: a dead letter goes where it was to go, which is the agent itself, the
// receiver or, on a route, another agent's broker. The event says where that was, and
// its sender can write anything: only where the agent's own Triggers lead is taken.
func (s *Service) targetsOfAgent(ctx context.Context, o Owner, a *v1alpha1.LambdaAgent) (func(*Letter) (target, error), error) {
	triggers, err := s.Agents.Triggers(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("listing the Triggers of agent %s: %w", o.Name, err)
	}
	own := func(context.Context) ([]eventingv1.Trigger, error) { return slices.Clone(triggers), nil }
	replies, err := repliesTo(o, "status.broker", a.Status.Broker, own)
	if err != nil {
		return nil, err
	}
	leads := map[string]target{}
	for i := range triggers {
		for _, t := range s.subscriber(o, &triggers[i]) {
			t.replies, t.timeout = replies, defaultTimeout+coldStart
			leads[place(t.url)] = t
		}
	}
	source, subject := a.EventSource(), events.AgentSubject(o.Namespace, o.Name)
	return func(l *Letter) (target, error) {
		if isOutcome(l, source, subject) || isReply(l, replies) {
			return toBroker(o, replies)
		}
		origin := l.text(events.OriginExtension)
		to, ok := leads[place(origin)]
		if !ok || origin == "" {
			return to, fmt.Errorf("no Trigger of agent %s leads to %q, where the event was to go; the event stays in the queue", o.Name, receiverpath.Redact(origin))
		}
		return to, nil
	}, nil
}

// subscriber returns where a Trigger of an agent may lead, from what its spec refers to:
// the agent's own Service, another agent's Broker at one of its addresses, or what the
// receiver serves for the agent.
func (s *Service) subscriber(o Owner, t *eventingv1.Trigger) (targets []target) {
	ref, uri := t.Spec.Subscriber.Ref, t.Spec.Subscriber.URI
	if ref == nil || len(validation.IsDNS1123Label(ref.Namespace)) > 0 || len(validation.IsDNS1123Label(ref.Name)) > 0 {
		return nil
	}
	to := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	account := func(context.Context) (types.NamespacedName, error) { return accountOf(t), nil }
	switch {
	case ref.Kind == "Broker":
		for _, url := range brokerURLs(to) {
			targets = append(targets, target{endpoint: endpoint{url, audienceOf(to), account}})
		}
	case ref.Kind == "Service" && to == o.NamespacedName:
		targets = []target{{endpoint: endpoint{url: serviceURL(o)}, tell: true}}
	case ref.Kind == "Service" && uri != nil && s.Keys != nil && to == s.Receiver():
		at, code, ok := receiverpath.Parse(uri.Path)
		if !ok || at.Purpose == receiverpath.DeadLetters || at.Namespace != o.Namespace || at.Name != o.Name || !at.Verify(s.Keys.Newest(), code) {
			return nil
		}
		targets = []target{{endpoint: endpoint{url: apis.HTTP(network.GetServiceHostname(to.Name, to.Namespace)).String() + at.Path(s.Keys.Newest())}}}
	}
	return targets
}

// place is a URL without its query, its fragment and the receiver's code.
func place(text string) string {
	u, err := url.Parse(receiverpath.Redact(text))
	if err != nil {
		return text
	}
	u.RawQuery, u.Fragment = "", ""
	if u.Path == "/" {
		u.Path = ""
	}
	return u.String()
}
