package v1alpha1

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// eventful is a function whose spec has the YAML besides its source.
func eventful(t *testing.T, text string) *LambdaFunction {
	t.Helper()
	f := &LambdaFunction{}
	f.Namespace, f.Name = "team", "greeter"
	if err := yaml.Unmarshal([]byte(text), &f.Spec); err != nil {
		t.Fatal(err)
	}
	f.Spec.Source.Inline, f.Spec.Runtime.Language = &InlineSource{Code: "x"}, "python"
	return f
}

func asAdmitted(t *testing.T, text string) *LambdaFunction {
	t.Helper()
	f := eventful(t, text)
	f.SetDefaults(context.Background())
	again := f.DeepCopy()
	again.SetDefaults(context.Background())
	if diff := cmp.Diff(f.Spec.Triggers, again.Spec.Triggers) + cmp.Diff(f.Spec.Eventing, again.Spec.Eventing) + cmp.Diff(f.Spec.Traffic, again.Spec.Traffic); diff != "" {
		t.Errorf("%s: defaults are not idempotent: %s", text, diff)
	}
	return f
}

func TestEventingIsAdmitted(t *testing.T) {
	for _, text := range []string{
		`{triggers: [{broker: shop}]}`,
		`{triggers: [{filter: {attributes: {type: order.created, subject: ""}}}]}`,
		`{triggers: [{broker: shop, filters: [{exact: {type: a}}, {prefix: {type: a}}, {suffix: {source: b}}, {all: [{exact: {a: b}}]}, {any: [{exact: {a: b}}, {not: {cesql: "subject LIKE 'a%'"}}]}]}]}`,
		`{triggers: [{broker: shop, delivery: {retry: 3, backoffPolicy: linear, backoffDelay: 90s, timeout: PT10S, deadLetterSink: {uri: "http://sink.test/dead"}}}]}`,
		`{triggers: [{broker: a, filter: {attributes: {type: x}}}, {broker: b, filter: {attributes: {type: x}}}]}`,
		`{triggers: [{broker: a, filter: {attributes: {source: /x}}, filters: [{prefix: {type: a}}]}, {broker: a, filter: {attributes: {source: /x}}, filters: [{prefix: {type: b}}]}]}`,
		`{eventing: {enabled: true}}`,
		`{eventing: {enabled: true, broker: shop, rabbitmq: {clusterName: main, namespace: data, queueType: classic, prefetchCount: 7}, dlq: {enabled: true, retryMaxAttempts: 0, retryBackoffDelay: 1s, backoffPolicy: linear, messageTTL: 24h, maxLength: 1, overflowPolicy: reject-publish}}}`,
		`{eventing: {enabled: true, rabbitmq: {connectionSecret: {name: rabbit}}, sink: {ref: {apiVersion: v1, kind: Service, name: other}}}}`,
		`{eventing: {enabled: true, sink: {ref: {apiVersion: flows.knative.dev/v1, kind: Sequence, name: other}}}, triggers: [{broker: shop, delivery: {deadLetterSink: {ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: dead}}}}]}`,
		`{traffic: [{revisionName: greeter-00001, percent: 90}, {latestRevision: true, percent: 10, tag: next}]}`,
		`{traffic: [{percent: 100}, {tag: next}]}`,
	} {
		if err := asAdmitted(t, text).Validate(context.Background()); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEventingThatIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{triggers: [{broker: Not_A_Name}]}`:                                                                                           `spec.triggers[0].broker`,
		`{triggers: [{filter: {attributes: {Type: x}}}]}`:                                                                              `invalid key name "Type": spec.triggers[0].filter.attributes`,
		`{triggers: [{filters: [{}]}]}`:                                                                                                `expected exactly one, got neither: spec.triggers[0].filters[0].all, `,
		`{triggers: [{filters: [{exakt: {type: x}}]}]}`:                                                                                `expected exactly one, got neither: spec.triggers[0].filters[0].all, `,
		`{triggers: [{filters: [{exact: {type: x}, prefix: {type: x}}]}]}`:                                                             `expected exactly one, got both: spec.triggers[0].filters[0].exact, spec.triggers[0].filters[0].prefix`,
		`{triggers: [{filters: [{any: [{exact: {a: b}}, {all: [{exact: {a: ""}}]}]}]}]}`:                                               `missing field(s): spec.triggers[0].filters[0].any[1].all[0].exact[a]`,
		`{triggers: [{filters: [{not: {suffix: {"a b": c}}}]}]}`:                                                                       `spec.triggers[0].filters[0].not.suffix`,
		`{triggers: [{filters: [{cesql: "type LIKE"}]}]}`:                                                                              `spec.triggers[0].filters[0].cesql`,
		`{triggers: [{filter: {attributes: {source: io.knative.lambda/function/team/greeter}}}]}`:                                      `the source io.knative.lambda/function/team/greeter is this function's own`,
		`{triggers: [{filters: [{all: [{exact: {source: io.knative.lambda/function/team/greeter}}]}]}]}`:                               `called with its own replies for ever: spec.triggers[0]`,
		`{triggers: [{delivery: {backoffDelay: soon}}]}`:                                                                               `invalid value: soon: spec.triggers[0].delivery.backoffDelay`,
		`{triggers: [{delivery: {backoffPolicy: cubic}}]}`:                                                                             `invalid value: cubic: spec.triggers[0].delivery.backoffPolicy`,
		`{triggers: [{delivery: {timeout: 0s}}]}`:                                                                                      `spec.triggers[0].delivery.timeout`,
		`{triggers: [{delivery: {retry: -1}}]}`:                                                                                        `spec.triggers[0].delivery.retry`,
		`{triggers: [{delivery: {deadLetterSink: {uri: /dead}}}]}`:                                                                     `spec.triggers[0].delivery.deadLetterSink.uri`,
		`{triggers: [{broker: a}, {broker: a, filter: {attributes: {type: ""}}}]}`:                                                     `asks for the same events as triggers[0]: remove one of the two: spec.triggers[1]`,
		`{triggers: [{broker: a, filters: [{prefix: {type: a}}]}, {broker: a, filters: [{prefix: {type: b}}], delivery: {retry: 1}}]}`: `give both the same delivery: spec.triggers[1].delivery`,
		`{eventing: {enabled: true, broker: a/b}}`:                                                                                     `spec.eventing.broker`,
		`{eventing: {enabled: true, rabbitmq: {clusterName: a, connectionSecret: {name: b}}}}`:                                         `expected exactly one, got both: spec.eventing.rabbitmq.clusterName, spec.eventing.rabbitmq.connectionSecret`,
		`{eventing: {enabled: true, rabbitmq: {namespace: a}}}`:                                                                        `missing field(s): spec.eventing.rabbitmq.clusterName`,
		`{eventing: {enabled: true, rabbitmq: {connectionSecret: {}}}}`:                                                                `spec.eventing.rabbitmq.connectionSecret.name`,
		`{eventing: {enabled: true, rabbitmq: {queueType: stream}}}`:                                                                   `invalid value: stream: spec.eventing.rabbitmq.queueType`,
		`{eventing: {enabled: true, rabbitmq: {parallelism: 0}}}`:                                                                      `expected 1 <= 0 <= 1000: spec.eventing.rabbitmq.parallelism`,
		`{eventing: {enabled: true, rabbitmq: {parallelism: 1, prefetchCount: 1}}}`:                                                    `expected exactly one, got both: spec.eventing.rabbitmq.parallelism, spec.eventing.rabbitmq.prefetchCount`,
		`{eventing: {enabled: true, dlq: {retryMaxAttempts: 101}}}`:                                                                    `spec.eventing.dlq.retryMaxAttempts`,
		`{eventing: {enabled: true, dlq: {retryBackoffDelay: 1y}}}`:                                                                    `spec.eventing.dlq.retryBackoffDelay`,
		`{eventing: {enabled: true, dlq: {backoffPolicy: cubic}}}`:                                                                     `spec.eventing.dlq.backoffPolicy`,
		`{eventing: {enabled: true, dlq: {messageTTL: 0s}}}`:                                                                           `spec.eventing.dlq.messageTTL`,
		`{eventing: {enabled: true, dlq: {maxLength: 0}}}`:                                                                             `spec.eventing.dlq.maxLength`,
		`{eventing: {enabled: true, dlq: {overflowPolicy: drop}}}`:                                                                     `spec.eventing.dlq.overflowPolicy`,
		`{eventing: {enabled: true, sink: {ref: {apiVersion: v1, kind: Secret, name: s, namespace: other}}}}`:                          `invalid value: Secret (v1): spec.eventing.sink.ref.kind`,
		`{eventing: {enabled: true, sink: {ref: {apiVersion: batch/v1, kind: Job, name: j}}}}`:                                         `expected Service (v1 or serving.knative.dev/v1), Broker (eventing.knative.dev/v1)`,
		`{eventing: {enabled: true, sink: {ref: {apiVersion: v2, kind: Service, name: j}}}}`:                                           `spec.eventing.sink.ref.kind`,
		`{triggers: [{broker: shop, delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Secret, name: s}}}}]}`:                     `invalid value: Secret (v1): spec.triggers[0].delivery.deadLetterSink.ref.kind`,
		`{eventing: {enabled: true, sink: {}}}`:                                                                                        `spec.eventing.sink`,
		`{eventing: {enabled: true, sink: {uri: /replies}}}`:                                                                           `spec.eventing.sink.uri`,
		`{eventing: {enabled: true, sink: {ref: {apiVersion: lambda.knative.io/v1alpha1, kind: LambdaFunction, name: greeter}}}}`:      `is this function itself: it would be called with its own replies for ever: spec.eventing.sink.ref`,
		`{traffic: [{percent: 99}]}`:                                                                                                   `the percents must add up to 100`,
		`{traffic: [{percent: 150}, {percent: -50}]}`:                                                                                  `spec.traffic[0].percent`,
		`{traffic: [{revisionName: other-00001, percent: 100}]}`:                                                                       `expected a revision of this function, such as greeter-00001`,
		`{traffic: [{revisionName: greeter-00001, latestRevision: true, percent: 100}]}`:                                               `expected exactly one, got both: spec.traffic[0].latestRevision, spec.traffic[0].revisionName`,
		`{traffic: [{latestRevision: false, percent: 100}]}`:                                                                           `expected exactly one, got neither: spec.traffic[0].latestRevision, spec.traffic[0].revisionName`,
		`{traffic: [{percent: 100, tag: a.b}]}`:                                                                                        `invalid value: a.b: spec.traffic[0].tag`,
		`{traffic: [{percent: 100, tag: a}, {tag: a}]}`:                                                                                `traffic[0] has it already`,
		`{traffic: [{percent: 100, configurationName: c}]}`:                                                                            `must not set the field(s): spec.traffic[0].configurationName`,
	} {
		err := asAdmitted(t, text).Validate(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want %q", text, err, want)
		}
	}
}

