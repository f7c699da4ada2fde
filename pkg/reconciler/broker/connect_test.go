package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// Secret implements plane.Objects.
func (r *row) Secret(_ context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	data, ok := r.secrets[name.String()]
	if !ok {
		return nil, apierrs.NewNotFound(schema.GroupResource{Resource: "secrets"}, name.Name)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Data: data}, nil
}

// RabbitmqCluster implements plane.Objects.
func (r *row) RabbitmqCluster(_ context.Context, name types.NamespacedName) (*unstructured.Unstructured, error) {
	o, ok := r.clusters[name.String()]
	if !ok {
		return nil, apierrs.NewNotFound(schema.GroupResource{Resource: "rabbitmqclusters"}, name.Name)
	}
	return &unstructured.Unstructured{Object: o}, nil
}

// on is a Broker that is connected.
func on(name string) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) { assignment.Connect(b, name) }
}

func secretData(changes ...string) map[string][]byte {
	data := map[string][]byte{"host": []byte("rabbit.team.svc"), "username": []byte("u"), "password": []byte("p"), "vhost": []byte("v")}
	for i := 0; i < len(changes); i += 2 {
		if data[changes[i]] = []byte(changes[i+1]); changes[i+1] == "" {
			delete(data, changes[i])
		}
	}
	return data
}

// ownSecret is spec.config of a Secret.
func ownSecret(b *eventingv1.Broker) {
	b.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
}

// registry is the Secret with all connections.
func registry(names ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-testing", Name: connection.SecretName, UID: "installation"}, Data: map[string][]byte{}}
	for _, name := range names {
		s.Data[name] = []byte("{}")
	}
	return s
}

// own is a Broker of namespace team with a RabbitMQ of its own, and what is around it.
type own struct {
	*row
	*ltesting.World

	t *testing.T
}

func newOwn(t *testing.T, objects []runtime.Object, change ...func(*row)) *own {
	t.Helper()
	ctx := in(change...)
	r, _ := ctx.Value(rowKey{}).(*row)
	return &own{row: r, t: t, World: ltesting.NewWorld(ctx, t, newReconciler, objects...)}
}

