// Package calls is what the event plane knows of asynchronous calls: whom a Trigger
// delivers them to, and where their outcomes are kept.
package calls

import (
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Segment of a path at the ingress, between the Broker and the callee.
const Segment = "calls"

// Callee is a function or an agent.
type Callee struct {
	Kind receiverv1.Kind
	types.NamespacedName
}

// String is kind/namespace/name.
func (c Callee) String() string { return string(c.Kind) + "/" + c.NamespacedName.String() }

// Subject of the events that invoke the callee by its name.
func (c Callee) Subject() string {
	if c.Kind == receiverv1.KindAgent {
		return events.AgentSubject(c.Namespace, c.Name)
	}
	return events.FunctionSubject(c.Namespace, c.Name)
}

// Parse the text of String.
func Parse(text string) (Callee, bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return Callee{}, false
	}
	c := Callee{receiverv1.Kind(parts[0]), types.NamespacedName{Namespace: parts[1], Name: parts[2]}}
	return c, c.Kind == receiverv1.KindFunction || c.Kind == receiverv1.KindAgent
}

// Of a Trigger that delivers asynchronous calls, and the source of the events that report
// their outcomes; false for other Triggers. The callee controls the Trigger, so that users
// who may edit Triggers report outcomes of their own namespace only.
func Of(t *eventingv1.Trigger) (c Callee, source string, ok bool) {
	source = t.Annotations[lambda.OutcomeSourceAnnotationKey]
	owner := metav1.GetControllerOf(t)
	if owner == nil || !strings.HasPrefix(owner.APIVersion, lambda.GroupName+"/") || source == "" {
		return Callee{}, "", false
	}
	if u, err := url.Parse(source); err != nil || u.String() != source {
		return Callee{}, "", false
	}
	c.NamespacedName = types.NamespacedName{Namespace: t.Namespace, Name: owner.Name}
	switch owner.Kind {
	case "LambdaFunction":
		c.Kind = receiverv1.KindFunction
	case "LambdaAgent":
		c.Kind = receiverv1.KindAgent
	default:
		return Callee{}, "", false
	}
	return c, source, true
}

// Index of Triggers by the Broker and the callee of their calls.
const Index = "calls"

// IndexFunc is the cache.IndexFunc of Index. It leaves out Triggers that have no queue yet.
func IndexFunc(object any) ([]string, error) {
	t, isTrigger := object.(*eventingv1.Trigger)
	if !isTrigger {
		return nil, nil
	}
	c, _, ok := Of(t)
	if a := assignment.Of(t); !ok || a.Queue == "" || a.Undeclared { // calls would be lost
		return nil, nil
	}
	return []string{IndexKey(t.Spec.Broker, c)}, nil
}

// IndexKey of the calls of a callee by a Broker of its namespace.
func IndexKey(broker string, c Callee) string { return broker + "/" + c.String() }