func TestEffectiveEventing(t *testing.T) {
	cfg := config.FromContextOrDefaults(context.Background())
	spec := eventful(t, `{triggers: [{broker: mine}, {delivery: {backoffDelay: 90s, timeout: PT5S}, filter: {attributes: {type: a}}}], eventing: {enabled: true, broker: shop, rabbitmq: {prefetchCount: 7}, sink: {ref: {apiVersion: v1, kind: Service, name: s}}}}`).EffectiveSpec(cfg)
	if a, b := spec.Triggers[0].Broker, spec.Triggers[1].Broker; a != "mine" || b != "shop" {
		t.Errorf("the brokers are %q and %q, want mine and shop", a, b)
	}
	if d := spec.Triggers[1].Delivery; *d.BackoffDelay != "PT1M30S" || *d.Timeout != "PT5S" {
		t.Errorf("durations are %s and %s", *d.BackoffDelay, *d.Timeout)
	}
	if r := spec.Eventing.RabbitMQ; r.Parallelism == nil || *r.Parallelism != 7 || r.PrefetchCount != nil {
		t.Errorf("rabbitmq = %+v, want prefetchCount as parallelism", r)
	}
	if namespace := spec.Eventing.Sink.Ref.Namespace; namespace != "team" {
		t.Errorf("the sink is in namespace %q, want the function's", namespace)
	}
	cfg.Eventing.DefaultBroker = "events"
	for _, text := range []string{`{eventing: {enabled: true}, triggers: [{}]}`, `{triggers: [{}]}`} {
		spec := eventful(t, text).EffectiveSpec(cfg)
		if got := spec.Triggers[0].Broker; got != "events" {
			t.Errorf("%s: broker %q, want the configured one", text, got)
		}
		if e := spec.ActiveEventing(); e != nil && e.Broker != "events" {
			t.Errorf("%s: eventing.broker = %q, want the configured one", text, e.Broker)
		}
	}
}

func TestEventingThatIsOffWarns(t *testing.T) {
	errs := asAdmitted(t, `{eventing: {broker: shop}}`).Validate(context.Background())
	if err := errs.Filter(0); err != nil {
		t.Errorf("eventing that is off is refused: %v", err)
	}
	if errs == nil || !strings.Contains(errs.Error(), "spec.eventing.enabled") {
		t.Errorf("there is no warning that the rest of eventing does nothing: %v", errs)
	}
}
