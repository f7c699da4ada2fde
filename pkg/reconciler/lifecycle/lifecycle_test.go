package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/schema"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is one function, the sink and the teller between them.
type world struct {
	*teller
	t        *testing.T
	function *v1alpha1.LambdaFunction // nil where it is gone
	replicas int32
	stale    *v1alpha1.LambdaFunction // what the cache has, where it lags behind
	url      string
	down     bool
	writes   int
	got      []event.Event
	clock    *clocktesting.FakePassiveClock
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, url: "http://sink", clock: clocktesting.NewFakePassiveClock(start)}
	w.function = &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "greeter", UID: "u-1", Generation: 1, ResourceVersion: "1", CreationTimestamp: metav1.NewTime(start),
		Annotations: map[string]string{lambda.CreatorAnnotationKey: "ann", lambda.LastModifierAnnotationKey: "ann"},
	}}
	w.restart()
	return w
}

// restart is a new process: nothing in memory.
func (w *world) restart() {
	w.teller = &teller{
		get: func(types.NamespacedName) (*snapshot, error) {
			switch {
			case w.stale != nil:
				return ofFunction(w.stale, w.replicas), nil
			case w.function == nil:
				return nil, apierrs.NewNotFound(lambda.LambdaFunctionResource, "greeter")
			}
			return ofFunction(w.function.DeepCopy(), w.replicas), nil
		},
		patch: func(_ context.Context, _ types.NamespacedName, patch []byte) error {
			w.writes++
			have, err := json.Marshal(w.function)
			if err != nil {
				return err
			}
			if have, err = jsonpatch.MergePatch(have, patch); err != nil {
				return err
			}
			w.function = &v1alpha1.LambdaFunction{}
			if err := json.Unmarshal(have, w.function); err != nil {
				return err
			}
			return nil
		},
		sink: func() string { return w.url },
		post: func(_ context.Context, _ string, e *event.Event) error {
			if w.down {
				return errors.New("down")
			}
			w.got = append(w.got, *e)
			return nil
		},
		now: w.clock, last: map[types.UID]told{},
	}
	if err := w.Promote(reconciler.UniversalBucket(), nil); err != nil {
		w.t.Fatal(err)
	}
}

// remove the function, as the informer reports it.
func (w *world) remove() {
	last := w.function
	w.function = nil
	w.deleted(types.NamespacedName{Namespace: "team", Name: "greeter"}, ofFunction(last, 0))
}

// reconcile until nothing is written any more, as the informer would.
func (w *world) reconcile() error {
	w.t.Helper()
	for range 10 {
		before := w.writes
		if err := w.Reconcile(context.Background(), "team/greeter"); err != nil {
			return err
		}
		if w.writes == before {
			return nil
		}
	}
	w.t.Fatal("it goes on writing")
	return nil
}

// told are the types of what came since it was last asked, shortened.
func (w *world) told() (types []string) {
	w.t.Helper()
	for _, e := range w.got {
		if err := schema.Validate(e.Type(), e.Data()); err != nil {
			w.t.Errorf("%s: data %s: %v", e.Type(), e.Data(), err)
		}
		if e.Source() != "io.knative.lambda/function/team/greeter" || e.Subject() != "team/greeter" {
			w.t.Errorf("%s has source %q and subject %q", e.Type(), e.Source(), e.Subject())
		}
		types = append(types, strings.TrimPrefix(strings.TrimPrefix(e.Type(), events.Prefix), "lifecycle."))
	}
	w.got = nil
	return types
}

func (w *world) expect(step string, want ...string) {
	w.t.Helper()
	if err := w.reconcile(); err != nil {
		w.t.Fatalf("%s: %v", step, err)
	}
	if diff := cmp.Diff(want, w.told()); diff != "" {
		w.t.Errorf("%s (-want, +got): %s", step, diff)
	}
}

