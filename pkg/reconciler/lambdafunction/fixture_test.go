package lambdafunction

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"text/template"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/metadata/metadatalister"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	rabbitclient "knative.dev/eventing-rabbitmq/pkg/client/injection/client"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	rtesting "knative.dev/pkg/reconciler/testing"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingclient "knative.dev/serving/pkg/client/injection/client"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/client"
	functionreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdafunction"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

const (
	namespace = "team"
	name      = "greeter"
	theKey    = namespace + "/" + name
)

var (
	now    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	digest = "sha256:" + strings.Repeat("a", 64)
)

// testConfig is the configuration of all rows; a row may change its copy.
func testConfig() *config.Config {
	return &config.Config{
		Build: &config.Build{
			Registry: "registry.test", RepositoryTemplate: template.Must(template.New("").Parse("{{.Namespace}}/{{.Language}}")),
			ExecutorImage: "kaniko.test/executor:1", BuilderImage: "ko.test/builder@" + digest, RuntimeImage: "ko.test/runtime@" + digest,
			Timeout: 10 * time.Minute, MaxParallel: 8, MaxParallelPerNamespace: 4, MaxAttempts: 3, RetryDelay: 10 * time.Second,
			InsecureRegistries: sets.New[string](), FailedBuildTTL: 10 * time.Minute,
		},
		Runtimes: &config.Runtimes{Languages: map[string]*config.Language{"python": {
			Versions: map[string]config.Version{"3.11": {BaseImage: "python.test/python:3.11"}},
			Handler:  "main.handler", File: "main.py", DependenciesFile: "requirements.txt", Template: "python", Worker: []string{"python3", "worker.py"}, Protocol: config.ProtocolFrames2,
		}}},
		Defaults: &config.Defaults{FunctionTimeout: 5 * time.Minute, MaxFunctionTimeout: 10 * time.Minute, MaxBuildTimeout: time.Hour},
		Eventing: &config.Eventing{
			DefaultBroker: "default", BrokerClass: lambda.BrokerClass, RabbitMQCluster: types.NamespacedName{Namespace: "rabbitmq", Name: "rabbitmq"}, QueueType: "quorum", Parallelism: 10,
			Delivery: config.Delivery{Retry: 5, BackoffPolicy: "exponential", BackoffDelay: time.Second, Timeout: 30 * time.Second},
			DeadLetters: config.DeadLetters{Enabled: true, MessageTTL: time.Hour, MaxLength: 100, OverflowPolicy: "drop-head",
				Receiver: types.NamespacedName{Namespace: "knative-lambda", Name: "knative-lambda-receiver"}},
		},
	}
}

type configStore struct{ *config.Config }

func (s configStore) ToContext(ctx context.Context) context.Context {
	return config.ToContext(ctx, s.Config)
}

// answer is what the registry says to whoever asks.
type answer struct {
	digest    string
	err       error
	confirmed func() (build.Outcome, error)
}

func (a answer) Find(types.NamespacedName, registry.Image) (string, error) { return a.digest, a.err }
func (a answer) Exists(types.NamespacedName, registry.Image) error         { return a.err }
func (answer) Forget(string)                                               {}
func (answer) Lost(string)                                                 {}

// Confirm says what the registry has of what a build has pushed: by default, that.
func (a answer) Confirm(_ types.NamespacedName, _ registry.Image, digest string) (build.Outcome, error) {
	if a.confirmed == nil {
		return build.Outcome{Digest: digest}, nil
	}
	return a.confirmed()
}

// addresses resolves URLs only: there is no Service, and of other kinds nothing is
// known.
type addresses struct{}

func (addresses) URIFromDestinationV1(_ context.Context, dest duckv1.Destination, _ any) (*apis.URL, error) {
	switch {
	case dest.Ref == nil:
		return dest.URI, nil
	case dest.Ref.Name == "open":
		return apis.HTTP("open.test"), nil
	case dest.Ref.Kind == "Service":
		return nil, apierrs.NewNotFound(corev1.Resource("services"), dest.Ref.Name)
	}
	return nil, fmt.Errorf("%s cannot be listed", dest.Ref.Kind)
}

