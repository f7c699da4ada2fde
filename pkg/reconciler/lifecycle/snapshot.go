// Package lifecycle tells a sink what becomes of functions and agents, as
// CloudEvents: each at least once, in order for each object. It stands beside the
// reconcilers: it compares what an object says of itself with what the sink was last
// told of it, which is in an annotation of the object. So no reconcile waits for a
// sink, and a restart forgets nothing.
package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// snapshot is what a function or an agent says of itself.
type snapshot struct {
	metav1.Object
	kind string // LambdaFunction or LambdaAgent
	noun string // function or agent, in types and sources

	// generation of the newest spec. Deleting an object counts one up that nobody
	// looks at: there it is the last that was looked at.
	generation int64
	// observed tells that what follows is about that generation.
	observed bool
	ready    *apis.Condition
	url      string
	build    *v1alpha1.BuildStatus // nil where nothing is built
	building *apis.Condition
	service  *apis.Condition
	created  string // newest revision
	serves   string // newest revision that is ready
	replicas int32
	// deletedAt is zero where the object is there.
	deletedAt time.Time
}

func ofFunction(f *v1alpha1.LambdaFunction, replicas int32) *snapshot {
	s := &snapshot{
		Object: f, kind: "LambdaFunction", noun: "function",
		ready:    f.Status.GetCondition(v1alpha1.FunctionConditionReady),
		build:    f.Status.Build,
		building: f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded),
		service:  f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady),
		created:  f.Status.LatestCreatedRevisionName, serves: f.Status.LatestReadyRevisionName,
		replicas: replicas,
	}
	s.look(f.Status.ObservedGeneration)
	if f.Status.URL != nil {
		s.url = f.Status.URL.String()
	}
	return s
}

func ofAgent(a *v1alpha1.LambdaAgent, replicas int32) *snapshot {
	s := &snapshot{
		Object: a, kind: "LambdaAgent", noun: "agent",
		ready:   a.Status.GetCondition(v1alpha1.AgentConditionReady),
		service: a.Status.GetCondition(v1alpha1.AgentConditionServiceReady),
		created: a.Status.LatestCreatedRevisionName, serves: a.Status.LatestReadyRevisionName,
		replicas: replicas,
	}
	s.look(a.Status.ObservedGeneration)
	if a.Status.URL != nil {
		s.url = a.Status.URL.String()
	}
	return s
}

func (s *snapshot) look(observedGeneration int64) {
	s.generation = s.GetGeneration()
	if s.GetDeletionTimestamp() != nil && observedGeneration > 0 {
		s.generation = observedGeneration
	}
	s.observed = s.generation == observedGeneration
}

func (s *snapshot) object() events.Object {
	return events.Object{Kind: s.kind, Namespace: s.GetNamespace(), Name: s.GetName(), UID: string(s.GetUID()), Generation: s.generation}
}

// readyPods of those that run a function or agent.
func readyPods(pods []*corev1.Pod) (n int32) {
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n
}

// at is a time as events have it; now where there is none.
func at(t *metav1.Time, now time.Time) time.Time {
	if t == nil || t.IsZero() {
		return now
	}
	return t.UTC()
}

func text(t *metav1.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
