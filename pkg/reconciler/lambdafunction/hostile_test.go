package lambdafunction

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// everySource has each kind of source with all of its fields.
var everySource = map[string]string{
	"code":  "inline: {code: x, dependencies: y}",
	"files": "inline: {files: {main.py: x}}",
	"git":   "git: {url: 'https://git.test/a.git', ref: main, path: sub, secretRef: {name: keys}}",
	"s3":    "s3: {bucket: functions, key: a/f.zip, endpoint: 'https://s3.test', region: eu-1, versionId: v, secretRef: {name: keys}}",
	"image": "image: {repository: r.test/own, tag: v1, pullPolicy: Always, imagePullSecrets: [{name: pull}], command: [/run], args: [-v]}",
}

// anything is found, wherever it is looked for.
type anything struct{ said }

func (anything) Check(_ types.NamespacedName, q sourcewatch.Query) (*source.Resolved, error) {
	return &source.Resolved{Request: q.Request, Commit: strings.Repeat("1", 40), Digest: "sha256:1", Size: 1}, nil
}

// everyField but the source's.
const everyField = `
runtime: {language: python, version: "3.11", handler: main.handler, timeout: 10s}
build: {strategy: kaniko, timeout: 5m, registry: registry.test, repository: team/f, registryType: generic, imagePullSecret: pull, pushSecretRef: {name: push}, args: [{name: A, value: b}], dockerfile: docker/Dockerfile}
scaling: {metric: rps, window: 60s, scaleToZeroGracePeriod: 1m, scaleDownDelay: 1m}
env: [{name: A, value: b}]
envFrom: [{prefix: P, secretRef: {name: s}}]
serviceAccountName: robot
imagePullSecrets: [{name: pull}]
securityContext: {seccompProfile: {type: Localhost, localhostProfile: mine}}
volumes: [{name: v, secret: {secretName: s, items: [{key: a, path: b}]}}]
volumeMounts: [{name: v, mountPath: /v, subPath: s}]
initContainers: [{name: setup, image: r.test/setup, command: [/run], args: [-v], env: [{name: A, value: b}], volumeMounts: [{name: v, mountPath: /v}]}]
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Equal, value: b}]
priorityClassName: high
domains: [{name: a.test, tlsSecretName: cert}]
triggers: [{broker: default, filter: {attributes: {type: a.b}}, filters: [{exact: {subject: x}}], delivery: {backoffPolicy: linear, backoffDelay: PT1S, timeout: PT2S, deadLetterSink: {uri: 'http://dead.test'}}}]
eventing: {enabled: true, broker: own, rabbitmq: {clusterName: rabbit, namespace: rabbits, queueType: quorum}, dlq: {backoffPolicy: linear, overflowPolicy: drop-head, messageTTL: 1h, retryBackoffDelay: 1s}, sink: {uri: 'http://sink.test'}}
schedules: [{name: a, cron: '@daily', timeZone: UTC, type: a.b, data: x, contentType: text/plain}]
observability: {tracing: {enabled: true, endpoint: 'http://otel.test', samplingRate: "0.5"}, logging: {level: info, format: json}}
traffic: [{percent: 100, latestRevision: true, tag: next}]
`

const (
	podSpec   = `services\.spec\.template\.spec\.`
	container = podSpec + `containers\[\]\.`
)