// Allowed says that the Service "open" of any namespace allows that of the function.
func (addresses) Allowed(_ context.Context, ref *duckv1.KReference, _ any) ([]string, error) {
	switch {
	case ref.Kind != "Service":
		return nil, fmt.Errorf("%s cannot be listed", ref.Kind)
	case ref.Name == "closed":
		return []string{"data"}, nil
	case ref.Name == "open":
		return []string{"data", namespace}, nil
	}
	return nil, apierrs.NewNotFound(corev1.Resource("services"), ref.Name)
}

// said is what the sources say to whoever asks.
type said struct {
	resolved *source.Resolved
	err      error
}

func (s said) Check(types.NamespacedName, sourcewatch.Query) (*source.Resolved, error) {
	return s.resolved, s.err
}
func (said) Forget(types.NamespacedName) {}

type rowKey struct{}

// rowSettings of the world around a row.
type rowSettings struct {
	config   *config.Config
	registry registry.Checker
	sources  sourcewatch.Checker
	layers   layer.Builder
	now      time.Time
	// Whether the cluster has what is optional.
	noEventing, noSources, noRabbitMQ bool
	queues                            *ltesting.DeadLetters
	// secrets and configMaps that are there.
	secrets, configMaps []*metav1.PartialObjectMetadata
}

// objects that functions may refer to.
func (s *rowSettings) objects() references.Objects {
	all := references.Objects{}
	for kind, of := range map[string][]*metav1.PartialObjectMetadata{references.KindSecret: s.secrets, references.KindConfigMap: s.configMaps} {
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		for _, o := range of {
			if err := indexer.Add(o); err != nil {
				panic(err)
			}
		}
		all[kind] = references.Referred{Lister: metadatalister.New(indexer, corev1.SchemeGroupVersion.WithResource(kind)), Synced: func() bool { return true }}
	}
	return all
}

// there is a Secret in that version.
func there(name, version string) func(*rowSettings) {
	return func(s *rowSettings) {
		s.secrets = append(s.secrets, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), ResourceVersion: version}})
	}
}

// made is what the maker of layers says to whoever asks.
type made struct {
	layer.Result
	err error
}

func (m made) Build(types.NamespacedName, *layer.Request) (layer.Result, error) {
	return m.Result, m.err
}

func (made) Lost(string) {}

// layers are made so.
func layers(m made) func(*rowSettings) {
	return func(s *rowSettings) { s.layers = m }
}

// in is the context of a row with a registry that answers so, and a
// configuration changed by the functions.
func in(a answer, change ...func(*rowSettings)) context.Context {
	s := &rowSettings{config: testConfig(), registry: a, sources: said{err: sourcewatch.ErrPending}, layers: made{err: layer.ErrPending}, now: now, queues: &ltesting.DeadLetters{}}
	for _, c := range change {
		c(s)
	}
	return context.WithValue(context.Background(), rowKey{}, s)
}

func later(d time.Duration) func(*rowSettings) {
	return func(s *rowSettings) { s.now = now.Add(d) }
}

var (
	absent  = answer{err: registry.ErrNotFound}
	present = answer{digest: digest}
	pending = answer{err: registry.ErrPending}
)

func newReconciler(ctx context.Context, ls *ltesting.Listers) controller.Reconciler {
	s, ok := ctx.Value(rowKey{}).(*rowSettings)
	if !ok {
		s = in(pending).Value(rowKey{}).(*rowSettings)
	}
	r := &Reconciler{
		kube: kubeclient.Get(ctx), serving: servingclient.Get(ctx),
		services: ls.Services(), jobs: ls.Jobs(), pods: ls.Pods(), configMaps: ls.ConfigMaps(), refusals: ls.Events(), referred: s.objects(), mappings: domains.Mappings{Client: servingclient.Get(ctx), Lister: ls.DomainMappings()},
		registry: s.registry, sources: s.sources, layers: s.layers, tracker: &rtesting.FakeTracker{}, clock: clocktesting.NewFakePassiveClock(s.now),
	}
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
	r.Keys = keyring.Static(testKeys())
	r.kinds = shared.New(knative, sources, rabbit)
	r.queues = s.queues
	r.resolver = addresses{}
	r.slots = newSlots(func(types.NamespacedName) {}, func() ([]*batchv1.Job, error) { return activeJobs(r.jobs) }, r.clock)
	r.builds, _ = newBuilds() // of a provider that measures nothing
	return functionreconciler.NewReconciler(ctx, logging.FromContext(ctx), lambdaclient.Get(ctx), ls.LambdaFunctions(),
		controller.GetEventRecorder(ctx), r, controller.Options{ConfigStore: configStore{s.config}})
}

