package assignment_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

func brokerWith(config *duckv1.KReference, annotation string) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "default"}, Spec: eventingv1.BrokerSpec{Config: config}}
	if annotation != "" {
		b.Status.Annotations = map[string]string{lambda.ConnectionAnnotationKey: annotation}
	}
	return b
}

func TestConnected(t *testing.T) {
	t.Parallel()
	secret, channels := &duckv1.KReference{APIVersion: "v1", Kind: "Secret"}, &duckv1.KReference{APIVersion: "v1", Kind: "ConfigMap"}
	for name, tt := range map[string]struct {
		config     *duckv1.KReference
		annotation string
		want       string
		ok         bool
	}{
		"no configuration":                         {nil, "", "", true},
		"no configuration, whatever the status is": {nil, "team.a", "", true},
		"a default for channels":                   {channels, "", "", true},
		"not connected yet":                        {secret, "", "", false},
		"connected":                                {secret, "team.a", "team.a", true},
		"of the installation":                      {secret, "installation", "", true},
		"of another namespace":                     {secret, "other.a", "", false},
		"of a namespace with that prefix":          {secret, "team-b.a", "", false},
		"of no namespace":                          {secret, "team", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := assignment.Connected(brokerWith(tt.config, tt.annotation))
			if got != tt.want || ok != tt.ok {
				t.Errorf("Connected() = %q, %t; want %q, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	secret := &duckv1.KReference{APIVersion: "v1", Kind: "Secret"}
	for _, connection := range []string{"", "team.a"} {
		b := brokerWith(secret, "")
		assignment.Connect(b, connection)
		if got, ok := assignment.Connected(b); got != connection || !ok {
			t.Errorf("after Connect(%q): %q, %t", connection, got, ok)
		}
		assignment.Disconnect(b)
		if got, ok := assignment.Connected(b); ok || b.Status.Annotations != nil {
			t.Errorf("after Disconnect: %q, annotations %v", got, b.Status.Annotations)
		}
	}
	b := brokerWith(nil, "")
	if assignment.Connect(b, ""); b.Status.Annotations != nil {
		t.Errorf("a Broker without configuration has %v", b.Status.Annotations)
	}
}
