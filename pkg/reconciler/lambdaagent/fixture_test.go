package lambdaagent

import (
	"bytes"
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/metadatalister"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	rabbitclient "knative.dev/eventing-rabbitmq/pkg/client/injection/client"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	rtesting "knative.dev/pkg/reconciler/testing"
	servingclient "knative.dev/serving/pkg/client/injection/client"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	agentreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/modelprobe"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// now is the time of all rows.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// testConfig is the configuration of all rows.
func testConfig() *config.Config {
	defaults := config.FromContextOrDefaults(context.Background()).Defaults
	defaults.ModelProxyImage = "r.test/modelproxy"
	return &config.Config{
		Defaults: defaults,
		Eventing: &config.Eventing{
			DefaultBroker: "default", BrokerClass: lambda.BrokerClass, RabbitMQCluster: types.NamespacedName{Namespace: "rabbitmq", Name: "rabbitmq"}, QueueType: "quorum", Parallelism: 10,
			Delivery: config.Delivery{Retry: 5, BackoffPolicy: "exponential", BackoffDelay: time.Second, Timeout: 30 * time.Second},
			DeadLetters: config.DeadLetters{Enabled: true, MessageTTL: time.Hour, MaxLength: 100, OverflowPolicy: "drop-head",
				Receiver: types.NamespacedName{Namespace: "knative-lambda", Name: "knative-lambda-receiver"}},
		},
	}
}

type rowKey struct{}

// row is the world around a row of a table.
type row struct {
	referred                                     map[string][]*metav1.PartialObjectMetadata
	models                                       answers
	blind                                        bool // nothing may be listed
	config                                       *config.Config
	noEventing, noSources, noRabbitMQ, unindexed bool
	queues                                       *ltesting.DeadLetters
	// inspect the queue of a Trigger.
	inspect inspector
	// enqueued is when the agent is to be looked at again.
	enqueued *time.Duration
}

// in is the context of a row.
func in(change ...func(*row)) context.Context {
	r := &row{referred: map[string][]*metav1.PartialObjectMetadata{}, config: testConfig(), enqueued: new(time.Duration), queues: &ltesting.DeadLetters{}, inspect: emptyQueue}
	for _, c := range change {
		c(r)
	}
	return config.ToContext(context.WithValue(context.Background(), rowKey{}, r), r.config)
}

// there is an object that agents may refer to, in that version.
func there(kind, name, version string) func(*row) {
	return func(r *row) {
		r.referred[kind] = append(r.referred[kind], &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID("uid-" + name), ResourceVersion: version,
		}})
	}
}

func rowOf(ctx context.Context) *row {
	if r, ok := ctx.Value(rowKey{}).(*row); ok {
		return r
	}
	return rowOf(in())
}

// testKeys is the keyring of all rows.
func testKeys() *keyring.Keyring {
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		panic(err)
	}
	return k
}

func newReconciler(ctx context.Context, ls *ltesting.Listers) controller.Reconciler {
	return generated(ctx, ls, reconcilerOf(ctx, ls))
}

func generated(ctx context.Context, ls *ltesting.Listers, r *Reconciler) controller.Reconciler {
	return agentreconciler.NewReconciler(ctx, logging.FromContext(ctx), lambdaclient.Get(ctx), ls.LambdaAgents(), controller.GetEventRecorder(ctx), r, controller.Options{ConfigStore: configStore{rowOf(ctx).config}})
}

func reconcilerOf(ctx context.Context, ls *ltesting.Listers) *Reconciler {
	s := rowOf(ctx)
	knative := &shared.Knative{Client: eventingclient.Get(ctx), Brokers: ls.Brokers(), Triggers: ls.Triggers()}
	rabbit := &shared.Rabbit{Client: rabbitclient.Get(ctx), Configs: ls.BrokerConfigs()}
	sources := &shared.Sources{Client: eventingclient.Get(ctx), PingSources: ls.PingSources()}
	if s.noEventing {
		knative = nil
	}
	if s.noEventing || s.noSources {
		sources = nil
	}
	if s.noRabbitMQ {
		rabbit = nil
	}
	r := &Reconciler{
		kube: kubeclient.Get(ctx), serving: servingclient.Get(ctx),
		services: ls.Services(), configMaps: ls.ConfigMaps(), pods: ls.Pods(), mappings: domains.Mappings{Client: servingclient.Get(ctx), Lister: ls.DomainMappings()},
		lambda: lambdaclient.Get(ctx), serviceAccounts: ls.ServiceAccounts(), roles: ls.Roles(), bindings: ls.RoleBindings(),
		tracker: &rtesting.FakeTracker{}, referred: referredOf(ctx), models: modelsOf(ctx), Keys: keyring.Static(testKeys()),
		kinds: shared.New(knative, sources, rabbit), index: routing.NewIndex(), indexed: func() bool { return !s.unindexed },
		queues: s.queues, inspect: s.inspect, resolver: addresses{},
		clock: clocktesting.NewFakePassiveClock(now), enqueueAfter: func(_ any, after time.Duration) { *s.enqueued = after },
	}
	all, err := ls.LambdaAgents().List(labels.Everything())
	if err != nil {
		panic(err)
	}
	for _, o := range all {
		r.index.Set(types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, routing.Of(o))
	}
	return r
}

type configStore struct{ *config.Config }

func (s configStore) ToContext(ctx context.Context) context.Context {
	return config.ToContext(ctx, s.Config)
}

func emptyQueue(context.Context, *eventingv1.Trigger) (queue.State, error) { return queue.State{}, nil }

func referredOf(ctx context.Context) references.Objects {
	all := references.Objects{}
	for kind, plural := range map[string]string{resources.KindSecret: "secrets", resources.KindConfigMap: "configmaps"} {
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		for _, o := range rowOf(ctx).referred[kind] {
			if err := indexer.Add(o); err != nil {
				panic(err)
			}
		}
		all[kind] = references.Referred{Lister: metadatalister.New(indexer, corev1.SchemeGroupVersion.WithResource(plural)), Synced: func() bool { return !rowOf(ctx).blind }}
	}
	return all
}

// answers of models by their name, to whoever asks; of the others none has come yet.
type answers map[string]modelprobe.Verdict

var probedAt = time.Unix(1000, 0)

func modelsOf(ctx context.Context) modelprobe.Checker { return rowOf(ctx).models }

func (a answers) Check(_ types.NamespacedName, _ modelprobe.Settings, models []modelprobe.Model) []modelprobe.Outcome {
	outcomes := make([]modelprobe.Outcome, len(models))
	for i, m := range models {
		if v, ok := a[m.Name]; ok {
			outcomes[i] = modelprobe.Outcome{Verdict: v, Time: probedAt}
		}
	}
	return outcomes
}

func (answers) Forget(types.NamespacedName) {}