// testKeys is the keyring of all rows.
func testKeys() *keyring.Keyring {
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		panic(err)
	}
	return k
}

type option func(*v1alpha1.LambdaFunction)

// function is one with inline Python, whose spec leaves nothing to defaults.
func function(options ...option) *v1alpha1.LambdaFunction {
	f := &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-" + name, Generation: 1},
		Spec: v1alpha1.LambdaFunctionSpec{
			Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: "def handler(event, context): pass\n"}},
			Runtime: v1alpha1.FunctionRuntime{Language: "python"},
			Build:   v1alpha1.BuildSpec{Strategy: v1alpha1.BuildKaniko},
		},
	}
	f.Spec = f.EffectiveSpec(testConfig())
	for _, o := range options {
		o(f)
	}
	f.Status.Summarize()
	if len(f.Status.Conditions) > 0 {
		f.Status.Scaling, f.Status.Visibility = f.Spec.Scaling.Status(), f.Spec.Visibility
		if f.Status.Concurrency == nil {
			f.Status.Concurrency = f.Spec.ConcurrencyStatus(testConfig())
		}
		if r := f.Spec.Runtime; f.Status.Runtime == nil && f.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved).GetReason() != v1alpha1.ReasonUnknownLanguage && testConfig().Runtimes.Languages[r.Language].Versions[string(r.Version)].BaseImage != "" {
			f.Status.Runtime = &v1alpha1.RuntimeStatus{Language: r.Language, Version: string(r.Version), Handler: r.Handler, Timeout: r.Timeout}
		}
	}
	return f
}

// resolved is the status after the source phase.
func resolved(f *v1alpha1.LambdaFunction) {
	f.Status.InitializeConditions()
	f.Status.ObservedGeneration = f.Generation
	p := &pass{LambdaFunction: f, cfg: testConfig()}
	if err := (&Reconciler{sources: said{err: sourcewatch.ErrPending}}).reconcileSource(context.Background(), p); err != nil {
		panic(err)
	}
}

// looking is the status while the registry is asked.
func looking(f *v1alpha1.LambdaFunction) {
	resolved(f)
	f.Status.Build = &v1alpha1.BuildStatus{Reference: buildOf(f).Reference}
	f.Status.MarkBuildPending(v1alpha1.ReasonCheckingRegistry, "Asking the registry whether it has "+buildOf(f).Reference+".")
	noImage(f)
}

// noImage is the status of service and eventing while there is no image.
func noImage(f *v1alpha1.LambdaFunction) {
	f.Status.MarkServiceWaiting(v1alpha1.ReasonWaitingForBuild, "There is no image of the newest source yet.")
	f.Status.MarkEventingNotRequested()
}

// building is the status while the first attempt runs.
func building(f *v1alpha1.LambdaFunction) { buildingAttempt(1)(f) }

func buildingAttempt(attempt int32) option {
	return func(f *v1alpha1.LambdaFunction) {
		looking(f)
		b := attemptOf(f, attempt)
		started := metav1.NewTime(now)
		f.Status.Build = &v1alpha1.BuildStatus{Reference: b.Reference, JobName: b.Name, Strategy: v1alpha1.BuildKaniko, Attempts: attempt, StartTime: &started}
		f.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "Job "+b.Name+" builds the image.")
	}
}

// built is the status when the image is there: built at the second try of
// nobody, or found where jobless.
func built(jobless bool) option {
	return func(f *v1alpha1.LambdaFunction) {
		building(f)
		if jobless {
			f.Status.Build = &v1alpha1.BuildStatus{Reference: f.Status.Build.Reference}
		} else {
			ended := metav1.NewTime(now)
			f.Status.Build.CompletionTime = &ended
		}
		f.Status.Build.Image = imageOf(f)
		f.Status.MarkBuildSucceeded()
		f.Status.MarkEventingNotRequested()
	}
}

