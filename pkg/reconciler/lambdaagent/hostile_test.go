package lambdaagent

import (
	"testing"

	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// everyField of an agent that has a model, and of one that has none.
var everyField = map[string]string{
	"with a model": `
image: {repository: r.test/bruno, tag: v1, pullPolicy: Always, imagePullSecrets: [{name: pull}], command: [/run], args: [-v]}
ai: {provider: openai, model: m, endpoint: 'https://model.test', apiKeySecretRef: {name: keys, key: token}, systemPrompt: p, timeout: 10s, budget: {tokens: 100, window: 1h},
  temperature: "0.5", topP: "0.5", fallbacks: [{provider: anthropic, model: other, endpoint: 'https://other.test', apiKeySecretRef: {name: keys, key: other}}]}
behavior: {conversationTTL: 1h}
operationMode: supervised
approval: {slack: {channel: c, webhookSecretRef: {name: slack, key: url}}, custom: {endpoint: 'https://ask.test', secretRef: {name: ask, key: token}}, timeout: 1h, timeoutAction: deny}
memory: {enabled: true, schema: s, shortTerm: {enabled: true, redisSecretRef: {name: r, key: url}}, longTerm: {enabled: true, postgresSecretRef: {name: p, key: url}}, defaultConstraints: [{description: d, category: c}]}
eventing: {enabled: true, eventSource: /own, intents: [a.b], subscriptions: [{eventType: c.d, source: /s, description: d}], forwards: [{eventTypes: [e.f], targetAgent: other, targetNamespace: team, description: d}],
  dlq: {backoffPolicy: linear, overflowPolicy: drop-head}, rabbitmq: {clusterName: rabbit, namespace: rabbits, queueType: quorum}}
schedules: [{name: a, cron: '@daily', timeZone: UTC, type: a.b, data: x, contentType: text/plain}]
scaling: {maxReplicas: 2, metric: rps, window: 60s, scaleToZeroGracePeriod: 1m, scaleDownDelay: 1m}
permissions: {allowedTargetNamespaces: [team], eventControls: {allowEventDisable: true, controlEventTypes: [g.h], allowedControlSources: [/guard]}}
env: [{name: A, value: b}]
envFrom: [{prefix: P, secretRef: {name: s}}]
serviceAccountName: robot
volumes: [{name: v, secret: {secretName: s, items: [{key: a, path: b}]}}]
volumeMounts: [{name: v, mountPath: /v, subPath: s}]
initContainers: [{name: setup, image: r.test/setup, command: [/run], args: [-v], env: [{name: A, value: b}], volumeMounts: [{name: v, mountPath: /v}]}]
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Equal, value: b}]
priorityClassName: high
domains: [{name: a.test, tlsSecretName: cert}]
securityContext: {seccompProfile: {type: Localhost, localhostProfile: mine}}
observability: {tracing: {enabled: true, endpoint: 'http://otel.test', samplingRate: "0.5"}, logging: {level: info, format: json}}
`,
	"its own key": `
image: {repository: r.test/bruno}
ai: {provider: ollama, model: m, endpoint: 'http://ollama.test', proxy: disabled, systemPromptFrom: {name: prompts, key: p}}
behavior: {systemPrompt: ""}
`,
}

const (
	podSpec   = `services\.spec\.template\.spec\.`
	container = podSpec + `containers\[\]\.`
)

// places where an agent's text may end up.
var places = ltesting.Places{
	Known: map[string]string{
		`configmaps\.data\.agent\.json`:                                 "JSON, which the agent and the model proxy decode",
		container + `(command|args)\[\]`:                                "the command of the agent's own image",
		container + `env\[\]\.(value|valueFrom\..*)`:                    "the environment of the agent's own program, and of the proxy",
		container + `envFrom\[\]\..*`:                                   "likewise",
		container + `imagePullPolicy`:                                   "a word, which Kubernetes checks",
		container + `resources\..*`:                                     "names of resources, which Kubernetes checks",
		container + `securityContext\.capabilities\.drop\[\]`:           "names of capabilities, which are dropped",
		container + `securityContext\.seccompProfile\.localhostProfile`: "a path that Kubernetes checks",
		podSpec + `initContainers\[\]\..*`:                              "the program of a container before the agent's own",
		podSpec + `(affinity|tolerations\[\]|topologySpreadConstraints\[\]|nodeSelector)(\..*|\{\})`: "where Kubernetes runs the pod",
		podSpec + `volumes\[\]\.secret\..*`:                                   "the name of a Secret, and paths in the agent's own container",
		podSpec + `volumes\[\]\.(configMap|projected)\..*`:                    "likewise",
		container + `volumeMounts\[\]\..*`:                                    "paths in the agent's own container",
		container + `(readiness|liveness|startup)Probe\..*`:                   "what the kubelet asks the agent's own container",
		podSpec + `imagePullSecrets\[\]\.name`:                                "the name of a Secret, which Kubernetes looks up",
		`pingsources\.spec\.sink\.uri`:                                        "a query, whose values are encoded",
		`pingsources\.spec\.(data|contentType)`:                               "the data of an event, and what it is",
		`triggers\.spec\.(filter\.attributes\.source|filters\[\].*)`:          "what events are compared with",
		`triggers\.metadata\.annotations\.lambda\.knative\.io/outcome-source`: "the source of events",
		`triggers\.spec\.subscriber\.uri`:                                     "where outcomes of calls go",
	},
	Names: []string{
		`pingsources\.metadata\.(name|labels\.lambda\.knative\.io/schedule)`,
		`rabbitmqbrokerconfigs\.spec\.rabbitmqClusterReference\.(name|namespace)`,
		`triggers\.spec\.filter\.attributes\.type`, `triggers\.spec\.subscriber\..*`,
		`rolebindings\.subjects\[\]\.name`, podSpec + `(serviceAccountName|priorityClassName|runtimeClassName)`, podSpec + `volumes\[\]\.persistentVolumeClaim\.claimName`, container + `image`, container + `env\[\]\.name`,
	},
}

// TestHostileText: whatever text a user puts into whatever field, it is refused, or it
// ends whole in the value of an environment variable, an argument, the agent's
// configuration file, a filter or a name of what the agent refers to.
func TestHostileText(t *testing.T) {
	all := []func(*row){there(resources.KindSecret, "keys", "1"), there(resources.KindSecret, "s", "1"), there(resources.KindSecret, "r", "1"), there(resources.KindSecret, "p", "1"), there(resources.KindConfigMap, "prompts", "1")}
	ctx := in(all...)
	onRabbitMQ := in(append(all, func(r *row) { r.config.Eventing.BrokerClass = config.RabbitMQBrokerClass })...)
	admitted := 0
	for kind, spec := range everyField {
		a := agent()
		a.Spec = v1alpha1.LambdaAgentSpec{}
		if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
			t.Fatal(err)
		}
		whole := a.DeepCopy()
		whole.Spec = whole.EffectiveSpec(config.FromContextOrDefaults(ctx))
		if err := whole.Validate(apis.WithinCreate(ctx)).Filter(apis.ErrorLevel); err != nil {
			t.Fatalf("an agent %s is refused without hostile text: %v", kind, err)
		}
		ltesting.WithText(a, func(path, text string, a *v1alpha1.LambdaAgent) {
			a.Spec = a.EffectiveSpec(config.FromContextOrDefaults(ctx))
			if a.Validate(apis.WithinCreate(ctx)).Filter(apis.ErrorLevel) != nil {
				return
			}
			admitted++
			writes, _ := ltesting.NewWorld(ctx, t, newReconciler, a.DeepCopy(), peer(ltesting.Marker)).Try(a.Namespace + "/" + a.Name) // what waits is told by an error
			more, _ := ltesting.NewWorld(onRabbitMQ, t, newReconciler, a, peer(ltesting.Marker)).Try(a.Namespace + "/" + a.Name)
			writes = append(writes, more...)
			places.Check(t, kind+" "+path+" "+text, writes)
			for _, w := range writes {
				noCommand(t, path, w)
			}
		})
	}
	if admitted < 60 {
		t.Errorf("%d texts were admitted: the test tests little", admitted)
	}
	places.Seen(t)
}

// noCommand: the platform's own container takes no text as its command.
func noCommand(t *testing.T, path string, w clientgotesting.Action) {
	t.Helper()
	create, ok := w.(clientgotesting.CreateAction)
	if !ok {
		return
	}
	service, ok := create.GetObject().(*servingv1.Service)
	if !ok {
		return
	}
	for _, c := range service.Spec.Template.Spec.Containers[1:] {
		if len(c.Command) > 0 || len(c.Args) > 0 || len(c.EnvFrom) > 0 {
			t.Errorf("with text in %s the container %s has the command %q %q", path, c.Name, c.Command, c.Args)
		}
	}
}
