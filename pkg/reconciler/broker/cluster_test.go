package broker

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func configOf(ref *topologyv1beta1.RabbitmqClusterReference) *rabbitv1alpha1.RabbitmqBrokerConfig {
	return &rabbitv1alpha1.RabbitmqBrokerConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "x"},
		Spec:       rabbitv1alpha1.RabbitmqBrokerConfigSpec{RabbitmqClusterReference: ref, Vhost: "shop", QueueType: "classic"},
	}
}

func cluster(user, allowed string) map[string]any {
	o := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"rabbitmq.com/topology-allowed-namespaces": allowed}}}
	if user != "" {
		o["status"] = map[string]any{"binding": map[string]any{"name": user}}
	}
	return o
}

// TestConnect_Cluster: the connection of a RabbitmqCluster leads where that cluster's
// namespace may, has the virtual host of the configuration, and ends with the consent.
func TestConnect_Cluster(t *testing.T) {
	t.Parallel()
	ref := &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", Name: "rabbit"}
	o := newOwn(t, ltesting.Objects(broker(configured("eventing.knative.dev/v1alpha1", "RabbitmqBrokerConfig")), registry("shop.1"), configOf(ref)), func(r *row) {
		r.clusters["other/rabbit"] = cluster("", "team")
	})
	o.expect(plane.ReasonConfigNotReady, "RabbitmqCluster other/rabbit has no Secret of its default user yet")
	o.clusters["other/rabbit"] = cluster("rabbit-default-user", "team")
	o.expect(plane.ReasonSecretMissing, "Secret other/rabbit-default-user does not exist")
	o.secrets["other/rabbit-default-user"] = secretData("host", "rabbit.other.svc", "vhost", "")
	name, _ := assignment.Connected(o.expect(ReasonConnecting, ""))
	if s := o.registered()[name]; s.From != "other" || s.VirtualHost != "shop" || s.QueueType != "classic" || connection.NamespaceOf(name) != "team" {
		t.Errorf("registered %q: %+v", name, s)
	}
	o.open()
	o.expect("", "")

	o.clusters["other/rabbit"] = cluster("rabbit-default-user", "shop")
	b := o.expect(plane.ReasonConfigNotAllowed, "does not allow namespace team")
	if _, ok := assignment.Connected(b); ok || len(o.registered()) != 1 {
		t.Errorf("stays connected after the consent was withdrawn: %v", o.registered())
	}
	o.connections.Remove(name)
	o.clusters["other/rabbit"] = cluster("rabbit-default-user", "team")
	if again, _ := assignment.Connected(o.expect(ReasonConnecting, "")); again != name {
		t.Errorf("connected to %q, was %q", again, name)
	}
	if len(o.registered()) != 2 {
		t.Errorf("registered %v", o.registered())
	}
}
