package broker

import (
	"context"
	"errors"
	"maps"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	"knative.dev/eventing/pkg/apis/feature"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	brokerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/broker"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	rtesting "knative.dev/pkg/reconciler/testing"
	"knative.dev/pkg/system"
	_ "knative.dev/pkg/system/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func TestMain(m *testing.M) {
	RegisterConditions()
	os.Exit(m.Run())
}

const (
	key  = "team/default"
	host = "knative-lambda-broker.knative-testing.svc.cluster.local"
)

type rowKey struct{}

// row is the world around a row of a table.
type row struct {
	ready                 []string
	ca                    *string
	failing               error
	unchecked, noRabbitMQ bool
	flags                 feature.Flags
	limit                 int // of connections

	secrets     map[string]map[string][]byte
	clusters    map[string]map[string]any
	connections *plane.Connections
	delayed     time.Duration
}

func (r *row) Ready() []string  { return r.ready }
func (r *row) CACerts() *string { return r.ca }

// AddressableFromDestinationV1 knows every URL, and no object.
func (r *row) AddressableFromDestinationV1(_ context.Context, d duckv1.Destination, _ any) (*duckv1.Addressable, error) {
	if d.URI == nil {
		return nil, errors.New("the object does not exist")
	}
	return &duckv1.Addressable{URL: d.URI}, nil
}

// in is the context of a row.
func in(change ...func(*row)) context.Context {
	r := &row{
		ready: []string{"10.0.0.1:8083"}, flags: feature.Flags{}, limit: 2, connections: plane.NewConnections(),
		secrets: map[string]map[string][]byte{}, clusters: map[string]map[string]any{},
	}
	for _, c := range change {
		c(r)
	}
	eventing := *config.FromContextOrDefaults(context.Background()).Eventing
	eventing.BrokerConnections = r.limit
	eventing.RabbitMQCluster = types.NamespacedName{Namespace: "rabbitmq", Name: "rabbitmq"}
	ctx := config.ToContext(context.Background(), &config.Config{Eventing: &eventing})
	return context.WithValue(feature.ToContext(ctx, r.flags), rowKey{}, r)
}

func flags(f feature.Flags) func(*row) { return func(r *row) { maps.Copy(r.flags, f) } }

func certificate(r *row) { ca := "CA"; r.ca = &ca }

func newReconciler(ctx context.Context, ls *ltesting.Listers) controller.Reconciler {
	r, _ := ctx.Value(rowKey{}).(*row)
	if !r.noRabbitMQ {
		topology := ltesting.NewTopology()
		topology.Fail(r.failing)
		if c := r.connections.Add("", topology); !r.unchecked {
			_ = c.Check(ctx)
		}
	}
	selector := &plane.Selector{
		Connections: r.connections, Configs: ls.BrokerConfigs, Objects: r,
		Registry: &plane.Registry{Kube: kubeclient.Get(ctx), Namespace: system.Namespace(), Secrets: ls.Secrets()},
	}
	return brokerreconciler.NewReconciler(ctx, logging.FromContext(ctx), eventingclient.Get(ctx), ls.Brokers(), controller.GetEventRecorder(ctx), &Reconciler{
		endpoints: r, connections: selector, sinks: r, policies: ls.EventPolicies(),
		after: func(_ types.NamespacedName, d time.Duration) { r.delayed = d },
	}, lambda.BrokerClass)
}

// broker of the class, changed.
func broker(change ...func(*eventingv1.Broker)) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "default", UID: "b1", Generation: 1, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: lambda.BrokerClass},
	}}
	for _, c := range change {
		c(b)
	}
	return b
}

// ready is the status of a Broker that lacks nothing, changed.
func ready(change ...func(*eventingv1.Broker)) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) {
		b.Status.ObservedGeneration = 1
		b.Status.InitializeConditions()
		manage(b).MarkTrue(eventingv1.BrokerConditionIngress)
		manage(b).MarkTrue(ConditionRabbitMQ)
		manage(b).MarkTrue(eventingv1.BrokerConditionAddressable)
		b.Status.MarkDeadLetterSinkNotConfigured()
		b.Status.MarkEventPoliciesTrueWithReason("OIDCDisabled", `Feature "authentication-oidc" must be enabled to support Authorization`)
		address := at("http", nil)
		b.Status.Address = &address
		for _, c := range change {
			c(b)
		}
	}
}

