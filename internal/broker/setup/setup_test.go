package setup

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	keys "github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
)

// rabbit is a virtual host of its own of a real RabbitMQ, set up.
type rabbit struct {
	Options

	t       *testing.T
	address string
}

func newRabbit(t *testing.T) *rabbit {
	t.Helper()
	address, api := os.Getenv("LAMBDA_RABBITMQ_URL"), os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL")
	if address == "" || api == "" {
		t.Skip("LAMBDA_RABBITMQ_URL, LAMBDA_RABBITMQ_MANAGEMENT_URL: missing; bring up the cluster with --with=eventing")
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	r := &rabbit{t: t, address: u.Host, Options: Options{
		Management: &management.Client{URL: api, Username: u.User.Username(), Password: password, HTTP: http.DefaultClient},
		Kube:       fake.NewClientset(), Namespace: "knative-lambda", VirtualHost: "lambda-setup-" + strings.ToLower(rand.Text()[:8]),
		Host: u.Hostname(), Port: u.Port(), MaxLength: 100_000, MaxLengthBytes: 1 << 30,
	}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, role := range roles {
			if err := r.retire(ctx, r.VirtualHost+"-"+role.name+"-", ""); err != nil {
				t.Error(err)
			}
		}
		if err := r.Management.Delete(ctx, "vhosts", r.VirtualHost); err != nil {
			t.Error(err)
		}
	})
	r.run(false)
	return r
}

func (r *rabbit) run(rotate bool) {
	r.t.Helper()
	o := r.Options
	o.Rotate = rotate
	if err := Run(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rabbit) secret(role string) map[string][]byte {
	r.t.Helper()
	s, err := r.Kube.CoreV1().Secrets(r.Namespace).Get(r.t.Context(), SecretPrefix+role, metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Data
}

func (r *rabbit) dial(secret map[string][]byte) (*amqp.Connection, error) {
	u := url.URL{Scheme: "amqp", Host: r.address, User: url.UserPassword(string(secret["username"]), string(secret["password"])), Path: "/" + r.VirtualHost}
	return amqp.DialConfig(u.String(), amqp.Config{Heartbeat: 10 * time.Second, Vhost: r.VirtualHost})
}

// as runs an operation on a channel of its own: RabbitMQ closes it when it refuses.
func (r *rabbit) as(role string, operation func(*amqp.Channel) error) error {
	r.t.Helper()
	conn, err := r.dial(r.secret(role))
	if err != nil {
		r.t.Fatalf("%s: %v", role, err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		r.t.Fatalf("%s: %v", role, err)
	}
	return operation(ch)
}

func declare(name string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		return err
	}
}

func remove(name string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err }
}

func passive(name string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	}
}

func get(name string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error { _, _, err := ch.Get(name, true); return err }
}

// publish and wait for the confirm: RabbitMQ refuses a publish by closing the channel.
func publish(exchange, key string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error {
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		if err := ch.Confirm(false); err != nil {
			return err
		}
		confirm, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, amqp.Publishing{Body: []byte("x")})
		if err != nil {
			return err
		}
		select {
		case err := <-closed:
			return err
		case <-confirm.Done():
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("neither confirmed nor refused in 10 s")
		}
	}
}

func exchange(name string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(name, "direct", true, false, false, false, nil)
	}
}

func bind(name, key string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error { return ch.QueueBind(name, key, queue.Exchange, false, nil) }
}

func TestRun_GivesEachRoleItsRights(t *testing.T) {
	t.Parallel()
	r := newRabbit(t)
	const trigger, dead = "lambda.t.team.orders.u", "lambda.dlq.team.orders"
	// A passive declare of a foreign queue is missing: RabbitMQ before 4.3.1 asks for no
	// right, so that anyone of a virtual host sees how long its queues are.
	tests := []struct {
		role, what string
		operation  func(*amqp.Channel) error
		allowed    bool
	}{
		{"topology", "declares the exchange", exchange(queue.Exchange), true},
		{"topology", "declares a queue", declare(trigger), true},
		{"topology", "binds it", bind(trigger, "a.x"), true},
		{"topology", "declares another's queue", declare("other"), false},
		{"plane", "publishes events", publish(queue.Exchange, "a.x"), true},
		{"plane", "moves events", publish("", trigger), true},
		{"plane", "consumes", get(trigger), true},
		{"plane", "inspects", passive(trigger), true},
		{"plane", "declares a queue", declare("lambda.t.team.mine.u"), false},
		{"plane", "declares an exchange", exchange("lambda.mine"), false},
		{"plane", "binds a queue", bind(trigger, "a.y"), false},
		{"plane", "deletes a queue", remove(trigger), false},
		{"plane", "publishes to another exchange", publish("amq.direct", "x"), false},
		{"plane", "reads another's queue", get("other"), false},
		{"receiver", "declares dead letters", declare(dead), true},
		{"receiver", "declares its lock", declare("lock." + dead), true},
		{"receiver", "stores dead letters", publish("", dead), true},
		{"receiver", "reads dead letters", get(dead), true},
		{"receiver", "reads a Trigger's queue", get(trigger), false},
		{"receiver", "deletes a Trigger's queue", remove(trigger), false},
		{"receiver", "publishes events", publish(queue.Exchange, "a.x"), false},
		{"topology", "deletes a queue", remove(trigger), true},
	}
	for _, tt := range tests {
		err := r.as(tt.role, tt.operation)
		var refused *amqp.Error
		switch {
		case tt.allowed && err != nil:
			t.Errorf("%s %s: %v", tt.role, tt.what, err)
		case !tt.allowed && (!errors.As(err, &refused) || refused.Code != amqp.AccessRefused):
			t.Errorf("%s %s: error %v, want a refusal", tt.role, tt.what, err)
		}
	}
}