func (o *own) pass() *eventingv1.Broker {
	o.t.Helper()
	o.Reconcile(o.t, key)
	b, err := o.Listers().Brokers().Brokers("team").Get("default")
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// expect the reason of RabbitMQReady, and that its message has the text.
func (o *own) expect(reason, text string) *eventingv1.Broker {
	o.t.Helper()
	b := o.pass()
	c := b.Status.GetCondition(ConditionRabbitMQ)
	if c.Reason != reason || !strings.Contains(c.Message, text) || (reason == "") != c.IsTrue() {
		o.t.Errorf("RabbitMQReady is %v, want the reason %q and %q", c, reason, text)
	}
	return b
}

// registered connections.
func (o *own) registered() map[string]connection.Settings {
	o.t.Helper()
	s, err := o.Listers().Secrets().Secrets("knative-testing").Get(connection.SecretName)
	if err != nil {
		o.t.Fatal(err)
	}
	return connection.Decode(s)
}

// open what is registered, as the controller does.
func (o *own) open() *ltesting.Topology {
	topology := ltesting.NewTopology()
	for name := range o.registered() {
		_ = o.connections.Add(name, topology).Check(context.Background())
	}
	return topology
}

func TestConnect_Secret(t *testing.T) {
	t.Parallel()
	o := newOwn(t, ltesting.Objects(broker(ownSecret), registry()))
	o.expect(plane.ReasonSecretMissing, "Secret team/rabbit does not exist")
	o.secrets["team/rabbit"] = secretData("password", "")
	o.expect(plane.ReasonSecretInvalid, "Secret team/rabbit: key password: missing")
	if o.delayed != configInterval {
		t.Errorf("reads the Secret again after %v, want %v", o.delayed, configInterval)
	}
	o.secrets["team/rabbit"] = secretData()
	b := o.expect(ReasonConnecting, "has not been tried yet")
	name, ok := assignment.Connected(b)
	settings := o.registered()[name]
	if want := (connection.Settings{From: "team", Source: "Secret team/rabbit", Host: "rabbit.team.svc", Port: "5672", Username: "u", Password: "p", VirtualHost: "v"}); !ok || settings != want {
		t.Fatalf("registered %q: %+v, want %+v", name, settings, want)
	}
	topology := o.open()
	o.expect("", "")

	// A new password is the same connection.
	o.secrets["team/rabbit"] = secretData("password", "q")
	o.expect("", "")
	if s := o.registered(); len(s) != 1 || s[name].Password != "q" {
		t.Errorf("registered %+v", s)
	}
	// What becomes wrong later is reported, and the Broker stays connected.
	for _, tt := range []struct {
		data         map[string][]byte
		reason, text string
	}{
		{secretData("username", ""), plane.ReasonSecretInvalid, "key username: missing"},
		{nil, plane.ReasonSecretMissing, "does not exist"},
		{secretData("vhost", "w"), plane.ReasonConnectionChanged, "stays on the earlier one: restore it"},
		{secretData("host", "other.team.svc"), plane.ReasonConnectionChanged, "another host, port or virtual host"},
	} {
		if o.secrets["team/rabbit"] = tt.data; tt.data == nil {
			delete(o.secrets, "team/rabbit")
		}
		b := o.expect(tt.reason, tt.text)
		if has, _ := assignment.Connected(b); has != name || len(o.registered()) != 1 {
			t.Errorf("%s: connected to %q, registered %v", tt.reason, has, o.registered())
		}
	}
	o.secrets["team/rabbit"] = secretData()
	o.expect("", "")
	for _, tt := range []struct {
		err    error
		reason string
	}{
		{fmt.Errorf("%w: %w", queue.ErrUnavailable, queue.ErrRefused), ReasonCredentialsRefused},
		{fmt.Errorf("dial: %w", &egress.ForbiddenError{Host: "rabbit.team.svc:5672", Address: netip.MustParseAddr("10.0.0.1"), Reason: "of namespace other"}), ReasonHostNotAllowed},
		{errors.New("connection refused"), ReasonUnavailable},
	} {
		topology.Fail(tt.err)
		_ = o.connections.Get(name).Check(t.Context())
		o.expect(tt.reason, "")
	}
}

// TestConnect_LostRegistry: a connection that is not registered, after a restore for
// example, is that of the configuration again.
func TestConnect_LostRegistry(t *testing.T) {
	t.Parallel()
	o := newOwn(t, ltesting.Objects(broker(ownSecret, on("team.old")), registry()), func(r *row) { r.secrets["team/rabbit"] = secretData() })
	b := o.pass()
	if name, ok := assignment.Connected(b); !ok || name == "team.old" || len(o.registered()) != 1 {
		t.Errorf("connected to %q, registered %v", name, o.registered())
	}
}

func TestConnect_Limits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		registered []string
		limit      int
		ok         bool
	}{
		"room":                         {[]string{"a.1"}, 2, true},
		"full":                         {[]string{"a.1", "b.1"}, 2, false},
		"the namespace has its half":   {[]string{"team.1", "team.2"}, 4, false},
		"none may have one of its own": {nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOwn(t, ltesting.Objects(broker(ownSecret), registry(tt.registered...)), func(r *row) {
				r.limit, r.secrets["team/rabbit"] = tt.limit, secretData()
			})
			if tt.ok {
				o.expect(ReasonConnecting, "")
				return
			}
			b := o.expect(plane.ReasonTooManyConnections, "broker-connections in config-eventing")
			if _, ok := assignment.Connected(b); ok || len(o.registered()) != len(tt.registered) {
				t.Errorf("registered %v", o.registered())
			}
		})
	}
	o := newOwn(t, ltesting.Objects(broker(ownSecret)), func(r *row) { r.secrets["team/rabbit"] = secretData() })
	o.expect(plane.ReasonNotConfigured, "Secret knative-testing/knative-lambda-connections is missing")
}

