package trigger

import (
	"context"
	"errors"
	"maps"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	triggerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/trigger"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"
	_ "knative.dev/pkg/system/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/broker"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func TestMain(m *testing.M) {
	broker.RegisterConditions()
	os.Exit(m.Run())
}

const key = "team/orders"

var subscriberURL = &apis.URL{Scheme: "http", Host: "subscriber.team.svc"}

type rowKey struct{}

// row is the world around a row of a table, and around a whole test.
type row struct {
	topology *ltesting.Topology
	clock    *clocktesting.FakePassiveClock
	// serving is the generation that every replica has.
	serving   int64
	forgotten []types.NamespacedName
	delayed   time.Duration
	flags     feature.Flags
	sources   map[string]*duckv1.Source

	unchecked, unfilled bool
	failing             error
	connections         *plane.Connections
	reconciler          *Reconciler
	orphaned            *orphans
}

func (r *row) orphans(o *owners, q *queues, t *tombstones) *orphans {
	r.orphaned = newOrphans(o, q, t, func(types.NamespacedName) bool { return true })
	return r.orphaned
}

// Serves implements replicas.
func (r *row) Serves(_ types.NamespacedName, _ types.UID, generation int64) bool {
	return generation <= r.serving
}

// Forget implements replicas.
func (r *row) Forget(trigger types.NamespacedName) { r.forgotten = append(r.forgotten, trigger) }

// AddressableFromDestinationV1 implements sinks: it knows every URL, and no object.
func (r *row) AddressableFromDestinationV1(_ context.Context, d duckv1.Destination, _ any) (*duckv1.Addressable, error) {
	if d.URI == nil {
		return nil, errors.New("the object does not exist")
	}
	return &duckv1.Addressable{URL: d.URI}, nil
}

// Source implements dependencies.
func (r *row) Source(_ context.Context, _ *eventingv1.Trigger, ref corev1.ObjectReference) (*duckv1.Source, error) {
	if s := r.sources[ref.Name]; s != nil {
		return s, nil
	}
	return nil, apierrs.NewNotFound(schema.GroupResource{Resource: "sources"}, ref.Name)
}

// newRow has replicas that serve every generation.
func newRow(change ...func(*row)) *row {
	r := &row{
		topology: ltesting.NewTopology(), clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		serving: 100, flags: feature.Flags{}, sources: map[string]*duckv1.Source{}, connections: plane.NewConnections(),
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func (r *row) context() context.Context {
	return context.WithValue(feature.ToContext(context.Background(), r.flags), rowKey{}, r)
}

// in is the context of a row.
func in(change ...func(*row)) context.Context { return newRow(change...).context() }

func stale(r *row)                       { r.serving = 0 }
func away(r *row)                        { r.failing = errors.New("connection refused") }
func flags(f feature.Flags) func(r *row) { return func(r *row) { maps.Copy(r.flags, f) } }
func declared(a assignment.Assignment) func(*row) {
	return func(r *row) {
		ctx := context.Background()
		for _, name := range append([]string{a.Queue}, a.Draining...) {
			must(r.topology.Declare(ctx, queue.Declaration{Name: name, Kind: a.Kind, Ordered: assignment.Ordered(name)}))
			for _, k := range a.Keys {
				must(r.topology.Bind(ctx, name, k))
			}
		}
		r.topology.Writes()
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func newReconciler(ctx context.Context, ls *ltesting.Listers) controller.Reconciler {
	w, _ := ctx.Value(rowKey{}).(*row)
	selector := &plane.Selector{Connections: w.connections}
	w.topology.Fail(w.failing)
	if c := w.connections.Add("", w.topology); !w.unchecked {
		_ = c.Check(ctx)
	}
	w.topology.Writes() // of the check
	owners := &owners{brokers: ls.Brokers()}
	queues := newQueues(selector)
	queues.clock = w.clock
	r := &Reconciler{
		owners: owners, filled: func() bool { return !w.unfilled }, connections: selector, replicas: w, sinks: w, dependencies: w,
		triggers: ls.Triggers(), validity: newValidity(),
		identities: &serviceAccounts{kube: kubeclient.Get(ctx), lister: ls.ServiceAccounts(), clock: w.clock}, queues: queues,
		tombstones: &tombstones{kube: kubeclient.Get(ctx), namespace: system.Namespace(), connections: selector, leads: func(types.NamespacedName) bool { return true }},
		after:      func(_ types.NamespacedName, d time.Duration) { w.delayed = d },
	}
	w.reconciler = r
	generated := triggerreconciler.NewReconciler(ctx, logging.FromContext(ctx), eventingclient.Get(ctx), ls.Triggers(), controller.GetEventRecorder(ctx), r,
		controller.Options{FinalizerName: lambda.TriggerFinalizer})
	return &guard{generated: generated.(leading), triggers: ls.Triggers(), owners: owners, client: eventingclient.Get(ctx), queues: queues,
		orphans: w.orphans(owners, queues, r.tombstones)}
}

// brokerObject is a Broker that is ready, changed.
func brokerObject(change ...func(*eventingv1.Broker)) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "default", UID: "b1", Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: lambda.BrokerClass},
	}}
	b.Status.InitializeConditions()
	for _, c := range b.Status.Conditions {
		b.GetConditionSet().Manage(&b.Status).MarkTrue(c.Type)
	}
	for _, c := range change {
		c(b)
	}
	return b
}

func class(name string) func(*eventingv1.Broker) {
	return func(b *eventingv1.Broker) { b.Annotations[eventingv1.BrokerClassAnnotationKey] = name }
}

// trigger of the Broker with the finalizer, changed.
func trigger(change ...func(*eventingv1.Trigger)) *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "team", Name: "orders", UID: "t1", Generation: 1, Labels: map[string]string{"eventing.knative.dev/broker": "default"},
			Finalizers: []string{lambda.TriggerFinalizer},
		},
		Spec: eventingv1.TriggerSpec{Broker: "default", Subscriber: duckv1.Destination{URI: subscriberURL}},
	}
	for _, c := range change {
		c(t)
	}
	return t
}

