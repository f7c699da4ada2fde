package deadletter

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Kind of whoever has a dead letter queue.
type Kind string

// The kinds, as people say them.
const (
	KindFunction Kind = "function"
	KindAgent    Kind = "agent"
)

// Owner of a dead letter queue. A function and an agent of one name are two.
type Owner struct {
	Kind Kind
	types.NamespacedName
}

// Function of that name.
func Function(key types.NamespacedName) Owner { return Owner{KindFunction, key} }

// Agent of that name.
func Agent(key types.NamespacedName) Owner { return Owner{KindAgent, key} }

// Queue of the owner in RabbitMQ.
func (o Owner) Queue() string {
	if o.Kind == KindAgent {
		return events.AgentDeadLetterQueue(o.Namespace, o.Name)
	}
	return events.DeadLetterQueue(o.Namespace, o.Name)
}

// Functions tells of functions.
type Functions interface {
	Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error)
}

// Agents tells of agents.
type Agents interface {
	Get(key types.NamespacedName) (*v1alpha1.LambdaAgent, error)
	// Triggers are the agent's own, as they are now.
	Triggers(ctx context.Context, agent *v1alpha1.LambdaAgent) ([]eventingv1.Trigger, error)
}

// retriesOf the owner's broker; below 0 where they are not known.
func retriesOf(o Owner, functions Functions, agents Agents) int {
	if o.Kind == KindAgent {
		if a, err := agents.Get(o.NamespacedName); err == nil {
			if e := a.Spec.Eventing; e != nil {
				return retries(e.DLQ)
			}
			return retries(nil)
		}
		return -1
	}
	if f, err := functions.Get(o.NamespacedName); err == nil {
		if e := f.Spec.Eventing; e != nil {
			return retries(e.DLQ)
		}
		return retries(nil)
	}
	return -1
}

func retries(spec *v1alpha1.DeadLetterSpec) int {
	const byDefault = 5
	if spec == nil || spec.RetryMaxAttempts == nil {
		return byDefault
	}
	return int(*spec.RetryMaxAttempts)
}

// target of a replay.
type target struct {
	url     string
	replies string // where replies go; empty is nowhere
	timeout time.Duration
}

// targets tells where each letter of an owner is sent again.
func (s *Service) targets(ctx context.Context, o Owner) (func(*Letter) (target, error), error) {
	if o.Kind == KindAgent {
		a, err := s.Agents.Get(o.NamespacedName)
		if err != nil {
			return nil, err
		}
		return s.targetsOfAgent(ctx, a)
	}
	f, err := s.Functions.Get(o.NamespacedName)
	if err != nil {
		return nil, err
	}
	t, err := targetOf(f)
	return func(*Letter) (target, error) { return t, nil }, err
}

// targetOf is where a function's letters are sent, and its replies: to its broker,
// as if that had sent the letter. A function with a sink sends them there itself and
// answers with none.
func targetOf(f *v1alpha1.LambdaFunction) (target, error) {
	t := target{timeout: defaultTimeout}
	if f.Status.Address == nil || f.Status.Address.URL == nil {
		return t, &NotReadyError{KindFunction, f.Name, "has no address yet: its letters stay until it is Ready"}
	}
	t.url = f.Status.Address.URL.String()
	if f.Spec.Runtime.Timeout != nil {
		t.timeout = f.Spec.Runtime.Timeout.Value()
	}
	t.timeout += coldStart
	if len(f.Status.Brokers) > 0 && f.Status.Brokers[0].URL != nil {
		t.replies = f.Status.Brokers[0].URL.String()
	}
	return t, nil
}

// targetsOfAgent: a letter goes where it was to go, which is the agent itself or, on a
// route, another agent's broker. The letter says where that was, and anybody can write
// a letter: only where the agent's own Triggers lead is believed.
func (s *Service) targetsOfAgent(ctx context.Context, a *v1alpha1.LambdaAgent) (func(*Letter) (target, error), error) {
	triggers, err := s.Agents.Triggers(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("finding out where letters of agent %s may go: %w", a.Name, err)
	}
	t := target{timeout: defaultTimeout + coldStart}
	if b := a.Status.Broker; b != nil && b.URL != nil {
		t.replies = b.URL.String()
	}
	leads := map[string]string{}
	for i := range triggers {
		if u := triggers[i].Status.SubscriberURI; u != nil {
			leads[place(u.String())] = u.String()
		}
	}
	return func(l *Letter) (target, error) {
		origin := l.text(events.OriginExtension)
		if origin == "" {
			origin = l.text(knativeErrorDest)
		}
		to, ok := leads[place(origin)]
		if !ok || origin == "" {
			return t, fmt.Errorf("it was for %q, where no Trigger of agent %s leads now: it stays until one does", origin, a.Name)
		}
		sent := t
		sent.url = to
		return sent, nil
	}, nil
}

// place is a URL without what else it tells whoever is there.
func place(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	u.RawQuery, u.Fragment = "", ""
	if u.Path == "/" {
		u.Path = ""
	}
	return u.String()
}
