package trigger

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const (
	tombstonePrefix = "knative-lambda-tombstone-"
	// keys of a tombstone's data.
	tombstoneQueues     = "queues"     // one on each line
	tombstoneConnection = "connection" // missing for that of the installation
	tombstoneTrigger    = "trigger"    // namespace/name, for those who read it
)

// tombstones are ConfigMaps in the operator's namespace. Each names the queues of a
// Trigger that was deleted while RabbitMQ was away: the deletion of a namespace must not
// wait for RabbitMQ, and nothing may be left behind there.
type tombstones struct {
	kube        kubernetes.Interface
	namespace   string
	connections connections
	// leads says whether this replica cleans up after a tombstone.
	leads func(types.NamespacedName) bool
}

// write the tombstone of a Trigger.
func (s *tombstones) write(ctx context.Context, t *eventingv1.Trigger) error {
	data := map[string]string{
		tombstoneQueues:  strings.Join(assignment.Queues(t), "\n"),
		tombstoneTrigger: t.Namespace + "/" + t.Name,
	}
	if c := assignment.Of(t).Connection; c != "" {
		data[tombstoneConnection] = c
	}
	_, err := s.kube.CoreV1().ConfigMaps(s.namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: tombstonePrefix + string(t.UID),
			Labels: map[string]string{lambda.TombstoneLabelKey: "true"},
		},
		Data: data,
	}, metav1.CreateOptions{})
	if err != nil && !apierrs.IsAlreadyExists(err) {
		return fmt.Errorf("failed to write down the queues of a deleted Trigger: %w", err)
	}
	return nil
}

// clean deletes the queues of all tombstones whose RabbitMQ is there, and then the
// tombstones. It returns the first error after it has tried all.
func (s *tombstones) clean(ctx context.Context) (first error) {
	client := s.kube.CoreV1().ConfigMaps(s.namespace)
	all, err := client.List(ctx, metav1.ListOptions{LabelSelector: lambda.TombstoneLabelKey})
	if err != nil {
		return fmt.Errorf("failed to list the tombstones of Triggers: %w", err)
	}
	for i := range all.Items {
		cm := &all.Items[i]
		if !s.leads(types.NamespacedName{Namespace: cm.Namespace, Name: cm.Name}) {
			continue
		}
		name := cm.Data[tombstoneConnection]
		connection := s.connections.Get(name)
		var err error
		switch {
		case connection == nil && name != "": // removed: nothing is left to delete the queues by
		case connection == nil || connection.Err() != nil:
			continue
		default:
			err = removeAll(ctx, connection, strings.Split(cm.Data[tombstoneQueues], "\n"))
		}
		if err == nil {
			err = client.Delete(ctx, cm.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cm.UID}})
		}
		if err != nil && !apierrs.IsNotFound(err) && first == nil {
			first = fmt.Errorf("failed to clean up after Trigger %s: %w", cm.Data[tombstoneTrigger], err)
		}
	}
	return first
}