func TestRun_Bounds(t *testing.T) {
	t.Parallel()
	r := newRabbit(t)
	for _, name := range []string{"lambda.t.team.orders.u", "lambda.dlq.team.orders"} {
		if err := r.as("topology", declare(name)); err != nil {
			t.Fatal(err)
		}
	}
	wants := map[string]struct {
		policy string
		bounds map[string]any
	}{
		"lambda.t.team.orders.u": {policyName, map[string]any{"max-length": 100_000.0, "max-length-bytes": float64(1 << 30)}},
		"lambda.dlq.team.orders": {deadLetterPolicyName, map[string]any{"max-length": 10_000.0, "message-ttl": 604_800_000.0, "overflow": "drop-head"}},
	}
	deadline := time.Now().Add(30 * time.Second)
	for name, want := range wants {
		var q struct {
			Policy     string         `json:"policy"`
			Definition map[string]any `json:"effective_policy_definition"`
		}
		for q.Policy != want.policy || q.Definition == nil {
			if time.Now().After(deadline) {
				t.Fatalf("queue %s: policy %q, want %q", name, q.Policy, want.policy)
			}
			if err := r.Management.Get(t.Context(), &q, "queues", r.VirtualHost, name); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want.bounds, q.Definition); diff != "" {
			t.Errorf("bounds of %s (-want, +got): %s", name, diff)
		}
	}
}

// TestRun_NamesTheManagementAPI: only to the program that sets policies.
func TestRun_NamesTheManagementAPI(t *testing.T) {
	t.Parallel()
	m := &management.Client{URL: "http://rabbitmq.test:15672", HTTP: &http.Client{Transport: answering(http.StatusNoContent)}}
	kube := fake.NewClientset()
	if err := Run(t.Context(), Options{Management: m, Kube: kube, Namespace: "knative-lambda", VirtualHost: "v", Rotate: true}); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]string{"topology": m.URL, "plane": "", "receiver": ""} {
		s, err := kube.CoreV1().Secrets("knative-lambda").Get(t.Context(), SecretPrefix+role, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.Data[keys.Management]); got != want {
			t.Errorf("Secret of %s: management %q, want %q", role, got, want)
		}
	}
}

// TestRun_TopologyListsQueues: with its Secret the controller finds queues that have no
// Trigger.
func TestRun_TopologyListsQueues(t *testing.T) {
	t.Parallel()
	r := newRabbit(t)
	const name = "lambda.t.team.orders.u"
	if err := r.as("topology", declare(name)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for key, value := range r.secret("topology") {
		if err := os.WriteFile(filepath.Join(dir, key), value, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, virtualHost, err := management.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := client.Queues(t.Context(), virtualHost)
	if err != nil || !slices.Equal(names, []string{name}) {
		t.Errorf("Queues() = %v, %v; want %s", names, err, name)
	}
}

func TestRun_Again(t *testing.T) {
	t.Parallel()
	r := newRabbit(t)
	before := r.secret("plane")
	r.run(false)
	if string(before["password"]) != string(r.secret("plane")["password"]) {
		t.Error("the password is another one, without a rotation")
	}

	r.run(true)
	after := r.secret("plane")
	if string(before["username"]) == string(after["username"]) || string(before["password"]) == string(after["password"]) {
		t.Error("a rotation has changed nothing")
	}
	for _, secret := range []map[string][]byte{before, after} { // pods get the Secret a minute later
		conn, err := r.dial(secret)
		if err != nil {
			t.Fatalf("%s: %v", secret["username"], err)
		}
		_ = conn.Close()
	}
	r.run(false)
	if conn, err := r.dial(before); err == nil {
		_ = conn.Close()
		t.Error("the user that the rotation replaced still exists")
	}
	conn, err := r.dial(after)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestRun_RefusesASecretOfAnother(t *testing.T) {
	t.Parallel()
	m := &management.Client{URL: "http://127.0.0.1:1", HTTP: &http.Client{Transport: answering(http.StatusNoContent)}}
	kube := fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "knative-lambda", Name: SecretPrefix + "topology"}, Data: map[string][]byte{"username": []byte("guest")},
	})
	err := Run(t.Context(), Options{Management: m, Kube: kube, Namespace: "knative-lambda", VirtualHost: "v"})
	if err == nil || !strings.Contains(err.Error(), `username "guest" is not of virtual host v`) {
		t.Errorf("error %v", err)
	}
}

func TestRun_SaysWhatRabbitMQAnswered(t *testing.T) {
	t.Parallel()
	m := &management.Client{URL: "http://127.0.0.1:1", HTTP: &http.Client{Transport: answering(http.StatusUnauthorized)}}
	err := Run(t.Context(), Options{Management: m, Kube: fake.NewClientset(), Namespace: "knative-lambda", VirtualHost: "v"})
	if err == nil || !strings.Contains(err.Error(), "failed to make the virtual host: PUT http://127.0.0.1:1/api/vhosts/v: 401 Unauthorized") {
		t.Errorf("error %v", err)
	}
}

// answering is a transport that answers everything with a status.
type answering int

// RoundTrip implements http.RoundTripper.
func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Status: "401 Unauthorized", Body: http.NoBody, Request: r}, nil
}