func (w *world) observed() *v1alpha1.LambdaFunctionStatus {
	s := &w.function.Status
	s.ObservedGeneration = w.function.Generation
	s.InitializeConditions()
	s.MarkSourceResolved()
	s.MarkEventingNotRequested()
	return s
}

func (w *world) building(attempt int32, at time.Time) {
	s := w.observed()
	began := metav1.NewTime(at)
	s.Build = &v1alpha1.BuildStatus{Reference: "registry/f:tag", Attempts: attempt, StartTime: &began, JobName: "job"}
	s.MarkBuildPending(v1alpha1.ReasonBuilding, "Job builds.")
}

func (w *world) serving(revision string) {
	s := w.observed()
	s.MarkBuildSucceeded()
	s.LatestCreatedRevisionName, s.LatestReadyRevisionName = revision, revision
	manager := (&v1alpha1.LambdaFunction{}).GetConditionSet().Manage(s)
	manager.MarkTrue(v1alpha1.FunctionConditionServiceReady)
}

func TestLifeOfAFunction(t *testing.T) {
	w := newWorld(t)
	w.expect("new", "function.created", "notification.audit.change")
	w.expect("nothing new")
	if len(w.function.Finalizers) > 0 {
		t.Errorf("finalizers %v, want none: they would outlive the operator", w.function.Finalizers)
	}

	w.building(1, start)
	w.expect("a build", "build.started")
	w.restart()
	w.expect("a restart")
	w.function.Status.Build.Failure = &v1alpha1.BuildFailure{Reason: "PushFailed", Retryable: true}
	w.function.Status.MarkBuildPending(v1alpha1.ReasonRetrying, "Attempt 1 of 3 failed.")
	w.expect("a fault of the infrastructure", "build.progressing")
	w.building(2, start.Add(time.Minute))
	w.expect("the second attempt", "build.started")
	w.function.Status.Build.Image = "registry/f@sha256:1"
	w.serving("greeter-00001")
	w.expect("it serves", "build.completed", "service.created", "service.ready", "function.ready")
	w.replicas = 1
	w.expect("a pod", "service.scaled")
	w.replicas = 0
	w.expect("to zero", "service.scaled")

	w.function.Generation = 2
	w.function.Annotations[lambda.LastModifierAnnotationKey] = "bob"
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	var audit events.Audit
	if err := json.Unmarshal(w.got[1].Data(), &audit); err != nil || audit.Actor != "bob" || audit.Action != "updated" || audit.Generation != 2 {
		t.Errorf("audit = %+v, %v; want bob's update of generation 2", audit, err)
	}
	if diff := cmp.Diff([]string{"function.updated", "notification.audit.change"}, w.told()); diff != "" {
		t.Errorf("a change (-want, +got): %s", diff)
	}
	w.serving("greeter-00002")
	w.expect("it serves again", "service.updated", "service.ready", "function.ready")
	w.function.Status.MarkServiceFailed("Crash", "it crashes")
	w.expect("it fails", "function.degraded")

	// It changes once more and is deleted at once, which counts the generation up.
	w.function.Generation = 3
	w.serving("greeter-00003")
	w.function.Generation = 4
	gone := metav1.NewTime(start)
	w.function.DeletionTimestamp = &gone
	w.expect("held by another finalizer")
	w.remove()
	w.expect("deleted", "function.updated", "notification.audit.change", "service.updated", "service.ready", "function.ready", "service.deleted", "function.deleted", "notification.audit.change")
	w.expect("still deleted")
}

