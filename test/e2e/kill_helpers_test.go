//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	// killPace is how soon the next event is sent.
	killPace = 80 * time.Millisecond
	// thirdsRetries are more than it takes until an event that fails twice is handled.
	thirdsRetries = 3
	repairType    = "io.example.repair"
)

// thirds remembers each event, of which ids end with a number. Until it is repaired it
// always fails for a third of them, and twice for another third. What it knows is in its
// only pod.
const thirds = remember + `
import time

handle = handler

def handler(event, context):
    if context.type is None:
        return handle(event, context)
    if context.type == "` + repairType + `":
        open("/tmp/repaired", "w").close()
        return None
    time.sleep(0.02)
    number = int(context.id.rsplit("-", 1)[1])
    with open("/tmp/attempts-" + context.id, "a") as attempts:
        attempts.write(".")
    attempts = os.path.getsize("/tmp/attempts-" + context.id)
    if not os.path.exists("/tmp/repaired") and (number % 3 == 0 or number % 3 == 1 and attempts <= 2):
        raise ValueError("not today")
    handle(event, context)
`

// hopeless reports whether thirds always fails for an event.
func hopeless(id string) bool {
	n, err := strconv.Atoi(id[strings.LastIndex(id, "-")+1:])
	return err == nil && n%3 == 0
}

// newThirds makes the function in a namespace of its own.
func newThirds(ctx context.Context, t *testing.T) *v1alpha1.LambdaFunction {
	t.Helper()
	f := python(clients.Namespace(ctx, t), "thirds", thirds)
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(1)}
	f.Spec.Eventing = &v1alpha1.FunctionEventing{
		Enabled:  true,
		RabbitMQ: &v1alpha1.RabbitMQSpec{Parallelism: ptr.Int32(10)},
		DLQ:      &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(thirdsRetries), RetryBackoffDelay: v1alpha1.NewDuration(200 * time.Millisecond), BackoffPolicy: "linear"},
	}
	f = ready(ctx, t, create(ctx, t, f))
	answers(ctx, t, f, "[]")
	return f
}

// repair the function, so that it handles every event.
func repair(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	if status, _, err := clients.Send(ctx, f.Status.URL, newEvent("repair", repairType, "/e2e"), false); err != nil || status >= http.StatusMultipleChoices {
		t.Fatalf("the function cannot be repaired: %d, %v", status, err)
	}
}

// sending of a steady stream of events.
type sending struct {
	name       string
	events     int
	workers    sync.WaitGroup
	n, refused atomic.Int64
}

func (s *sending) id(i int) string { return fmt.Sprintf("%s-%04d", s.name, i) }

// done reports whether all have been accepted.
func (s *sending) done() bool { return s.n.Load() >= int64(s.events) }

