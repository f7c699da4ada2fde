package deadletter

import (
	"context"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	topologyclientset "knative.dev/eventing-rabbitmq/third_party/pkg/client/clientset/versioned"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const (
	// lookupTimeout is how long the API server may take.
	lookupTimeout = 5 * time.Second
	// earlier is how long letters from before a late binding may be on their way.
	earlier = 10 * time.Minute
)

// Bindings tells which letters RabbitMQ itself has put into a function's queue. It
// asks the API server each time: what a cache holds could be a binding that has just
// gone, and its letter would be nowhere.
type Bindings struct {
	Client topologyclientset.Interface
	Clock  clock.PassiveClock
}

// Has tells whether the queue has every letter that comes with the binding's name.
// Whatever is not known is a no: then the letter is stored, at worst twice.
func (b *Bindings) Has(ctx context.Context, namespace, name, queue string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	binding, err := b.Client.RabbitmqV1beta1().Bindings(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		if !apierrs.IsNotFound(err) {
			slog.Warn("a letter may be stored twice", "error", err, "queue", queue)
		}
		return false
	}
	since, ready := readySince(binding)
	_, late := binding.Annotations[lambda.LateBindingAnnotationKey]
	return ready && binding.Spec.Destination == queue && (!late || b.Clock.Since(since) >= earlier)
}

// readySince tells since when the binding has been in force. One that is being
// deleted may be gone already.
func readySince(b *topologyv1beta1.Binding) (since time.Time, ready bool) {
	if b.DeletionTimestamp != nil || b.Status.ObservedGeneration != b.Generation {
		return since, false
	}
	for _, c := range b.Status.Conditions {
		if c.Type == "Ready" && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time, true
		}
	}
	return since, false
}
