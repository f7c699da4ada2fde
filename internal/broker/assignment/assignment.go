// Package assignment says which queues a Trigger has. The controller writes it into
// the Trigger's status annotations before it changes anything in RabbitMQ, so that
// nothing is left behind when the controller stops in between. Dispatchers read it.
//
// A dispatcher consumes the queues in Draining, and Queue only when there are none:
// so the events of a Trigger that becomes ordered, or stops to be, do not overtake
// each other. When a queue in Draining is empty and the dispatcher has none of its
// events in hand, it cancels its consumer. The controller deletes the queue once it is
// empty and has no consumers.
package assignment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// orderedSuffix is of the names of ordered queues: RabbitMQ cannot change a queue from
// one to the other.
const orderedSuffix = ".1"

// maxParallelism of a Trigger, as with Knative's own Broker on RabbitMQ.
const maxParallelism = 1000

// Assignment of queues to a Trigger.
type Assignment struct {
	// Queue that the Trigger's events go to.
	Queue string
	// Kind of the queue. Later changes of the configuration do not concern it.
	Kind queue.Kind
	// Keys that the queue is bound to. The first is the one that the Trigger asks for;
	// others are those of its earlier filters, until every replica has the new one.
	Keys []string
	// Draining queues get no more events.
	Draining []string
	// Connection to RabbitMQ that the queues are on, empty for the installation's.
	Connection string
	// Undeclared says that Queue may not exist, or is about to be declared. Dispatchers
	// consume none of the queues: RabbitMQ may close the connection of all tenants when
	// one is consumed while it is declared.
	Undeclared bool
}

// Parallelism of a Trigger as its author has it: 0 if the annotation is missing. The
// error names the annotation and what would be right.
func Parallelism(t *eventingv1.Trigger) (int, error) {
	text, ok := t.Annotations[lambda.ParallelismAnnotationKey]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxParallelism {
		return 0, fmt.Errorf("annotation %s: expected a number from 1 to %d, got %q", lambda.ParallelismAnnotationKey, maxParallelism, text)
	}
	return n, nil
}

// Wanted is what a Trigger of the Broker is to have. The error is Parallelism's.
func Wanted(broker types.UID, t *eventingv1.Trigger, kind queue.Kind) (Assignment, error) {
	parallelism, err := Parallelism(t)
	if err != nil {
		return Assignment{}, err
	}
	name := routing.Queue(t)
	if parallelism == 1 {
		name += orderedSuffix
	}
	return Assignment{Queue: name, Kind: kind, Keys: []string{routing.Binding(broker, t)}}, nil
}

// Ordered says whether a queue of this name delivers one event after the other.
func Ordered(queue string) bool { return strings.HasSuffix(queue, orderedSuffix) }

// Serves says whether the event plane serves a Broker: it is of this project's class.
func Serves(b *eventingv1.Broker) bool {
	return b.Annotations[eventingv1.BrokerClassAnnotationKey] == lambda.BrokerClass
}

// Of a Trigger, as its status has it. The zero value says that it has none yet. Users
// who may edit Triggers may also write their status: queues of other Triggers are ignored.
func Of(t *eventingv1.Trigger) Assignment {
	a := t.Status.Annotations
	own := Queues(t)
	foreign := func(name string) bool { return !slices.Contains(own, name) }
	all := Assignment{
		Queue: a[lambda.QueueAnnotationKey], Kind: queue.Kind(a[lambda.QueueTypeAnnotationKey]),
		Keys: list(a[lambda.BindingKeysAnnotationKey]), Draining: slices.DeleteFunc(list(a[lambda.DrainingAnnotationKey]), foreign),
		Connection: ofNamespace(t.Namespace, a[lambda.ConnectionAnnotationKey]), Undeclared: a[lambda.UndeclaredAnnotationKey] != "",
	}
	if len(all.Draining) == 0 {
		all.Draining = nil
	}
	if foreign(all.Queue) || len(all.Keys) == 0 {
		return Assignment{}
	}
	return all
}

// Record the assignment in the Trigger's status. The zero value removes it.
func (a Assignment) Record(t *eventingv1.Trigger) {
	undeclared := ""
	if a.Undeclared {
		undeclared = "true"
	}
	for key, value := range map[string]string{
		lambda.QueueAnnotationKey: a.Queue, lambda.QueueTypeAnnotationKey: string(a.Kind),
		lambda.BindingKeysAnnotationKey: strings.Join(a.Keys, ","), lambda.DrainingAnnotationKey: strings.Join(a.Draining, ","),
		lambda.ConnectionAnnotationKey: a.Connection, lambda.UndeclaredAnnotationKey: undeclared,
	} {
		if value == "" {
			delete(t.Status.Annotations, key)
			continue
		}
		if t.Status.Annotations == nil {
			t.Status.Annotations = map[string]string{}
		}
		t.Status.Annotations[key] = value
	}
	if len(t.Status.Annotations) == 0 {
		t.Status.Annotations = nil
	}
}

// Towards the wanted assignment: what has to be recorded before the change begins.
// What the Trigger has now is kept, after what it is to have.
func (a Assignment) Towards(wanted Assignment) Assignment {
	next := Assignment{
		Queue: wanted.Queue, Kind: wanted.Kind, Connection: a.Connection, Undeclared: a.Undeclared,
		Keys:     prepend(wanted.Keys[0], a.Keys),
		Draining: without(a.Draining, wanted.Queue),
	}
	if a.Queue == wanted.Queue {
		next.Kind = a.Kind
	} else if a.Queue != "" {
		next.Draining = append(next.Draining, a.Queue)
	}
	return next
}

// Asks says whether the Trigger has been assigned what it wants, though it may have
// more as yet.
func (a Assignment) Asks(wanted Assignment) bool {
	return a.Queue == wanted.Queue && len(a.Keys) > 0 && a.Keys[0] == wanted.Keys[0]
}

// Queues that a Trigger may have, whatever its status says: without order and with.
func Queues(t *eventingv1.Trigger) []string {
	name := routing.Queue(t)
	return []string{name, name + orderedSuffix}
}

// OwnerOf a queue of a Trigger, by its name; false if that does not say it.
func OwnerOf(queue string) (routing.Owner, bool) {
	return routing.OwnerOf(strings.TrimSuffix(queue, orderedSuffix))
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func prepend(first string, rest []string) []string {
	return append([]string{first}, without(rest, first)...)
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == one })
}