func at(scheme string, ca *string) duckv1.Addressable {
	return duckv1.Addressable{Name: &scheme, URL: &apis.URL{Scheme: scheme, Host: host, Path: "/" + key}, CACerts: ca}
}

func wants(change ...func(*eventingv1.Broker)) []clientgotesting.UpdateActionImpl {
	return []clientgotesting.UpdateActionImpl{{Object: broker(change...)}}
}

func sink(d duckv1.Destination) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) { b.Spec.Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: &d} }
}

func configured(apiVersion, kind string) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) {
		b.Spec.Config = &duckv1.KReference{APIVersion: apiVersion, Kind: kind, Namespace: "knative-eventing", Name: "x"}
	}
}

func onCluster(name string) *rabbitv1alpha1.RabbitmqBrokerConfig {
	return &rabbitv1alpha1.RabbitmqBrokerConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "x"},
		Spec:       rabbitv1alpha1.RabbitmqBrokerConfigSpec{RabbitmqClusterReference: &topologyv1beta1.RabbitmqClusterReference{Namespace: "rabbitmq", Name: name}},
	}
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	class := func(b *eventingv1.Broker) {
		b.Annotations[eventingv1.BrokerClassAnnotationKey] = "MTChannelBasedBroker"
	}
	deleting := func(b *eventingv1.Broker) { b.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	url := &apis.URL{Scheme: "http", Host: "sink.test"}
	onRabbitMQ := configured("eventing.knative.dev/v1alpha1", "RabbitmqBrokerConfig")
	ltesting.Table{
		{Name: "bad key", Ctx: in(), Key: "too/many/parts"},
		{Name: "not found", Ctx: in(), Key: key},
		{Name: "deleting", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(deleting))},
		{Name: "another class", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(class))},
		{Name: "new", Ctx: in(), Key: key, Objects: ltesting.Objects(broker()), WantStatusUpdates: wants(ready())},
		{Name: "ready", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(ready()))},
		{Name: "no replica", Ctx: in(func(r *row) { r.ready = nil }), Key: key, Objects: ltesting.Objects(broker(ready())),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				manage(b).MarkFalse(eventingv1.BrokerConditionIngress, ReasonNoReplica, "No replica of Deployment knative-testing/knative-lambda-broker is ready.")
			}))},
		{Name: "RabbitMQ is away", Ctx: in(func(r *row) { r.failing = errors.New("connection refused") }), Key: key, Objects: ltesting.Objects(broker(ready())),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				manage(b).MarkFalse(ConditionRabbitMQ, ReasonUnavailable, "connection refused")
			}))},
		{Name: "RabbitMQ has not been tried", Ctx: in(func(r *row) { r.unchecked = true }), Key: key, Objects: ltesting.Objects(broker()),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				manage(b).MarkUnknown(ConditionRabbitMQ, ReasonConnecting, "the connection to RabbitMQ has not been tried yet")
			}))},
		{Name: "RabbitMQ has not been tried since the controller started", Ctx: in(func(r *row) { r.unchecked = true }), Key: key, Objects: ltesting.Objects(broker(ready()))},
		{Name: "no RabbitMQ", Ctx: in(func(r *row) { r.noRabbitMQ = true }), Key: key, Objects: ltesting.Objects(broker()),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				manage(b).MarkFalse(ConditionRabbitMQ, plane.ReasonNotConfigured, "The installation has no connection to RabbitMQ: run the setup Job, which writes the Secret of the controller")
			}))},
		{Name: "configuration of channels, by eventing's default", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(configured("v1", "ConfigMap"))),
			WantStatusUpdates: wants(configured("v1", "ConfigMap"), ready())},
		{Name: "unknown configuration", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(configured("x.test/v1", "Other"))),
			WantStatusUpdates: wants(configured("x.test/v1", "Other"), ready(func(b *eventingv1.Broker) {
				manage(b).MarkFalse(ConditionRabbitMQ, plane.ReasonConfigNotSupported,
					"spec.config: a Other of x.test/v1 does not configure Brokers of this class: name a Secret, or remove spec.config to use the connection of the installation")
			}))},
		{Name: "RabbitMQ of the installation", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(onRabbitMQ), onCluster("rabbitmq")), WantStatusUpdates: wants(onRabbitMQ, ready(on("")))},
		{Name: "configuration that does not exist", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(onRabbitMQ)),
			WantStatusUpdates: wants(onRabbitMQ, ready(func(b *eventingv1.Broker) {
				manage(b).MarkFalse(ConditionRabbitMQ, plane.ReasonConfigMissing, "spec.config: RabbitmqBrokerConfig knative-eventing/x does not exist")
			}))},
		{Name: "dead letter sink", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(sink(duckv1.Destination{URI: url}))),
			WantStatusUpdates: wants(sink(duckv1.Destination{URI: url}), ready(func(b *eventingv1.Broker) {
				b.Status.MarkDeadLetterSinkResolvedSucceeded(eventingduckv1.DeliveryStatus{DeadLetterSinkURI: url})
			}))},
		{Name: "dead letter sink that does not exist", Ctx: in(), Key: key, Objects: ltesting.Objects(broker(sink(duckv1.Destination{Ref: &duckv1.KReference{Kind: "Service"}}))),
			WantStatusUpdates: wants(sink(duckv1.Destination{Ref: &duckv1.KReference{Kind: "Service"}}), ready(func(b *eventingv1.Broker) {
				b.Status.MarkDeadLetterSinkResolvedFailed(ReasonSinkNotResolved, "the object does not exist")
			}))},
		{Name: "permissive encryption", Ctx: in(flags(feature.Flags{feature.TransportEncryption: feature.Permissive}), certificate), Key: key, Objects: ltesting.Objects(broker()),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				ca := "CA"
				b.Status.Addresses = []duckv1.Addressable{at("https", &ca), at("http", nil)}
			}))},
		{Name: "permissive encryption without a certificate", Ctx: in(flags(feature.Flags{feature.TransportEncryption: feature.Permissive})), Key: key, Objects: ltesting.Objects(broker()),
			WantStatusUpdates: wants(ready())},
		{Name: "strict encryption", Ctx: in(flags(feature.Flags{feature.TransportEncryption: feature.Strict}), certificate), Key: key, Objects: ltesting.Objects(broker(ready())),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				ca := "CA"
				address := at("https", &ca)
				b.Status.Address, b.Status.Addresses = &address, []duckv1.Addressable{address}
			}))},
		{Name: "strict encryption without a certificate", Ctx: in(flags(feature.Flags{feature.TransportEncryption: feature.Strict})), Key: key, Objects: ltesting.Objects(broker(ready())),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				b.Status.Address = nil
				manage(b).MarkFalse(eventingv1.BrokerConditionAddressable, ReasonNoCertificate,
					"The feature transport-encryption is strict and Secret knative-testing/knative-lambda-broker-tls with ca.crt is missing: issue a certificate for the ingress.")
			}))},
		{Name: "authentication", Ctx: in(flags(feature.Flags{feature.OIDCAuthentication: feature.Enabled, feature.AuthorizationDefaultMode: feature.AuthorizationAllowSameNamespace})),
			Key: key, Objects: ltesting.Objects(broker()),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				audience := "eventing.knative.dev/broker/team/default"
				b.Status.Address.Audience = &audience
				b.Status.MarkEventPoliciesTrueWithReason("DefaultAuthorizationMode", `Default authz mode is "Allow-Same-Namespace"`)
			}))},
		{Name: "policy that is not ready", Ctx: in(), Key: key,
			Objects: ltesting.Objects(broker(), &eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "p"}}),
			WantStatusUpdates: wants(ready(func(b *eventingv1.Broker) {
				b.Status.MarkEventPoliciesFailed("EventPoliciesNotReady", "event policies p are not ready")
			}))},
		{Name: "failed status update", Ctx: in(), Key: key, Objects: ltesting.Objects(broker()), WantErr: true,
			WithReactors:      []clientgotesting.ReactionFunc{rtesting.InduceFailure("update", "brokers")},
			WantStatusUpdates: wants(ready()),
			WantEvents:        []string{ltesting.Warning("UpdateFailed", `Failed to update status for "default": inducing failure for update brokers`)}},
	}.Test(t, newReconciler)
}