func TestEndsOfBuilds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*world)
		want   string
		reason string
	}{
		{"failed", func(w *world) {
			w.function.Status.Build.Failure = &v1alpha1.BuildFailure{Reason: "BuildStepFailed", Step: "build"}
			w.function.Status.MarkBuildFailed("BuildStepFailed", "no")
		}, "build.failed", "BuildStepFailed"},
		{"timeout", func(w *world) {
			w.function.Status.Build.Failure = &v1alpha1.BuildFailure{Reason: build.ReasonTimeout}
			w.function.Status.MarkBuildFailed(build.ReasonTimeout, "no")
		}, "build.timeout", build.ReasonTimeout},
		{"cancelled", func(w *world) {
			w.function.Status.Build.Failure = &v1alpha1.BuildFailure{Reason: v1alpha1.ReasonBuildCancelled}
			w.function.Status.MarkBuildFailed(v1alpha1.ReasonBuildCancelled, "no")
		}, "build.cancelled", v1alpha1.ReasonBuildCancelled},
		{"superseded", func(w *world) {
			w.function.Status.Build = &v1alpha1.BuildStatus{Reference: "registry/f:other"}
		}, "build.cancelled", "Superseded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.building(1, start)
			w.expect("a build", "function.created", "notification.audit.change", "build.started")
			tt.change(w)
			if err := w.reconcile(); err != nil {
				t.Fatal(err)
			}
			var data events.BuildLifecycle
			if err := json.Unmarshal(w.got[0].Data(), &data); err != nil || data.Reason != tt.reason || data.Reference != "registry/f:tag" {
				t.Errorf("data = %+v, %v; want reason %s of the build that was begun", data, err, tt.reason)
			}
			if got := w.told(); got[0] != tt.want {
				t.Errorf("told %v, want %s first", got, tt.want)
			}
			w.expect("nothing new")
		})
	}
}

// TestSinkThatIsDown: nothing is lost, nothing overtakes, and what is told twice
// has the same id.
func TestSinkThatIsDown(t *testing.T) {
	w := newWorld(t)
	w.down = true
	if err := w.reconcile(); err == nil {
		t.Fatal("Reconcile() = nil while the sink is down, want an error, so that it is tried again")
	}
	w.serving("greeter-00001")
	w.down = false
	w.expect("the sink is back", "function.created", "notification.audit.change", "service.created", "service.ready", "function.ready")

	// The process dies after it told and before that was written.
	w.function.Status.MarkServiceFailed("Crash", "it crashes")
	record := w.function.Annotations[lambda.ToldAnnotationKey]
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	first := w.got[0].ID()
	w.function.Annotations[lambda.ToldAnnotationKey] = record
	w.restart()
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	if len(w.got) != 2 || w.got[1].ID() != first {
		t.Errorf("after the restart: %v, want the same event once more", w.got)
	}
}

// TestCacheThatLagsBehind: what was just told is not told again.
func TestCacheThatLagsBehind(t *testing.T) {
	w := newWorld(t)
	w.stale = w.function.DeepCopy()
	for range 3 {
		if err := w.Reconcile(context.Background(), "team/greeter"); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.told(); len(got) != 2 {
		t.Errorf("told %v, want created and its audit once", got)
	}
}

// TestDeletions: a deletion waits for no sink, and is reported when that answers again,
// before what has the name next.
func TestDeletions(t *testing.T) {
	w := newWorld(t)
	w.expect("new", "function.created", "notification.audit.change")
	next := w.function.DeepCopy()
	next.UID, next.Annotations = "u-2", nil
	w.down = true
	w.remove()
	w.function = next
	if err := w.reconcile(); err == nil {
		t.Fatal("Reconcile() = nil while the sink is down, want an error, so that it is retried")
	}
	w.clock.SetTime(start.Add(deletionTTL))
	w.down = false
	w.expect("the sink is back", "function.deleted", "notification.audit.change", "function.created", "notification.audit.change")
	w.expect("nothing new")

	w.down = true
	w.remove()
	w.clock.SetTime(start.Add(2*deletionTTL + 1))
	w.down = false
	w.expect("too late")
	if keys := w.pending(); len(keys) > 0 {
		t.Errorf("deletions of %v are remembered for ever", keys)
	}
}

// TestDeletionAfterTheLeaderStopped: another replica has seen the deletion, too, and
// reports it with the same ids when it becomes the leader.
func TestDeletionAfterTheLeaderStopped(t *testing.T) {
	w := newWorld(t)
	w.expect("new", "function.created", "notification.audit.change")
	last := w.function
	w.remove()
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	var first []string
	for _, e := range w.got {
		first = append(first, e.ID())
	}
	w.got = nil

	w.function = last
	w.restart() // the other replica
	w.Demote(reconciler.UniversalBucket())
	w.remove()
	if err := w.Reconcile(context.Background(), "team/greeter"); !controller.IsSkipKey(err) {
		t.Fatalf("Reconcile() = %v, want the key to be skipped", err)
	}
	if err := w.Promote(reconciler.UniversalBucket(), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]types.NamespacedName{{Namespace: "team", Name: "greeter"}}, w.pending()); diff != "" {
		t.Error("what a new leader enqueues (-want, +got):", diff)
	}
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	var second []string
	for _, e := range w.got {
		second = append(second, e.ID())
	}
	if diff := cmp.Diff(first, second); diff != "" || len(first) != 2 {
		t.Errorf("the ids of %d events differ (-first, +second): %s", len(first), diff)
	}
}