func fresh(t *eventingv1.Trigger)    { t.Finalizers = nil }
func deleting(t *eventingv1.Trigger) { t.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }

// filtered is the second generation, whose filter wants a type.
func filtered(t *eventingv1.Trigger) {
	t.Generation = 2
	t.Spec.Filter = &eventingv1.TriggerFilter{Attributes: eventingv1.TriggerFilterAttributes{"type": "order.placed"}}
}

func parallel(n string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) { t.Annotations = map[string]string{lambda.ParallelismAnnotationKey: n} }
}

// assigned is what the Trigger, as it is after the changes, is to have.
func assigned(change ...func(*eventingv1.Trigger)) assignment.Assignment {
	a, err := assignment.Wanted("b1", trigger(change...), queue.Quorum)
	must(err)
	return a
}

var (
	name   = routing.Queue(trigger())
	keyAll = routing.Binding("b1", trigger())
	keyOne = routing.Binding("b1", trigger(filtered))
)

// status of a Trigger that lacks nothing and has the assignment, changed.
func status(a assignment.Assignment, change ...func(*eventingv1.Trigger)) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		t.Status = eventingv1.TriggerStatus{}
		t.Status.ObservedGeneration = t.Generation
		t.Status.InitializeConditions()
		t.Status.PropagateBrokerCondition(&apis.Condition{Status: corev1.ConditionTrue})
		t.Status.MarkSubscriberResolvedSucceeded()
		t.Status.SubscriberURI = subscriberURL
		t.Status.MarkDeadLetterSinkNotConfigured()
		t.Status.MarkDependencySucceeded()
		t.Status.MarkOIDCIdentityCreatedSucceededWithReason("authentication-oidc feature disabled", "")
		t.Status.PropagateSubscriptionCondition(&apis.Condition{Status: corev1.ConditionTrue})
		a.Record(t)
		for _, c := range change {
			c(t)
		}
	}
}
