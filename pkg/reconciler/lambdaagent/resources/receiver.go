package resources

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/network"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// ReceiverTriggers makes the Triggers on the agent's own Broker that lead to the receiver
// and back: controls of its permissions, its requests for approval, and what was decided
// of these. The paths at the receiver are signed with keys.
func (m *Maker) ReceiverTriggers(controls *v1alpha1.Controls, keys *keyring.Keyring) []*eventingv1.Trigger {
	a := m.Agent
	var all []*eventingv1.Trigger
	add := func(attributes map[string]string, to duckv1.Destination) {
		all = append(all, m.trigger(names.Receiver(a, hash(attributes)), attributes, nil, to))
	}
	if controls != nil {
		for _, eventType := range controls.Types {
			attributes := map[string]string{"type": eventType}
			// The receiver checks sources. A filter for one of them keeps the rest away from it.
			if len(controls.Sources) == 1 && !strings.Contains(controls.Sources[0], "*") {
				attributes["source"] = controls.Sources[0]
			}
			add(attributes, atReceiver(at(a, receiverpath.Controls), keys, m.Config))
		}
	}
	if a.Spec.OperationMode == v1alpha1.ModeSupervised {
		add(map[string]string{"type": events.ApprovalRequested, "source": a.EventSource()}, atReceiver(at(a, receiverpath.Approvals), keys, m.Config))
		// Outcomes are all that comes from there, so one Trigger takes both.
		add(map[string]string{"source": events.Source("receiver", a.Namespace, a.Name)}, duckv1.Destination{Ref: &duckv1.KReference{
			APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: a.Namespace, Name: names.Service(a),
		}})
	}
	return all
}

// AddApprovals tells a supervised agent's program the URL at which it may ask for an
// approval without its broker, and read what was decided. The URL is the agent's own:
// its path proves that to the receiver.
func AddApprovals(service *servingv1.Service, a *v1alpha1.LambdaAgent, keys *keyring.Keyring, cfg *config.Eventing) {
	if a.Spec.OperationMode != v1alpha1.ModeSupervised || a.Spec.Approval == nil {
		return
	}
	receiver := cfg.DeadLetters.Receiver
	container := &service.Spec.Template.Spec.Containers[0]
	container.Env = append(container.Env, corev1.EnvVar{
		Name:  "LAMBDA_AGENT_APPROVALS_URL",
		Value: apis.HTTP(network.GetServiceHostname(receiver.Name, receiver.Namespace)).String() + at(a, receiverpath.Approvals).Path(keys),
	})
}

// atReceiver is the path of the target at the configuration's receiver.
func atReceiver(t receiverpath.Target, keys *keyring.Keyring, cfg *config.Eventing) duckv1.Destination {
	receiver := cfg.DeadLetters.Receiver
	return duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: receiver.Namespace, Name: receiver.Name},
		URI: &apis.URL{Path: t.Path(keys)},
	}
}