// places where a function's text may end up.
var places = ltesting.Places{
	Known: map[string]string{
		`configmaps\.data\.plan\.json`:                                                               "JSON, which the builder decodes",
		`jobs\.spec\.template\.spec\.containers\[\]\.args\[\]`:                                       "one argument of Kaniko each",
		`jobs\.spec\.template\.spec\.containers\[\]\.resources\..*`:                                  "names of resources, which Kubernetes checks",
		container + `(command|args)\[\]`:                                                             "the command of the function's own image",
		container + `env\[\]\.(value|valueFrom\..*)`:                                                 "the environment of the function's own program",
		container + `envFrom\[\]\..*`:                                                                "likewise",
		container + `imagePullPolicy`:                                                                "a word, which Kubernetes checks",
		container + `resources\..*`:                                                                  "names of resources, which Kubernetes checks",
		container + `securityContext\.capabilities\.drop\[\]`:                                        "names of capabilities, which are dropped",
		container + `securityContext\.seccompProfile\.localhostProfile`:                              "a path that Kubernetes checks",
		container + `volumeMounts\[\]\..*`:                                                           "paths in the function's own container",
		podSpec + `initContainers\[\]\..*`:                                                           "the program of a container before the function's own",
		podSpec + `(affinity|tolerations\[\]|topologySpreadConstraints\[\]|nodeSelector)(\..*|\{\})`: "where Kubernetes runs the pod",
		container + `(readiness|liveness|startup)Probe\..*`:                                          "what the kubelet asks the function's own container",
		podSpec + `imagePullSecrets\[\]\.name`:                                                       "the name of a Secret, which Kubernetes looks up",
		podSpec + `volumes\[\]\.secret\..*`:                                                          "likewise, and paths in the function's own container",
		`pingsources\.spec\.sink\.uri`:                                                               "a query, whose values are encoded",
		`pingsources\.spec\.(data|contentType)`:                                                      "the data of an event, and what it is",
		`triggers\.spec\.(filter\.attributes|filters).*`:                                             "what events are compared with",
		`triggers\.spec\.subscriber\.uri`:                                                            "where outcomes of calls go",
		`triggers\.spec\.delivery\.deadLetterSink\..*`:                                               "where the broker sends what fails",
	},
	Names: []string{
		`pingsources\.metadata\.(name|labels\.lambda\.knative\.io/schedule)`, `pingsources\.spec\.sink\.ref\.name`,
		`brokers\.metadata\.name`, `brokers\.spec\.config\.name`,
		`rabbitmqbrokerconfigs\.metadata\.name`, `rabbitmqbrokerconfigs\.spec\.rabbitmqClusterReference\.(name|namespace)`,
		`triggers\.spec\.broker`,
		`jobs\.metadata\.annotations\.lambda\.knative\.io/image`, `jobs\.spec\.template\.spec\.volumes\[\]\.secret\.secretName`,
		`(services|triggers|pingsources)\.metadata\.labels\.lambda\.knative\.io/language`, `services\.spec\.template\.metadata\.labels\.lambda\.knative\.io/language`,
		`services\.spec\.traffic\[\]\.tag`, podSpec + `(serviceAccountName|priorityClassName|runtimeClassName)`,
		container + `image`, container + `env\[\]\.name`,
	},
}

// TestHostileText: whatever text a user puts into whatever field, it is refused, or it
// ends whole in the value of an environment variable, an argument, a filter or a name of
// what the function refers to: no shell, no template and no path is made of it.
func TestHostileText(t *testing.T) {
	ctx := config.ToContext(t.Context(), testConfig())
	admitted := 0
	for kind, from := range everySource {
		f := function()
		f.Spec = v1alpha1.LambdaFunctionSpec{}
		if err := yaml.UnmarshalStrict([]byte(everyField+"source: {"+from+"}\n"), &f.Spec); err != nil {
			t.Fatal(err)
		}
		valid(ctx, t, kind, f)
		ltesting.WithText(f, func(path, text string, f *v1alpha1.LambdaFunction) {
			f.Spec = f.EffectiveSpec(config.FromContextOrDefaults(ctx))
			if f.Validate(apis.WithinCreate(ctx)).Filter(apis.ErrorLevel) != nil {
				return
			}
			admitted++
			writes := written(t, f)
			places.Check(t, kind+" "+path+" "+text, writes)
			for _, w := range writes {
				noShell(t, path, w)
			}
		})
	}
	if admitted < 100 {
		t.Errorf("%d texts were admitted: the test tests little", admitted)
	}
	places.Seen(t)
}

