//go:build conformance

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// layers that refuse an input.
type layers int

const (
	// both the schema, which holds even when the webhook is down, and the webhook.
	both layers = iota
	// webhook alone: it takes the operator's configuration to know, or more than a
	// schema can say.
	webhook
)

// twinGroup is an API group that no webhook serves: what its kinds refuse, their
// schema refuses.
const twinGroup = "schema.lambda.knative.io"

// twin is the object in the group whose kinds have the same schemas and no
// webhook.
func twin(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = o.DeepCopy()
	o.SetAPIVersion(twinGroup + "/v1alpha1")
	return o
}

// makeTwins makes the kinds' definitions in the twin group.
func makeTwins(ctx context.Context, t *testing.T, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		text, err := os.ReadFile("../../config/core/300-resources/" + kind + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		crd, err := test.Parse(bytes.ReplaceAll(text, []byte(lambda.GroupName), []byte(twinGroup)))
		if err != nil {
			t.Fatal(err)
		}
		crd.SetLabels(nil) // it is none of the operator's own
		if err := unstructured.SetNestedField(crd.Object, map[string]any{"plural": kind + "s", "singular": kind, "kind": kindOf[kind], "listKind": kindOf[kind] + "List"}, "spec", "names"); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.Apply(ctx, crd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := clients.Delete(context.Background(), crd); err != nil {
				t.Error(err)
			}
		})
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		list, err := clients.Discovery.ServerResourcesForGroupVersion(twinGroup + "/v1alpha1")
		return err == nil && len(list.APIResources) == 2*len(kinds), nil // with status
	})
	if err != nil {
		t.Fatal("the twins are not served:", err)
	}
}

var kindOf = map[string]string{"lambdafunction": "LambdaFunction", "lambdaagent": "LambdaAgent"}

