//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const rabbitMQReady apis.ConditionType = "RabbitMQReady"

// virtualHost on the cluster's RabbitMQ, with a user of the same name.
type virtualHost struct{ name, management string }

func newVirtualHost(t *testing.T, name string) *virtualHost {
	t.Helper()
	needsRabbitMQ(t)
	v := &virtualHost{name: name, management: os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL")}
	v.call(t, http.MethodPut, "vhosts/"+name, map[string]string{}, nil)
	t.Cleanup(func() {
		v.call(t, http.MethodDelete, "users/"+name, nil, nil)
		v.call(t, http.MethodDelete, "vhosts/"+name, nil, nil)
	})
	v.password(t, "1")
	return v
}

// password of the user, which has the permissions that docs/eventing.md asks for.
func (v *virtualHost) password(t *testing.T, text string) {
	t.Helper()
	v.call(t, http.MethodPut, "users/"+v.name, map[string]string{"password": text, "tags": "management"}, nil)
	v.call(t, http.MethodPut, "permissions/"+v.name+"/"+v.name,
		map[string]string{"configure": `^lambda\.`, "write": `^(lambda\.|amq\.default$)`, "read": `^lambda\.`}, nil)
}

// queues with a prefix.
func (v *virtualHost) queues(t *testing.T, prefix string) (names []string) {
	t.Helper()
	var all []struct {
		Name string `json:"name"`
	}
	v.call(t, http.MethodGet, "queues/"+v.name, nil, &all)
	for _, q := range all {
		if strings.HasPrefix(q.Name, prefix) {
			names = append(names, q.Name)
		}
	}
	return names
}

func (v *virtualHost) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, v.management+"/api/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(os.Getenv("LAMBDA_RABBITMQ_USERNAME"), os.Getenv("LAMBDA_RABBITMQ_PASSWORD"))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s", method, path, response.Status)
	}
	if out != nil {
		if err := json.NewDecoder(response.Body).Decode(out); err != nil {
			t.Fatal(err)
		}
	}
}

// secretOf the virtual host for a Broker, written or written again.
func (v *virtualHost) secretOf(ctx context.Context, t *testing.T, namespace, password string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rabbit"}, StringData: map[string]string{
		"host": os.Getenv("LAMBDA_RABBITMQ_HOST"), "port": os.Getenv("LAMBDA_RABBITMQ_PORT"), "vhost": v.name, "username": v.name, "password": password,
		"management": v.management,
	}}
	secrets := clients.Kube.CoreV1().Secrets(namespace)
	_, err := secrets.Create(ctx, secret, metav1.CreateOptions{})
	if err != nil {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// awaitReason waits until RabbitMQReady of a Broker has a reason; an empty one is that of
// True.
func awaitReason(ctx context.Context, t *testing.T, broker types.NamespacedName, reason string) {
	t.Helper()
	var last *apis.Condition
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		b, err := clients.Eventing.EventingV1().Brokers(broker.Namespace).Get(ctx, broker.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = b.Status.GetCondition(rabbitMQReady)
		return last != nil && last.Reason == reason && (reason != "" || last.IsTrue()), nil
	})
	if err != nil {
		t.Fatalf("RabbitMQReady of Broker %s is %v, want the reason %q: %v", broker, last, reason, err)
	}
}