// valid: a function that is refused anyway would test nothing.
func valid(ctx context.Context, t *testing.T, what string, f *v1alpha1.LambdaFunction) {
	t.Helper()
	f = f.DeepCopy()
	f.Spec = f.EffectiveSpec(config.FromContextOrDefaults(ctx))
	if err := f.Validate(apis.WithinCreate(ctx)).Filter(apis.ErrorLevel); err != nil {
		t.Fatalf("%s is refused without hostile text: %v", what, err)
	}
}

// written are the children of a function whose image is to be built, and of one whose
// image is there, as is any broker that it names.
func written(t *testing.T, f *v1alpha1.LambdaFunction) (all []clientgotesting.Action) {
	t.Helper()
	brokers := []runtime.Object{broker("default"), broker(ltesting.Marker)}
	for found, there := range map[bool][]runtime.Object{false: nil, true: brokers} {
		registry := absent
		if found {
			registry = present
		}
		ctx := in(registry, func(s *rowSettings) {
			if s.sources = (anything{}); !found {
				s.config.Eventing.BrokerClass = config.RabbitMQBrokerClass
			}
		})
		w := ltesting.NewWorld(ctx, t, newReconciler, append(there, f.DeepCopy())...)
		for range 3 {
			writes, _ := w.Try(f.Namespace + "/" + f.Name) // what waits is told by an error
			comeUp(writes)
			all = append(all, writes...)
		}
	}
	return all
}

// comeUp has what a function waits for become Ready.
func comeUp(writes []clientgotesting.Action) {
	for _, w := range writes {
		create, ok := w.(clientgotesting.CreateAction)
		if !ok {
			continue
		}
		switch o := create.GetObject().(type) {
		case *eventingv1.Broker:
			o.Status = broker(o.Name).Status
		case *servingv1.Service:
			revision("greeter-00001", "greeter-00001")(o)
		}
	}
}

// noShell: what runs is a program with arguments, and the Dockerfile is as the language
// has it.
func noShell(t *testing.T, path string, w clientgotesting.Action) {
	t.Helper()
	create, ok := w.(clientgotesting.CreateAction)
	if !ok {
		return
	}
	switch o := create.GetObject().(type) {
	case *batchv1.Job:
		pod := o.Spec.Template.Spec
		for _, c := range append(pod.InitContainers, pod.Containers...) {
			if len(c.Command) > 0 || len(c.Env) > 0 || len(c.EnvFrom) > 0 {
				t.Errorf("with text in %s the container %s of a build has the command %q and the environment %v, want none of both", path, c.Name, c.Command, c.Env)
			}
			for _, arg := range c.Args {
				if !strings.HasPrefix(arg, "--") {
					t.Errorf("text in %s makes an argument of its own: %q", path, arg)
				}
				if _, value, _ := strings.Cut(arg, "--build-arg="); strings.Contains(strings.ReplaceAll(value, "$$", ""), "$(") {
					t.Errorf("Kubernetes would expand %q", arg)
				}
			}
		}
	case *corev1.ConfigMap:
		if strings.Contains(o.Data[build.DockerfileFile], ltesting.Marker) {
			t.Errorf("text in %s is in the Dockerfile: %s", path, o.Data[build.DockerfileFile])
		}
		if plan := o.Data[build.PlanFile]; plan != "" && json.Unmarshal([]byte(plan), &build.Plan{}) != nil {
			t.Errorf("text in %s breaks the builder's plan: %s", path, plan)
		}
	}
}

// TestHostileAnnotation: what asks for a rebuild is part of a hash, and nowhere else.
func TestHostileAnnotation(t *testing.T) {
	for _, text := range ltesting.Hostile {
		f := function(func(f *v1alpha1.LambdaFunction) {
			f.Annotations = map[string]string{lambda.RebuildAnnotationKey: text, lambda.CancelBuildAnnotationKey: text}
		})
		nowhere := ltesting.Places{}
		nowhere.Check(t, "annotations", written(t, f))
	}
}