// TestDeletionsAreBounded: a namespace with many functions does not fill the memory.
func TestDeletionsAreBounded(t *testing.T) {
	w := newWorld(t)
	last := w.function
	for range maxDeletions + 1 {
		w.deleted(types.NamespacedName{Namespace: "team", Name: "greeter"}, ofFunction(last, 0))
	}
	if n := len(w.pending()); n != maxDeletions {
		t.Errorf("%d deletions are remembered, want %d", n, maxDeletions)
	}
	w.url = ""
	w.clock.SetTime(start.Add(deletionTTL + 1))
	w.expect("switched off")
	if n := len(w.pending()); n != 0 {
		t.Errorf("%d deletions are remembered without a sink, want none", n)
	}
}

// TestWithoutASink: objects are left alone, and what was put on them is taken off.
func TestWithoutASink(t *testing.T) {
	w := newWorld(t)
	w.expect("new", "function.created", "notification.audit.change")
	w.url = ""
	w.expect("switched off")
	if w.function.Annotations[lambda.ToldAnnotationKey] != "" {
		t.Errorf("annotations %v, want none of this package", w.function.Annotations)
	}
	before := w.writes
	w.expect("still off")
	if w.writes != before {
		t.Errorf("%d writes without a sink, want none", w.writes-before)
	}
}

func TestOnlyTheLeaderTells(t *testing.T) {
	w := newWorld(t)
	w.Demote(reconciler.UniversalBucket())
	if err := w.Reconcile(context.Background(), "team/greeter"); !controller.IsSkipKey(err) || len(w.got) > 0 {
		t.Errorf("Reconcile() = %v and told %v, want the key to be skipped", err, w.told())
	}
}

func TestAgent(t *testing.T) {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "u-2", Generation: 1}}
	a.Status.ObservedGeneration = 1
	a.Status.InitializeConditions()
	for _, c := range []apis.ConditionType{v1alpha1.AgentConditionServiceReady, v1alpha1.AgentConditionBrokerReady, v1alpha1.AgentConditionRoutingReady} {
		a.GetConditionSet().Manage(&a.Status).MarkTrue(c)
	}
	var got []string
	for _, n := range transitions(ofAgent(a, 1), told{}, start) {
		e, err := n.event(ofAgent(a, 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(e.Type(), e.Data()); err != nil {
			t.Errorf("%s: %v", e.Type(), err)
		}
		got = append(got, e.Type())
	}
	want := []string{events.LifecycleAgentCreated, events.NotificationAuditChange, events.LifecycleAgentReady, events.LifecycleServiceScaled}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want, +got): %s", diff)
	}
}

func TestReadyPods(t *testing.T) {
	ready := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	now := metav1.NewTime(start)
	pods := []*corev1.Pod{{Status: ready}, {}, {Status: ready, ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}}
	if n := readyPods(pods); n != 1 {
		t.Errorf("readyPods() = %d, want 1: not the one that starts, nor the one that ends", n)
	}
}