// TestConnect_NotAllowed: a Broker has no Secret and no RabbitmqCluster of another namespace
// that does not allow it, and nothing of them is read or registered.
func TestConnect_NotAllowed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		broker       func(*eventingv1.Broker)
		config       *topologyv1beta1.RabbitmqClusterReference
		annotation   string
		reason, text string
	}{
		"a Secret": {broker: func(b *eventingv1.Broker) {
			ownSecret(b)
			b.Spec.Config.Namespace = "other"
		}, reason: plane.ReasonConfigNotAllowed, text: "Secret other/rabbit is in another namespace: name a Secret of namespace team"},
		"connectionSecret": {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", ConnectionSecret: &corev1.LocalObjectReference{Name: "rabbit"}},
			reason: plane.ReasonConfigNotAllowed, text: "connectionSecret other/rabbit is in another namespace"},
		"a cluster": {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", Name: "rabbit"},
			reason: plane.ReasonConfigNotAllowed, text: "its owner has to list it in the annotation rabbitmq.com/topology-allowed-namespaces"},
		"a cluster that allows others": {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", Name: "rabbit"}, annotation: "teams, eam",
			reason: plane.ReasonConfigNotAllowed, text: "does not allow namespace team"},
		"a cluster that allows it":  {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", Name: "rabbit"}, annotation: "shop, team", reason: ReasonConnecting},
		"a cluster that allows all": {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", Name: "rabbit"}, annotation: "*", reason: ReasonConnecting},
		"a cluster that does not exist": {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other", Name: "none"},
			reason: plane.ReasonConfigMissing, text: "RabbitmqCluster other/none does not exist"},
		"nothing": {config: &topologyv1beta1.RabbitmqClusterReference{Namespace: "other"},
			reason: plane.ReasonConfigMissing, text: "names neither a RabbitmqCluster nor a connectionSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := tt.broker
			if b == nil {
				b = configured("eventing.knative.dev/v1alpha1", "RabbitmqBrokerConfig")
			}
			o := newOwn(t, ltesting.Objects(broker(b), registry(), configOf(tt.config)), func(r *row) {
				r.secrets["other/rabbit"], r.secrets["other/rabbit-default-user"] = secretData(), secretData("host", "rabbit.other.svc")
				r.clusters["other/rabbit"] = cluster("rabbit-default-user", tt.annotation)
			})
			o.expect(tt.reason, tt.text)
			if n := len(o.registered()); (n == 1) != (tt.reason == ReasonConnecting) {
				t.Errorf("%d connections are registered", n)
			}
		})
	}
}

// TestEnqueueConfigured: a Secret concerns the Brokers of its namespace that have a
// configuration, and are of the class.
func TestEnqueueConfigured(t *testing.T) {
	t.Parallel()
	named := func(namespace, name, class string, config *duckv1.KReference) *eventingv1.Broker {
		b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: class}}}
		b.Spec.Config = config
		return b
	}
	secret := &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
	ls := ltesting.NewListers(ltesting.Objects(
		named("team", "own", lambda.BrokerClass, secret), named("team", "default", lambda.BrokerClass, nil),
		named("team", "foreign", "Kafka", secret), named("other", "own", lambda.BrokerClass, secret)))
	var got []string
	ours := pkgreconciler.AnnotationFilterFunc(eventingv1.BrokerClassAnnotationKey, lambda.BrokerClass, false)
	enqueueConfigured(ls.Brokers(), ours, "team", func(obj any) { got = append(got, obj.(*eventingv1.Broker).Name) })
	if !slices.Equal(got, []string{"own"}) {
		t.Errorf("enqueued %v, want own", got)
	}
}
