package resources

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

func keys(t *testing.T, current, previous byte) *keyring.Keyring {
	t.Helper()
	data := map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{current}, keyring.KeySize)}
	if previous != 0 {
		data[keyring.PreviousKey] = bytes.Repeat([]byte{previous}, keyring.KeySize)
	}
	k, err := keyring.New(data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keyOf(t *testing.T, s Subscribers) string {
	t.Helper()
	service := &servingv1.Service{}
	service.Spec.Template.Spec.Containers = []corev1.Container{{}}
	s.AddKey(service)
	env := service.Spec.Template.Spec.Containers[0].Env
	if len(env) != 1 || env[0].Name != "LAMBDA_SUBSCRIBER_KEY" || len(env[0].Value) != 52 {
		t.Fatalf("the container has %v, want the key", env)
	}
	return env[0].Value
}

// TestSubscribers: what one object's Triggers ask for, its own revisions believe, those
// with the previous key too, and nobody else's.
func TestSubscribers(t *testing.T) {
	greeter := Subscribers{keys(t, 2, 1), "function", "team", "greeter"}
	trigger := &eventingv1.Trigger{}
	trigger.Spec.Subscriber.URI = &apis.URL{Path: "/", RawQuery: events.Subscriber{Permanent: events.PermanentRetry}.Query()}
	greeter.Sign(trigger)
	query := trigger.Spec.Subscriber.URI.RawQuery
	for name, tt := range map[string]struct {
		of   Subscribers
		want bool
	}{
		"the function":       {greeter, true},
		"an older revision":  {Subscribers{keys(t, 1, 0), "function", "team", "greeter"}, true},
		"another function":   {Subscribers{keys(t, 2, 1), "function", "team", "other"}, false},
		"another namespace":  {Subscribers{keys(t, 2, 1), "function", "other", "greeter"}, false},
		"an agent":           {Subscribers{keys(t, 2, 1), "agent", "team", "greeter"}, false},
		"a cluster's others": {Subscribers{keys(t, 3, 0), "function", "team", "greeter"}, false},
	} {
		if _, ok := events.VerifySubscriber(query, keyOf(t, tt.of)); ok != tt.want {
			t.Errorf("%s takes the query: %v, want %v", name, ok, tt.want)
		}
	}
	bare := &eventingv1.Trigger{}
	if greeter.Sign(bare); bare.Spec.Subscriber.URI != nil {
		t.Error("a subscriber without a query got one")
	}
}