// wait until all have been accepted.
func (s *sending) wait(t *testing.T) {
	t.Helper()
	s.workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// sendSteadily posts events that invoke the function, as a source does: what the broker
// does not accept is posted again until it does.
func sendSteadily(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, name string, events int) *sending {
	s := &sending{name: name, events: events}
	next := make(chan int)
	go func() {
		defer close(next)
		ticker := time.NewTicker(killPace)
		defer ticker.Stop()
		for i := range events {
			next <- i
			<-ticker.C
		}
	}()
	for range 8 {
		s.workers.Go(func() {
			for i := range next {
				if err := s.post(ctx, f, i); err != nil && ctx.Err() == nil {
					t.Errorf("event %d was never accepted: %v", i, err)
				}
				s.n.Add(1)
			}
		})
	}
	return s
}

func (s *sending) post(ctx context.Context, f *v1alpha1.LambdaFunction, i int) error {
	e := newEvent(s.id(i), "io.knative.lambda.invoke.async", "/e2e")
	e.SetSubject(f.Namespace + "/" + f.Name)
	var last error
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if last = clients.Publish(ctx, types.NamespacedName{Namespace: f.Namespace, Name: "default"}, e); last != nil {
			s.refused.Add(1)
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return nil
}

// settle waits until each event has been answered, or is a dead letter; and checks that
// dead letters are those that always fail, and have used up their attempts.
func (s *sending) settle(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	s.everyOne(ctx, t, f, "answered or dead", func() []string { return append(s.answered(ctx, f), idsOf(s.dead(ctx, f))...) })
	dead, all := s.dead(ctx, f), s.answered(ctx, f)
	for _, l := range dead {
		if l.Attempts <= thirdsRetries || !hopeless(l.ID) {
			t.Errorf("event %s is a dead letter after %d attempts, want %d: %d %s", l.ID, l.Attempts, thirdsRetries+1, l.ErrorCode, l.ErrorReason)
		}
	}
	letters := distinct(idsOf(dead))
	if want := (s.events + 2) / 3; len(letters) != want {
		t.Errorf("%d events are dead letters, want %d", len(letters), want)
	}
	t.Logf("%d events answered, %d duplicates; %d dead letters, %d duplicates", len(distinct(all)), len(all)-len(distinct(all)), len(letters), len(dead)-len(letters))
}

// replay the dead letters of a function that was repaired.
func (s *sending) replay(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	said, err := kubectlLambda(ctx, f.Namespace, "dlq", "replay", f.Name, "--all")
	if err != nil {
		t.Fatalf("replay: %v: %s", err, said[max(0, len(said)-1000):])
	}
	all := s.everyOne(ctx, t, f, "answered after the replay", func() []string { return s.answered(ctx, f) })
	if left := s.dead(ctx, f); len(left) > 0 {
		t.Errorf("%d dead letters are left after the replay, such as %s", len(left), left[0].ID)
	}
	t.Logf("after the replay %d events are answered, %d duplicates", len(distinct(all)), len(all)-len(distinct(all)))
}

// everyOne waits until each of the events is among those that found returns, and
// returns them.
func (s *sending) everyOne(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, what string, found func() []string) (all []string) {
	t.Helper()
	var missing []string
	err := wait.PollUntilContextTimeout(ctx, 2*time.Second, test.Patience, true, func(context.Context) (bool, error) {
		all = found()
		has := distinct(all)
		missing = nil
		for i := range s.events {
			if _, ok := slices.BinarySearch(has, s.id(i)); !ok {
				missing = append(missing, s.id(i))
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		t.Fatalf("%d of %d events of %s are not %s: %v; the first: %v", len(missing), s.events, f.Name, what, err, missing[:min(20, len(missing))])
	}
	return all
}

func distinct(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

// answered are the ids of the events that the function has handled; none where it
// cannot be asked just now.
func (s *sending) answered(ctx context.Context, f *v1alpha1.LambdaFunction) (ids []string) {
	answer, err := clients.Call(ctx, f.Status.URL, "{}")
	var got []seen
	if err != nil || answer.Status != http.StatusOK || json.Unmarshal([]byte(answer.Body), &got) != nil {
		return nil
	}
	for _, e := range got {
		if strings.HasPrefix(e.ID, s.name+"-") {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// dead letters of the function; none where they cannot be listed just now.
func (s *sending) dead(ctx context.Context, f *v1alpha1.LambdaFunction) []receiverv1.DeadLetter {
	said, err := kubectlLambda(ctx, f.Namespace, "dlq", "list", f.Name, "--limit", strconv.Itoa(receiverv1.MaxListed), "-o", "json")
	var list receiverv1.DeadLetterList
	if err != nil || json.Unmarshal([]byte(said), &list) != nil {
		return nil
	}
	return slices.DeleteFunc(list.Items, func(l receiverv1.DeadLetter) bool { return !strings.HasPrefix(l.ID, s.name+"-") })
}

func idsOf(letters []receiverv1.DeadLetter) (ids []string) {
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	return ids
}
