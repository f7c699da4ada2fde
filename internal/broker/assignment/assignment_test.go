package assignment_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

func trigger(annotations map[string]string) *eventingv1.Trigger {
	return &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orders", UID: "u1", Annotations: annotations}}
}

func TestRecord_ReadsBackWhatItWrote(t *testing.T) {
	t.Parallel()
	q := routing.Queue(trigger(nil))
	for _, a := range []assignment.Assignment{
		{},
		{Queue: q, Kind: queue.Quorum, Keys: []string{"a"}},
		{Queue: q, Kind: queue.Classic, Keys: []string{"a", "b"}, Draining: []string{q + ".1"}, Connection: "team.5ca1ab1e"},
		{Queue: q, Kind: queue.Quorum, Keys: []string{"a"}, Undeclared: true},
	} {
		o := trigger(nil)
		o.Status.Annotations = map[string]string{"other": "kept", lambda.DrainingAnnotationKey: "old"}
		a.Record(o)
		if diff := cmp.Diff(a, assignment.Of(o)); diff != "" {
			t.Error("(-recorded, +read):", diff)
		}
		if o.Status.Annotations["other"] != "kept" {
			t.Error("an annotation of another controller is missing")
		}
	}
}

func TestOwnerOf(t *testing.T) {
	t.Parallel()
	uid := types.UID("0b8b0c5e-6d2c-4a55-9f2f-3a1c8d9e0f11")
	for _, name := range []string{"orders", "a.b.c", "x.1", strings.Repeat("n", 253)} {
		o := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: uid}}
		for _, q := range assignment.Queues(o) {
			got, ok := assignment.OwnerOf(q)
			if !ok || got.Namespace != "team" || got.UID != uid || !strings.HasPrefix(name, got.Name) || got.Cut != (got.Name != name) {
				t.Errorf("OwnerOf(%q) = %+v, %t", q, got, ok)
			}
		}
	}
	for _, other := range []string{"", "lambda.t.", "lambda.t.hash", "lambda.t.team.uid", "lambda.t.team..uid", "lambda.t.team.a.", "lambda.dlq.team.orders", "lambda.delay.10s", "orders"} {
		if got, ok := assignment.OwnerOf(other); ok {
			t.Errorf("OwnerOf(%q) = %+v", other, got)
		}
	}
}

func TestWanted_ByParallelism(t *testing.T) {
	t.Parallel()
	tests := []struct {
		parallelism, suffix string
		ordered, wantErr    bool
	}{
		{parallelism: "", suffix: ""}, {parallelism: "1", suffix: ".1", ordered: true}, {parallelism: "2"}, {parallelism: "1000"},
		{parallelism: "0", wantErr: true}, {parallelism: "1001", wantErr: true}, {parallelism: "many", wantErr: true},
	}
	for _, tt := range tests {
		var annotations map[string]string
		if tt.parallelism != "" {
			annotations = map[string]string{lambda.ParallelismAnnotationKey: tt.parallelism}
		}
		o := trigger(annotations)
		got, err := assignment.Wanted("b1", o, queue.Quorum)
		if (err != nil) != tt.wantErr {
			t.Errorf("parallelism %q: error %v, want error: %v", tt.parallelism, err, tt.wantErr)
		}
		if err != nil {
			continue
		}
		if want := routing.Queue(o) + tt.suffix; got.Queue != want || assignment.Ordered(got.Queue) != tt.ordered {
			t.Errorf("parallelism %q: queue %q, ordered %v; want %q, %v", tt.parallelism, got.Queue, assignment.Ordered(got.Queue), want, tt.ordered)
		}
	}
}

func TestTowards_KeepsWhatThereIs(t *testing.T) {
	t.Parallel()
	want := func(q, key string) assignment.Assignment {
		return assignment.Assignment{Queue: q, Kind: queue.Quorum, Keys: []string{key}}
	}
	tests := []struct {
		name               string
		has, wanted, after assignment.Assignment
	}{
		{"first", assignment.Assignment{}, want("q", "a"), want("q", "a")},
		{"another filter", want("q", "a"), want("q", "b"), assignment.Assignment{Queue: "q", Kind: queue.Quorum, Keys: []string{"b", "a"}}},
		{"and back", assignment.Assignment{Queue: "q", Kind: queue.Quorum, Keys: []string{"b", "a"}}, want("q", "a"),
			assignment.Assignment{Queue: "q", Kind: queue.Quorum, Keys: []string{"a", "b"}}},
		{"ordered", want("q", "a"), want("q.1", "a"), assignment.Assignment{Queue: "q.1", Kind: queue.Quorum, Keys: []string{"a"}, Draining: []string{"q"}}},
		{"and back before the first is empty", assignment.Assignment{Queue: "q.1", Kind: queue.Quorum, Keys: []string{"a"}, Draining: []string{"q"}}, want("q", "a"),
			assignment.Assignment{Queue: "q", Kind: queue.Quorum, Keys: []string{"a"}, Draining: []string{"q.1"}}},
		{"another kind concerns new queues only", assignment.Assignment{Queue: "q", Kind: queue.Classic, Keys: []string{"a"}}, want("q", "a"),
			assignment.Assignment{Queue: "q", Kind: queue.Classic, Keys: []string{"a"}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.after, tt.has.Towards(tt.wanted)); diff != "" {
			t.Errorf("%s (-want, +got): %s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.after, tt.after.Towards(tt.wanted)); diff != "" {
			t.Errorf("%s, again (-want, +got): %s", tt.name, diff)
		}
	}
}

func TestOf_IgnoresQueuesOfOthers(t *testing.T) {
	t.Parallel()
	o := trigger(nil)
	own := routing.Queue(o)
	assignment.Assignment{Queue: "lambda.t.other.x.u2", Kind: queue.Quorum, Keys: []string{"a"}}.Record(o)
	if got := assignment.Of(o); got.Queue != "" {
		t.Errorf("queue %q", got.Queue)
	}
	assignment.Assignment{Queue: own, Kind: queue.Quorum, Keys: []string{"a"}, Draining: []string{"lambda.t.other.x.u2", own + ".1"}}.Record(o)
	if diff := cmp.Diff([]string{own + ".1"}, assignment.Of(o).Draining); diff != "" {
		t.Error("draining (-want, +got):", diff)
	}
	if diff := cmp.Diff([]string{own, own + ".1"}, assignment.Queues(o)); diff != "" {
		t.Error("queues (-want, +got):", diff)
	}
}