// servedBy is the status when the Service of the image says what it does.
func servedBy(service *servingv1.Service, before option) option {
	return func(f *v1alpha1.LambdaFunction) {
		before(f)
		f.Status.PropagateService(service)
	}
}

// failedBuild is the status after an attempt that failed.
func failedBuild(attempt int32, o build.Outcome) option {
	return func(f *v1alpha1.LambdaFunction) {
		buildingAttempt(attempt)(f)
		ended := metav1.NewTime(now)
		f.Status.Build.CompletionTime = &ended
		f.Status.Build.Failure = &v1alpha1.BuildFailure{Step: o.Step, Reason: o.Reason, Message: o.Message, Log: o.Log, Retryable: o.Fault == build.InfrastructureFault}
		f.Status.MarkBuildFailed(o.Reason, o.Message)
	}
}

func imageOf(f *v1alpha1.LambdaFunction) string {
	repository, _, _ := strings.Cut(buildOf(f).Reference, ":")
	return repository + "@" + digest
}

// buildOf is the first attempt at the function's image.
func buildOf(f *v1alpha1.LambdaFunction) *resources.Build { return attemptOf(f, 1) }

func attemptOf(f *v1alpha1.LambdaFunction, attempt int32) *resources.Build {
	f = f.DeepCopy()
	f.Status.Build = nil
	p := &pass{LambdaFunction: f, cfg: testConfig()}
	if err := (&Reconciler{sources: said{err: sourcewatch.ErrPending}}).reconcileSource(context.Background(), p); err != nil {
		panic(err)
	}
	b, err := desiredBuild(p)
	if err != nil {
		panic(err)
	}
	if attempt > 1 {
		f.Status.Build = &v1alpha1.BuildStatus{Reference: b.Reference, Settings: settings(p), Attempts: attempt - 1, Failure: &v1alpha1.BuildFailure{}}
		if b, err = desiredBuild(p); err != nil {
			panic(err)
		}
	}
	return b
}

func job(f *v1alpha1.LambdaFunction, attempt int32, change ...func(*batchv1.Job)) *batchv1.Job {
	j := resources.MakeBuildJob(f, attemptOf(f, attempt), testConfig().Build)
	for _, c := range change {
		c(j)
	}
	return j
}

func input(f *v1alpha1.LambdaFunction, attempt int32) *corev1.ConfigMap {
	cm, err := resources.MakeBuildInput(f, attemptOf(f, attempt))
	if err != nil {
		panic(err)
	}
	return cm
}

// pod of a Job, ended as the statuses say.
func pod(j *batchv1.Job, phase corev1.PodPhase, kaniko *corev1.ContainerStateTerminated) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: j.Namespace, Name: j.Name + "-x", Labels: map[string]string{batchv1.JobNameLabel: j.Name},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(j, batchv1.SchemeGroupVersion.WithKind("Job"))}},
		Spec:   *j.Spec.Template.Spec.DeepCopy(),
		Status: corev1.PodStatus{Phase: phase},
	}
	if kaniko != nil {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: build.KanikoContainer, State: corev1.ContainerState{Terminated: kaniko}}}
	}
	return p
}

// service of the function's image, with Knative Serving's status.
func service(f *v1alpha1.LambdaFunction, change ...func(*servingv1.Service)) *servingv1.Service {
	s := resources.MakeService(f, imageOf(f), testConfig().Runtimes.Languages["python"], testConfig().Defaults)
	resources.AddSinks(s, f, resources.Sinks{Calls: resources.CallsURL(f, lambda.BrokerClass)}, testConfig().Eventing)
	for _, c := range change {
		c(s)
	}
	return s
}

// revision is the status of a Service whose newest revision is ready, or is on
// its way.
func revision(created, ready string) func(*servingv1.Service) {
	condition := apis.Condition{Status: corev1.ConditionUnknown, Reason: "RevisionMissing"}
	if created == ready {
		condition = apis.Condition{Status: corev1.ConditionTrue}
	}
	return ltesting.WithRevision(created, ready, condition)
}
