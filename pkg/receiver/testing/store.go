// Package testing helps tests of whatever works on dead letters.
package testing

import (
	"context"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// Store keeps letters in memory, as RabbitMQ would.
type Store struct {
	mu     sync.Mutex
	queues map[string][]*deadletter.Letter
	tags   uint64
	// Err is what Publish and Open fail with, where it is set.
	Err error
}

// NewStore has empty queues of these names.
func NewStore(queues ...string) *Store {
	s := &Store{queues: map[string][]*deadletter.Letter{}}
	for _, q := range queues {
		s.queues[q] = nil
	}
	return s
}

// Publish implements deadletter.Store.
func (s *Store) Publish(_ context.Context, queue string, e *event.Event) error {
	return s.Put(queue, &deadletter.Letter{Event: e.Clone()})
}

// Put puts a letter into a queue, one that is no event too.
func (s *Store) Put(queue string, l *deadletter.Letter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil {
		return s.Err
	}
	if _, ok := s.queues[queue]; !ok {
		return deadletter.ErrNoQueue
	}
	s.tags++
	l.Tag = s.tags
	s.queues[queue] = append(s.queues[queue], l)
	return nil
}

// IDs of the letters in a queue.
func (s *Store) IDs(queue string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.queues[queue] {
		ids = append(ids, l.ID())
	}
	return ids
}

// Open implements deadletter.Store.
func (s *Store) Open(_ context.Context, queue string) (deadletter.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil {
		return nil, s.Err
	}
	letters, ok := s.queues[queue]
	if !ok {
		return nil, deadletter.ErrNoQueue
	}
	return &session{store: s, queue: queue, unseen: append([]*deadletter.Letter(nil), letters...)}, nil
}

type session struct {
	store  *Store
	queue  string
	unseen []*deadletter.Letter
}

func (s *session) Next() (*deadletter.Letter, error) {
	if len(s.unseen) == 0 {
		return nil, nil
	}
	l := *s.unseen[0] // a copy, as from the wire
	l.Event = l.Event.Clone()
	s.unseen = s.unseen[1:]
	return &l, nil
}

func (s *session) Remove(l *deadletter.Letter) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	var kept []*deadletter.Letter
	for _, k := range s.store.queues[s.queue] {
		if k.Tag != l.Tag {
			kept = append(kept, k)
		}
	}
	s.store.queues[s.queue] = kept
	return nil
}

func (s *session) Close() error { return nil }

// Functions by their keys.
type Functions map[types.NamespacedName]*v1alpha1.LambdaFunction

// Get implements deadletter.Functions.
func (f Functions) Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error) {
	if found, ok := f[key]; ok {
		return found, nil
	}
	return nil, apierrs.NewNotFound(lambda.LambdaFunctionResource, key.Name)
}

// Triggers implements deadletter.Functions: one, on the Broker default.
func (f Functions) Triggers(_ context.Context, function *v1alpha1.LambdaFunction) ([]eventingv1.Trigger, error) {
	t := eventingv1.Trigger{}
	t.Namespace, t.Name, t.Spec.Broker = function.Namespace, function.Name+"-trigger", "default"
	return []eventingv1.Trigger{t}, nil
}

// Agents by their keys.
type Agents map[types.NamespacedName]*v1alpha1.LambdaAgent

// Get implements deadletter.Agents.
func (a Agents) Get(key types.NamespacedName) (*v1alpha1.LambdaAgent, error) {
	if found, ok := a[key]; ok {
		return found, nil
	}
	return nil, apierrs.NewNotFound(lambda.LambdaAgentResource, key.Name)
}

// Triggers implements deadletter.Agents: there are none.
func (a Agents) Triggers(context.Context, *v1alpha1.LambdaAgent) ([]eventingv1.Trigger, error) {
	return nil, nil
}