// configured is a context with the operator's configuration, as the webhook has
// it.
func configured(ctx context.Context, t *testing.T) context.Context {
	t.Helper()
	store := config.NewStore(logging.FromContext(ctx))
	for name := range config.Constructors {
		cm, err := clients.Kube.CoreV1().ConfigMaps(operatorNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		store.OnConfigChanged(cm)
	}
	return store.ToContext(ctx)
}

// webhookAlone tells what defaulting and validation say, without a schema.
func webhookAlone(ctx context.Context, o *unstructured.Unstructured) error {
	var typed interface {
		apis.Defaultable
		apis.Validatable
	} = &v1alpha1.LambdaFunction{}
	if o.GetKind() == kindOf["lambdaagent"] {
		typed = &v1alpha1.LambdaAgent{}
	}
	text, err := json.Marshal(o.Object)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(typed); err != nil {
		return err
	}
	typed.SetDefaults(ctx)
	if errs := typed.Validate(ctx).Filter(apis.ErrorLevel); errs != nil {
		return errs
	}
	return nil
}

// TestParity holds schema and webhook in step: each of the inputs that are
// refused somewhere is refused by the layers that can know, each by itself.
func TestParity(t *testing.T) {
	t.Parallel()
	ctx := configured(t.Context(), t)
	namespace := clients.Namespace(ctx, t)
	makeTwins(ctx, t, "lambdafunction", "lambdaagent")

	check := func(name string, by layers, o *unstructured.Unstructured) {
		t.Run(o.GetKind()+" "+name, func(t *testing.T) {
			if err := webhookAlone(ctx, o); err == nil {
				t.Error("the webhook alone admits it")
			}
			_, err := clients.Admit(ctx, twin(o))
			switch {
			case by == both && err == nil:
				t.Error("the schema alone admits it")
			case by == webhook && err != nil:
				t.Errorf("the schema alone refuses it, so both do: %.300s", err)
			}
		})
	}
	for _, tt := range invalidFunctions {
		check(tt.name, tt.by, function(t, namespace, tt.object, tt.spec))
	}
	for _, tt := range invalidAgents {
		check(tt.name, tt.by, agent(t, namespace, tt.field, tt.value))
	}
	for _, tt := range invalidSpecs {
		check(tt.name, tt.by, agentWith(t, namespace, tt.spec))
	}

	valid := []*unstructured.Unstructured{function(t, namespace, "", valid), function(t, namespace, strings.Repeat("n", 63), valid), agent(t, namespace, "temperature", 0.7)}
	for i, spec := range validSpecs {
		o := agentWith(t, namespace, spec)
		o.SetName(fmt.Sprintf("a%d", i))
		valid = append(valid, o)
	}
	for i, extra := range validFunctions {
		valid = append(valid, function(t, namespace, fmt.Sprintf("f%d", i), extra))
	}
	for _, o := range valid {
		t.Run(o.GetKind()+" "+o.GetName()+" is valid", func(t *testing.T) {
			if err := webhookAlone(ctx, o); err != nil {
				t.Error("the webhook alone:", err)
			}
			if _, err := clients.Admit(ctx, twin(o)); err != nil {
				t.Error("the schema alone:", err)
			}
		})
	}
}

// validSpecs are agents at the edges of what is right.
var validSpecs = []string{
	"{permissions: {}}",
	"{permissions: {eventControls: {allowEventDisable: true}}}",
	"{eventing: {enabled: true, allowedSourceNamespaces: ['*', team], subscriptions: [{eventType: io.example.k8s.*}, {eventType: a.b, source: '/agent/character/*'}, {eventType: a.b, source: '*'}]}}",
	"{permissions: {disableBrokerCreation: true, eventControls: {allowEventDisable: true, controlEventTypes: [a.b], allowedControlSources: [/a, '/b/*']}}}",
	"{operationMode: supervised, approval: {slack: {webhookSecretRef: {name: s, key: k}}, custom: {endpoint: 'http://a', secretRef: {name: s, key: k}}, requireAll: true}}",
	"{approval: {providers: [custom], custom: {endpoint: 'https://a/b@c'}, timeout: 720h, timeoutAction: approve}}",
	"{eventing: {enabled: true}, schedules: [{name: a, cron: '*/10 * * * * *', timeZone: Etc/GMT+5}]}",
}

// validFunctions are at the edges of what is right.
var validFunctions = []string{
	valid + "scaling: {minReplicas: 2, maxReplicas: 2, window: 6s, scaleToZeroGracePeriod: 0s}",
	valid + "scaling: {minReplicas: 5, maxReplicas: 0, containerConcurrency: 0, targetConcurrency: 1}",
	valid + "observability: {tracing: {enabled: true, endpoint: 'collector.observability.svc:4317'}}",
	valid + "observability: {tracing: {enabled: true, endpoint: '[fd00::1]:4317'}}",
	valid + "schedules: []",
	valid + "eventing: {enabled: true}\nschedules: [{name: '1', cron: '0  8 ? jan-mar/2 MON-FRI', type: '', timeZone: '', contentType: '', suspend: true}, {name: b, cron: '@hourly', data: '[1]', contentType: 'text/plain; charset=utf-8'}]",
	valid + "env: [{name: PORTS, value: x}, {name: KNATIVE, value: x}, {name: LAMBDA, value: x}]",
	valid + "build: {registry: 'localhost:5001', insecure: true, registryType: local}",
	valid + "build: {registry: ghcr.io/owner/, registryType: ghcr}",
	valid + "build: {registry: '[fd00::1]:5000/functions'}",
	valid + "build: {timeout: 1h, registry: 'example.com:5000', repository: team/functions, args: [{name: A_1, value: ''}]}",
	`source: {inline: {files: {main.py: "x", lib/..hidden.py: "x", .env: ""}, dependencies: "requests"}}` + "\nruntime: {language: python, handler: main.handler, timeout: 1s}",
	`source: {type: inline, inline: {code: ` + strings.Repeat("x", v1alpha1.MaxInlineBytes) + "}}\nruntime: {language: python}",
	elsewhere("minio: {endpoint: 'minio:9000', bucket: a.b-c, key: 'a..b/.f.tar.gz', region: eu-1, versionId: x, secretRef: {name: s}}"),
	valid + "triggers: [{broker: b, delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: s}}}}]\neventing: {enabled: true, sink: {ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: c}}}",
	elsewhere("gcs: {bucket: functions_1, key: team/f/, credentialsSecret: s}"),
	elsewhere("s3: {endpoint: 'https://[fd00::1]:9000/', bucket: functions, key: f}"),
	elsewhere("git: {url: 'https://git.example:8443/~team/a.git', ref: feature/x-1, path: functions/hello/}"),
	elsewhere("git: {url: 'ssh://git@git.example:2222/a', ref: v1.2.3, path: ., secretRef: {name: s}}"),
	elsewhere("git: {url: 'git@git.example:team/a.git', secretRef: {name: s}}"),
	`source: {image: {repository: example.com/team/x, digest: "sha256:` + strings.Repeat("0", 64) + `", port: 8080}}`,
	"source: {image: {repository: 'localhost:5001/team/x', tag: v1}}\nobservability: {tracing: {enabled: true, samplingRate: 0.5, endpoint: 'http://otel:4317'}, logging: {level: debug, format: text}}",
}