// allowDeliveries to the RabbitMQ of the cluster, which is at a private address.
func allowDeliveries(ctx context.Context, t *testing.T) {
	t.Helper()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", os.Getenv("LAMBDA_RABBITMQ_HOST"))
	if err != nil {
		t.Fatal(err)
	}
	management, err := url.Parse(os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := net.DefaultResolver.LookupNetIP(ctx, "ip", management.Hostname())
	if err != nil {
		t.Fatal(err)
	}
	var networks []string
	for _, a := range append(addresses, more...) {
		networks = append(networks, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()).String())
	}
	configMaps := clients.Kube.CoreV1().ConfigMaps(operatorNamespace)
	before, err := configMaps.Get(ctx, "config-eventing", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const key = "delivery-allowed-networks"
	set := func(value *string) {
		patch, err := json.Marshal(map[string]any{"data": map[string]*string{key: value}})
		if err == nil {
			_, err = configMaps.Patch(context.WithoutCancel(ctx), "config-eventing", types.MergePatchType, patch, metav1.PatchOptions{})
		}
		if err != nil {
			t.Error(err)
		}
	}
	old, had := before.Data[key]
	if had {
		networks = append(networks, old)
	}
	text := strings.Join(networks, ", ")
	set(&text)
	t.Cleanup(func() {
		if had {
			set(&old)
			return
		}
		set(nil)
	})
}

// TestBrokerWithItsOwnRabbitMQ: a Broker on a virtual host that a Secret of its namespace
// names, from a Secret that is missing to one that is deleted, and what is left of it.
func TestBrokerWithItsOwnRabbitMQ(t *testing.T) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	v := newVirtualHost(t, "lambda-"+namespace)
	key := types.NamespacedName{Namespace: namespace, Name: "own"}
	broker := &eventingv1.Broker{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: key.Name, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: lambda.BrokerClass}},
		Spec:       eventingv1.BrokerSpec{Config: &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Namespace: namespace, Name: "rabbit"}},
	}
	brokers := clients.Eventing.EventingV1().Brokers(namespace)
	if _, err := brokers.Create(ctx, broker, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitReason(ctx, t, key, "ConnectionSecretMissing")
	if err := clients.Publish(ctx, key, newEvent("early", "io.example.order", "/e2e")); err == nil {
		t.Error("an event was accepted without a connection")
	}
	v.secretOf(ctx, t, namespace, "wrong")
	awaitReason(ctx, t, key, "HostNotAllowed")
	allowDeliveries(ctx, t)
	awaitReason(ctx, t, key, "CredentialsRefused")
	v.secretOf(ctx, t, namespace, "1")
	awaitReason(ctx, t, key, "")

	collector := rememberer(namespace, "collector")
	collector.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: key.Name, Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "io.example.order"}}}}
	collector = ready(ctx, t, create(ctx, t, collector))
	n := 0
	arrives := func(when string) {
		t.Helper()
		n++
		publish(ctx, t, key, newEvent(fmt.Sprint(n), "io.example.order", "/e2e"))
		remembers(ctx, t, collector, when, func(got []seen) bool { return len(got) >= n })
	}
	arrives("an event on the own virtual host")
	if queues := v.queues(t, "lambda.t."+namespace+"."); len(queues) != 1 {
		t.Errorf("queues of Triggers in the virtual host: %v, want one", queues)
	}
	if queues := v.queues(t, "lambda.installation."); len(queues) != 1 {
		t.Errorf("marks of installations: %v, want one", queues)
	}
	v.password(t, "2")
	v.secretOf(ctx, t, namespace, "2")
	arrives("an event after a new password")

	if err := clients.Kube.CoreV1().Secrets(namespace).Delete(ctx, "rabbit", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitReason(ctx, t, key, "ConnectionSecretMissing")
	arrives("an event after the Secret was deleted")

	// The Broker first: its Triggers find their queues by their own status.
	if err := brokers.Delete(ctx, key.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	update(ctx, t, collector, func(s *v1alpha1.LambdaFunctionSpec) { s.Triggers = nil })
	v.expectClosed(ctx, t, namespace)
}

// expectClosed waits until the queues are deleted and the connection is closed.
func (v *virtualHost) expectClosed(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(ctx, 2*time.Second, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		secret, err := clients.Kube.CoreV1().Secrets(operatorNamespace).Get(ctx, "knative-lambda-connections", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for name := range secret.Data {
			if strings.HasPrefix(name, namespace+".") {
				return false, nil
			}
		}
		return len(v.queues(t, "lambda.t.")) == 0, nil
	})
	if err != nil {
		t.Errorf("the connection stays, or the queues %v: %v", v.queues(t, "lambda.t."), err)
	}
}
