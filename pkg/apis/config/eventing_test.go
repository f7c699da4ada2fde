package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestEventingExampleShowsTheDefaults(t *testing.T) {
	_, example := shipped(t, EventingConfigName)
	got, err := NewEventingFromConfigMap(example)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultEventing()
	want.RabbitMQCluster = types.NamespacedName{Namespace: "rabbitmq", Name: "rabbitmq"} // has no default
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error("the example of config-eventing shows other values than the defaults (-default, +example):", diff)
	}
}

func TestEventing(t *testing.T) {
	got, err := NewEventingFromConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "platform"}, Data: map[string]string{
		"rabbitmq-connection-secret": "rabbit", "queue-type": "classic", "parallelism": "1", "delivery-retry": "0", "delivery-timeout": "90s",
		"dead-letters": "false", "dead-letter-overflow-policy": "reject-publish", "response-sink": "https://errors.example/in",
		"delivery-gateways": "ingress/private, ingress/public", "delivery-allowed-networks": "192.168.5.0/24,10.9.0.0/16",
		"broker-class": "RabbitMQBroker",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := defaultEventing()
	want.ConnectionSecret, want.QueueType, want.Parallelism, want.BrokerClass = "rabbit", "classic", 1, RabbitMQBrokerClass
	want.Delivery.Retry, want.Delivery.Timeout = 0, 90*time.Second
	want.DeadLetters.Enabled, want.DeadLetters.OverflowPolicy = false, "reject-publish"
	want.DeadLetters.Receiver.Namespace = "platform"
	want.ResponseSink = "https://errors.example/in"
	want.DeliveryGateways = []types.NamespacedName{{Namespace: "ingress", Name: "private"}, {Namespace: "ingress", Name: "public"}}
	want.DeliveryAllowedNetworks = []netip.Prefix{netip.MustParsePrefix("192.168.5.0/24"), netip.MustParsePrefix("10.9.0.0/16")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error("config-eventing (-want, +got):", diff)
	}
	if !got.HasRabbitMQ() || defaultEventing().HasRabbitMQ() {
		t.Error("HasRabbitMQ() does not tell whether a RabbitMQ is configured")
	}
}

func TestEventingTellsWhatIsWrong(t *testing.T) {
	for key, value := range map[string]string{
		"default-broker": "Not A Name", "rabbitmq-cluster": "rabbitmq", "rabbitmq-connection-secret": "a/b", "queue-type": "stream",
		"parallelism": "0", "delivery-retry": "-1", "delivery-backoff-policy": "cubic", "delivery-backoff-delay": "0s", "delivery-timeout": "PT1S",
		"dead-letters": "maybe", "dead-letter-receiver": "here", "dead-letter-ttl": "0s", "dead-letter-max-length": "many",
		"dead-letter-overflow-policy": "drop", "response-sink": "errors", "broker": "default",
		"delivery-gateways": "kourier", "delivery-allowed-networks": "192.168.5.0",
		"broker-class": "Kafka", "trigger-overlap": "30s", "broker-pod-resources": "requests: {cpu: 10m}", // earlier versions had these
	} {
		_, err := NewEventingFromConfigMap(&corev1.ConfigMap{Data: map[string]string{key: value}})
		if err == nil || !strings.Contains(err.Error(), EventingConfigName+": "+key+": ") {
			t.Errorf("%s: %q: error = %v, want one that names the key", key, value, err)
		}
	}
	both := map[string]string{"rabbitmq-cluster": "rabbitmq/rabbitmq", "rabbitmq-connection-secret": "rabbit"}
	if _, err := NewEventingFromConfigMap(&corev1.ConfigMap{Data: both}); err == nil || !strings.Contains(err.Error(), "only one of") {
		t.Errorf("cluster and secret: error = %v, want one that says that they exclude each other", err)
	}
}

// TestEventingIgnoresKeysOfEarlierVersions: a ConfigMap that has them still holds.
func TestEventingIgnoresKeysOfEarlierVersions(t *testing.T) {
	ignored := 0
	parse := Tolerant(func(error) { ignored++ }, NewEventingFromConfigMap)
	got, err := parse(&corev1.ConfigMap{Data: map[string]string{"trigger-overlap": "1m", "broker-pod-resources": "requests: {cpu: 10m}", "parallelism": "7"}})
	if err != nil || got.Parallelism != 7 || got.BrokerClass != "LambdaBroker" || ignored == 0 {
		t.Errorf("got %+v, %v; %d warnings", got, err, ignored)
	}
}
