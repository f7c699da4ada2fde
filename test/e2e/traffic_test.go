//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestTraffic: a new revision gets no traffic but by its tag, then a half, then is
// rolled back, by edits; a split that is dropped goes to the latest.
func TestTraffic(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := ready(ctx, t, create(ctx, t, python(namespace, "canary", greeting("old"))))
	old := f.Status.LatestReadyRevisionName

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Source.Inline.Code = greeting("new")
		s.Traffic = []servingv1.TrafficTarget{{RevisionName: old, Percent: ptr.Int64(100)}, {LatestRevision: ptr.Bool(true), Percent: ptr.Int64(0), Tag: "next"}}
	}))
	answers(ctx, t, f, greetingBody("old"))
	if len(f.Status.Traffic) != 2 || f.Status.Traffic[1].URL == nil {
		t.Fatalf("status.traffic = %+v, want both targets, one with a URL", f.Status.Traffic)
	}
	tagged := f.DeepCopy()
	tagged.Status.URL = f.Status.Traffic[1].URL
	answers(ctx, t, tagged, greetingBody("new"))

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Traffic = []servingv1.TrafficTarget{{RevisionName: old, Percent: ptr.Int64(50)}, {LatestRevision: ptr.Bool(true), Percent: ptr.Int64(50)}}
	}))
	both := countAnswers(ctx, t, f, 60)
	if both[greetingBody("old")] < 10 || both[greetingBody("new")] < 10 {
		t.Errorf("of 60 requests split in halves, the answers are %v", both)
	}

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Traffic = []servingv1.TrafficTarget{{RevisionName: old, Percent: ptr.Int64(100)}}
	}))
	settle(ctx, t, f, greetingBody("old"))

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Traffic = nil }))
	settle(ctx, t, f, greetingBody("new"))
}

// TestRollbackByCommand: the command gives all traffic to the revision before, and
// with a revision's name to that one.
func TestRollbackByCommand(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	applySample(ctx, t, "commands.yaml", namespace)
	f := ready(ctx, t, create(ctx, t, python(namespace, "shop", greeting("old"))))
	old := f.Status.LatestReadyRevisionName
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = greeting("new") }))
	settle(ctx, t, f, greetingBody("new"))
	for i, tt := range []struct {
		data any
		want string
	}{{nil, "old"}, {events.FunctionRollback{Revision: f.Status.LatestReadyRevisionName}, "new"}, {events.FunctionRollback{Revision: old}, "old"}} {
		command := newCommand(events.CommandFunctionRollback, fmt.Sprint(i), "/ci/main", namespace+"/shop", tt.data)
		if status, _, said := receiverPost(ctx, t, "/", command); status != http.StatusOK {
			t.Fatalf("the command with %+v was answered %d %s", tt.data, status, said)
		}
		settle(ctx, t, ready(ctx, t, f), greetingBody(tt.want))
	}
}

// countAnswers waits until both revisions have answered, then counts.
func countAnswers(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, requests int) map[string]int {
	t.Helper()
	var counts map[string]int
	err := wait.PollUntilContextTimeout(ctx, time.Second, 3*test.Takeover, true, func(ctx context.Context) (bool, error) {
		counts = map[string]int{}
		for range requests {
			answer, err := clients.Call(ctx, f.Status.URL, "{}")
			if err != nil {
				return false, err
			}
			counts[answer.Body]++
		}
		return len(counts) > 1, nil
	})
	if err != nil {
		t.Errorf("%v; the answers are %v", err, counts)
	}
	return counts
}

// settle waits until twenty answers in a row are the wanted one: until then the
// revision of before may still be routed to.
func settle(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, want string) {
	t.Helper()
	settleAt(ctx, t, f.Status.URL, want, 20, 3*test.Takeover, func(a test.Answer) bool { return a.Body == want })
}
