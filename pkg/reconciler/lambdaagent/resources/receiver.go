package resources

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// MakeReceiverTriggers makes the Triggers on the agent's own broker that lead to the
// receiver and back: controls of its permissions, its requests for approval, and what
// was decided of these.
func MakeReceiverTriggers(a *v1alpha1.LambdaAgent, controls *v1alpha1.Controls, deadLetters *duckv1.Destination, cfg *config.Eventing) []*eventingv1.Trigger {
	var all []*eventingv1.Trigger
	add := func(attributes map[string]string, to duckv1.Destination) {
		all = append(all, makeTrigger(a, names.Receiver(a, hash(attributes)), attributes, to, deadLetters, cfg))
	}
	if controls != nil {
		for _, eventType := range controls.Types {
			attributes := map[string]string{"type": eventType}
			// The receiver checks sources; the broker filters by one, and only exactly.
			if len(controls.Sources) == 1 && !strings.Contains(controls.Sources[0], "*") {
				attributes["source"] = controls.Sources[0]
			}
			add(attributes, atReceiver(a, cfg.DeadLetters.Receiver, "/controls"))
		}
	}
	if a.Spec.OperationMode == v1alpha1.ModeSupervised {
		add(map[string]string{"type": events.ApprovalRequested, "source": a.EventSource()}, atReceiver(a, cfg.DeadLetters.Receiver, "/approvals"))
		// Outcomes are all that comes from there, so one Trigger takes both.
		add(map[string]string{"source": events.Source("receiver", a.Namespace, a.Name)}, duckv1.Destination{Ref: &duckv1.KReference{
			APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: a.Namespace, Name: names.Service(a),
		}})
	}
	return all
}

// atReceiver is what the receiver serves for the agent.
func atReceiver(a *v1alpha1.LambdaAgent, receiver types.NamespacedName, path string) duckv1.Destination {
	return duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: receiver.Namespace, Name: receiver.Name},
		URI: &apis.URL{Path: approval.Path(a.Namespace, a.Name) + path},
	}
}
