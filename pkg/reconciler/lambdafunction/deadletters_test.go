package lambdafunction

import (
	"fmt"
	"testing"
	"time"

	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

const greeterQueue = "lambda.dlq.team.greeter"

func withoutDeadLetters(t *eventingv1.Trigger) {
	delete(t.Annotations, lambda.DeadLetterQueueAnnotationKey)
}

// TestDeadLetterQueue: what the queue is asked for, and what the condition says of it.
func TestDeadLetterQueue(t *testing.T) {
	f := upAnd(enabled)
	dlq := func(d v1alpha1.DeadLetterSpec) option {
		return func(f *v1alpha1.LambdaFunction) { f.Spec.Eventing.DLQ = &d }
	}
	asked, off := dlq(v1alpha1.DeadLetterSpec{Enabled: ptr.Bool(true)}), dlq(v1alpha1.DeadLetterSpec{Enabled: ptr.Bool(false)})
	bounds := dlq(v1alpha1.DeadLetterSpec{MessageTTL: v1alpha1.NewDuration(time.Minute), MaxLength: ptr.Int64(7), OverflowPolicy: "reject-publish", RetryMaxAttempts: ptr.Int32(2)})
	ready := func(*v1alpha1.LambdaFunction) {}
	byDefault := deadletters.Bounds{TTL: time.Hour, MaxLength: 100, Overflow: "drop-head"}
	notConfigured := fmt.Errorf("cannot declare: %w", amqp.ErrNotConfigured)
	retries := triggerOf(upAnd(enabled, bounds))
	for _, tt := range []struct {
		name    string
		spec    option
		err     error
		trigger *eventingv1.Trigger // as it was
		updated *eventingv1.Trigger
		said    option
		want    *deadletters.Bounds
	}{
		{name: "by configuration", spec: ready, trigger: triggerOf(f), said: ready, want: &byDefault},
		{name: "settings change in place", spec: bounds, trigger: triggerOf(f), updated: retries, said: ready, want: &deadletters.Bounds{TTL: time.Minute, MaxLength: 7, Overflow: "reject-publish"}},
		{name: "turned off", spec: off, trigger: triggerOf(f), updated: triggerOf(f, withoutDeadLetters), said: ready},
		{name: "RabbitMQ is away, which keeps the Trigger's queue", spec: ready, err: queue.ErrUnavailable, trigger: triggerOf(f), want: &byDefault,
			said: pends(v1alpha1.ReasonDeadLetterQueueNotReady, "The dead letter queue waits for RabbitMQ: the message broker is unavailable.")},
		{name: "no management API", spec: ready, err: &deadletters.BoundsError{Err: management.ErrNotConfigured}, trigger: triggerOf(f), want: &byDefault, said: func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkEventingReadyBut(v1alpha1.ReasonDeadLetterBoundsNotSet, "The dead letter queue keeps the bounds that it had, or the default ones: cannot set the bounds of the dead letter queue: the Secret has no URL of RabbitMQ's management API: run the setup Job, or add the key management.")
		}},
		{name: "another queue of the name", spec: ready, err: fmt.Errorf("%w: x", queue.ErrConflict), trigger: triggerOf(f), want: &byDefault,
			said: stuck(v1alpha1.ReasonDeadLetterQueueNotReady, "the queue exists with other arguments: x: delete the queue in RabbitMQ when it is empty, and it is declared again.")},
		{name: "no RabbitMQ", spec: ready, err: notConfigured, trigger: triggerOf(f, withoutDeadLetters), said: ready, want: &byDefault},
		{name: "no RabbitMQ, though asked for", spec: asked, err: notConfigured, trigger: triggerOf(f, withoutDeadLetters), want: &byDefault,
			said: stuck(v1alpha1.ReasonRabbitMQNotConfigured, "The installation has no RabbitMQ for a dead letter queue: run the setup Job, or set eventing.dlq.enabled to false.")},
	} {
		queues := &ltesting.DeadLetters{Err: tt.err}
		row := ltesting.Table{{
			Name: tt.name, Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.queues = queues }),
			Objects:           ltesting.Objects(upAnd(enabled, tt.spec), upService(enabled), broker("default"), tt.trigger),
			WantStatusUpdates: status(upAnd(enabled, tt.spec, flowing("default"), tt.said)),
		}}
		if tt.updated != nil {
			row[0].WantUpdates = []clientgotesting.UpdateActionImpl{{Object: tt.updated}}
			row[0].WantEvents = []string{ltesting.Normal("Updated", `Updated Trigger "`+tt.updated.Name+`"`)}
		}
		row.Test(t, newReconciler)
		got, ok := queues.Bounds(greeterQueue)
		switch {
		case tt.want == nil && (ok || !queues.Deleted(greeterQueue)):
			t.Errorf("%s: the queue exists: %t", tt.name, ok)
		case tt.want != nil && (!ok || got != *tt.want || queues.Deleted(greeterQueue)):
			t.Errorf("%s: bounds %+v, %t; want %+v", tt.name, got, ok, *tt.want)
		}
	}
}

// TestDeadLetterQueueGoes with the events of a function, or with the function. One that
// never had events costs RabbitMQ nothing.
func TestDeadLetterQueueGoes(t *testing.T) {
	for name, tt := range map[string]struct {
		before option
		want   bool
	}{
		"had events": {flowing("default"), true},
		"never had":  {func(*v1alpha1.LambdaFunction) {}, false},
	} {
		queues := &ltesting.DeadLetters{}
		row := ltesting.Table{{
			Name: name, Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.queues = queues }),
			Objects: ltesting.Objects(upAnd(tt.before), upService()),
		}}
		if tt.want {
			row[0].WantStatusUpdates = status(upAnd())
		}
		row.Test(t, newReconciler)
		if got := queues.Deleted(greeterQueue); got != tt.want {
			t.Errorf("%s: the queue was deleted: %t, want %t", name, got, tt.want)
		}
	}
	queues := &ltesting.DeadLetters{}
	if err := (&Reconciler{queues: queues}).ObserveDeletion(t.Context(), key(&pass{LambdaFunction: function()})); err != nil || !queues.Deleted(greeterQueue) {
		t.Errorf("the queue of a deleted function: %v, deleted %t", err, queues.Deleted(greeterQueue))
	}
}
