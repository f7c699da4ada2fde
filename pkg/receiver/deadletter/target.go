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
	url string
	// replies is where replies go; empty is nowhere.
	replies string
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
		owned := sync.OnceValue(func() error { return s.Serving.Owned(ctx, o, a.UID) })
		return func(l *Letter) (target, error) {
			t, err := find(l)
			if err == nil && t.tell { // the agent itself
				err = owned()
			}
			return t, err
		}, err
	}
	f, err := s.Functions.Get(o.NamespacedName)
	if err != nil {
		return nil, err
	}
	t, err := targetOf(o, f)
	if err == nil {
		err = s.Serving.Owned(ctx, o, f.UID)
	}
	return func(*Letter) (target, error) { return t, nil }, err
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
	return &NotReadyError{o.Kind, o.Name, fmt.Sprintf("cannot be sent its dead letters: %s is %q, expected %s; events are sent to no other address", field, receiverpath.Redact(found.String()), strings.Join(expected, " or "))}
}

// brokerURLs are the ingresses that a Broker of that name may have, by its class:
// LambdaBroker, RabbitMQBroker, MTChannelBasedBroker, and Kafka.
func brokerURLs(namespace, broker string) []string {
	shared := func(service string) string {
		return apis.HTTP(network.GetServiceHostname(service, knativeEventing)).String() + "/" + namespace + "/" + broker
	}
	key := types.NamespacedName{Namespace: namespace, Name: broker}
	return []string{v1alpha1.AgentBrokerURL(key).String(), v1alpha1.RabbitMQBrokerURL(key).String(), shared("broker-ingress"), shared("kafka-broker-ingress")}
}

// targetOf is where a function's dead letters are sent, and its replies: to its broker,
// as if that had sent the event. A function with a sink sends them there itself and
// answers with none.
func targetOf(o Owner, f *v1alpha1.LambdaFunction) (target, error) {
	t := target{url: serviceURL(o), timeout: defaultTimeout, tell: true}
	if f.Status.Address == nil || f.Status.Address.URL == nil {
		return t, &NotReadyError{KindFunction, o.Name, "has no address yet; its dead letters stay in the queue until it is Ready"}
	}
	if err := expect(o, "status.address.url", f.Status.Address.URL, t.url); err != nil {
		return t, err
	}
	if r := f.Status.Runtime; r != nil && r.Timeout != nil {
		t.timeout = r.Timeout.Value()
	}
	t.timeout += coldStart
	if len(f.Status.Brokers) > 0 && f.Status.Brokers[0].URL != nil {
		b := f.Status.Brokers[0]
		if len(validation.IsDNS1123Subdomain(b.Name)) > 0 {
			return t, &NotReadyError{o.Kind, o.Name, fmt.Sprintf("cannot be sent its dead letters: status.brokers[0].name is %q, which is no name of a Broker", b.Name)}
		}
		expected := brokerURLs(o.Namespace, b.Name)
		if err := expect(o, "status.brokers[0].url", b.URL, expected...); err != nil {
			return t, err
		}
		t.replies = expected[slices.Index(expected, strings.TrimSuffix(b.URL.String(), "/"))]
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
	replies := ""
	if b := a.Status.Broker; b != nil && b.URL != nil {
		replies = v1alpha1.AgentBrokerURL(o.NamespacedName).String()
		if other := v1alpha1.RabbitMQBrokerURL(o.NamespacedName).String(); b.URL.String() == other {
			replies = other
		}
	}
	leads := map[string]target{}
	for i := range triggers {
		if t, ok := s.subscriber(o, &triggers[i]); ok {
			t.replies, t.timeout = replies, defaultTimeout+coldStart
			leads[place(t.url)] = t
			if ref := triggers[i].Spec.Subscriber.Ref; ref.Kind == "Broker" { // of which class, only the event says
				t.url = v1alpha1.RabbitMQBrokerURL(types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}).String()
				leads[place(t.url)] = t
			}
		}
	}
	return func(l *Letter) (target, error) {
		origin := l.text(events.OriginExtension)
		to, ok := leads[place(origin)]
		if !ok || origin == "" {
			return to, fmt.Errorf("no Trigger of agent %s leads to %q, where the event was to go; the event stays in the queue", o.Name, receiverpath.Redact(origin))
		}
		return to, nil
	}, nil
}

// subscriber is where a Trigger of an agent leads, from what its spec refers to: the
// agent's own Service, another agent's broker, or what the receiver serves for the
// agent.
func (s *Service) subscriber(o Owner, t *eventingv1.Trigger) (target, bool) {
	ref, uri := t.Spec.Subscriber.Ref, t.Spec.Subscriber.URI
	if ref == nil || len(validation.IsDNS1123Label(ref.Namespace)) > 0 || len(validation.IsDNS1123Label(ref.Name)) > 0 {
		return target{}, false
	}
	to := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	switch {
	case ref.Kind == "Broker":
		return target{url: v1alpha1.AgentBrokerURL(to).String()}, true
	case ref.Kind == "Service" && to == o.NamespacedName:
		own := target{url: serviceURL(o), tell: true}
		if uri != nil && uri.RawQuery != "" {
			own.url += "/?" + uri.RawQuery
		}
		return own, true
	case ref.Kind == "Service" && uri != nil && s.Keys != nil && to == s.Receiver():
		at, code, ok := receiverpath.Parse(uri.Path)
		if !ok || at.Purpose == receiverpath.DeadLetters || at.Namespace != o.Namespace || at.Name != o.Name || !at.Verify(s.Keys.Newest(), code) {
			return target{}, false
		}
		return target{url: apis.HTTP(network.GetServiceHostname(to.Name, to.Namespace)).String() + at.Path(s.Keys.Newest())}, true
	}
	return target{}, false
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
