//go:build conformance

package conformance

import (
	"fmt"
	"strings"
	"testing"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/test"
)

// valid is a spec that the cases below spoil.
const valid = `
source: {inline: {code: "def handler(event, context): pass"}}
runtime: {language: python}
`

// invalidFunctions are inputs that admission refuses, each with the words that the
// person who wrote it needs: which field, and what would be right.
var invalidFunctions = []struct {
	name   string
	by     layers
	object string // metadata.name, where it is not "f"
	spec   string
	want   []string
}{
	{"unknown language", webhook, "", strings.Replace(valid, "python", "cobol", 1), []string{"spec.runtime.language", "cobol", "expected one of", "python"}},
	{"a sink that is a Secret", both, "", valid + "eventing: {enabled: true, sink: {ref: {apiVersion: v1, kind: Secret, name: s, namespace: other}}}", []string{"spec.eventing.sink", "expected Service (v1 or serving.knative.dev/v1)"}},
	{"dead letters to a Job", both, "", valid + "triggers: [{broker: b, delivery: {deadLetterSink: {ref: {apiVersion: batch/v1, kind: Job, name: j}}}}]", []string{"spec.triggers[0].delivery", "expected Service (v1 or serving.knative.dev/v1)"}},
	{"no language", both, "", `source: {inline: {code: "x = 1"}}`, []string{"spec.runtime.language", "missing"}},
	{"no source", both, "", `runtime: {language: python}`, []string{"spec.source", "exactly one of inline, minio, s3, gcs, git, image"}},
	{"two sources", both, "", `source: {inline: {code: "x"}, git: {url: "https://example.com/x.git"}}` + "\nruntime: {language: python}", []string{"spec.source", "exactly one of inline, minio, s3, gcs, git, image"}},
	{"type of another source", both, "", strings.Replace(valid, "{inline:", "{type: git, inline:", 1), []string{"spec.source.type", "spec.source.type"}},
	{"unknown type", both, "", strings.Replace(valid, "{inline:", "{type: floppy, inline:", 1), []string{"spec.source.type", "floppy", `"inline"`}},
	{"code and files", both, "", `source: {inline: {code: "x", files: {main.py: "x"}}}` + "\nruntime: {language: python}", []string{"spec.source.inline", "exactly one of code, files"}},
	{"neither code nor files", both, "", `source: {inline: {}}` + "\nruntime: {language: python}", []string{"spec.source.inline", "exactly one of code, files"}},
	{"code too long", both, "", strings.Replace(valid, "def handler(event, context): pass", strings.Repeat("#", 512<<10+1), 1), []string{"spec.source.inline.code", "524288"}},
	{"files too long together", webhook, "", fmt.Sprintf("source: {inline: {files: {a.py: %q, b.py: %[1]q}}}\nruntime: {language: python}", strings.Repeat("#", 256<<10)), []string{"spec.source.inline", "at most 524288 fit"}},
	{"path that leaves the source", both, "", `source: {inline: {files: {main.py: "x", ../evil.py: "x"}}}` + "\nruntime: {language: python}", []string{"spec.source.inline.files", "../evil.py", "path inside the source"}},
	{"absolute path", both, "", `source: {inline: {files: {main.py: "x", /etc/passwd: "x"}}}` + "\nruntime: {language: python}", []string{"spec.source.inline.files", "/etc/passwd", "relative path"}},
	{"bucket in capitals", both, "", elsewhere("s3: {bucket: Functions, key: f.zip}"), []string{"spec.source.s3.bucket", "name of a bucket", "Functions"}},
	{"key that climbs", both, "", elsewhere("s3: {bucket: functions, key: a/../f.zip}"), []string{"spec.source.s3.key", "without '.', '..'"}},
	{"no key", both, "", elsewhere("s3: {bucket: functions}"), []string{"spec.source.s3.key"}},
	{"endpoint with a path", both, "", elsewhere("s3: {bucket: functions, key: f.zip, endpoint: 'https://store.example/x'}"), []string{"spec.source.s3.endpoint", "without a path"}},
	{"MinIO without endpoint", webhook, "", elsewhere("minio: {bucket: functions, key: f.zip}"), []string{"spec.source.minio.endpoint", "config-build", "minio-endpoint"}},
	{"version of a prefix", both, "", elsewhere("s3: {bucket: functions, key: f/, versionId: '1'}"), []string{"spec.source.s3", "versionId", "a prefix has no version"}},
	{"two credentials", webhook, "", elsewhere("s3: {bucket: functions, key: f.zip, credentialsSecret: a, secretRef: {name: b}}"), []string{"spec.source.s3.credentialsSecret", "secretRef"}},
	{"git over http", both, "", elsewhere("git: {url: 'http://git.example/a.git'}"), []string{"spec.source.git.url", "https://host/path"}},
	{"git from a file", both, "", elsewhere("git: {url: 'file:///etc'}"), []string{"spec.source.git.url", "https://host/path"}},
	{"password in a URL", both, "", elsewhere("git: {url: 'https://a:b@git.example/a.git'}"), []string{"spec.source.git.url"}},
	{"git over ssh without a key", both, "", elsewhere("git: {url: 'git@git.example:a.git'}"), []string{"spec.source.git", "secretRef", "known_hosts"}},
	{"ref that is none", both, "", elsewhere("git: {url: 'https://git.example/a.git', ref: 'a..b'}"), []string{"spec.source.git.ref", "expected a branch"}},
	{"ref that is an option", both, "", elsewhere("git: {url: 'https://git.example/a.git', ref: '--upload-pack=x'}"), []string{"spec.source.git.ref", "expected a branch"}},
	{"path that leaves the repository", both, "", elsewhere("git: {url: 'https://git.example/a.git', path: '../x'}"), []string{"spec.source.git.path", "inside the source"}},
	{"malformed handler", both, "", strings.Replace(valid, "language: python", "language: python, handler: 'a b'", 1), []string{"spec.runtime.handler", "main.handler"}},
	{"more replicas at least than at most", both, "", valid + "scaling: {minReplicas: 3, maxReplicas: 2}", []string{"spec.scaling", "minReplicas", "no more than maxReplicas"}},
	{"negative replicas", both, "", valid + "scaling: {minReplicas: -1}", []string{"spec.scaling.minReplicas", "-1", "0"}},
	{"name too long", both, strings.Repeat("n", 64), valid, []string{"metadata.name", "no more than 63 characters"}},
	{"name that is no host name", both, "1st", valid, []string{"metadata.name", "1st", "a DNS-1035 label"}},
	{"reserved environment PORT", both, "", valid + "env: [{name: PORT, value: '1'}]", []string{"spec.env[0].name", "PORT", "choose another name"}},
	{"reserved environment K_", both, "", valid + "env: [{name: A, value: b}, {name: K_SINK, value: x}]", []string{"spec.env[1].name", "K_SINK", "choose another name"}},
	{"reserved environment LAMBDA_", both, "", valid + "env: [{name: LAMBDA_HANDLER, value: x}]", []string{"spec.env[0].name", "LAMBDA_HANDLER", "choose another name"}},
	{"privileged", both, "", valid + "securityContext: {privileged: true}", []string{"spec.securityContext", "privileged", "expected false"}},
	{"more capabilities", both, "", valid + "securityContext: {capabilities: {add: [NET_ADMIN]}}", []string{"spec.securityContext", "capabilities.add"}},
	{"the host's SELinux", both, "", valid + "securityContext: {seLinuxOptions: {level: s0}}", []string{"spec.securityContext", "seLinuxOptions"}},
	{"no seccomp profile", both, "", valid + "securityContext: {seccompProfile: {type: Unconfined}}", []string{"spec.securityContext", "seccompProfile.type", "RuntimeDefault or Localhost"}},
	{"seccomp profile without its name", both, "", valid + "securityContext: {seccompProfile: {type: Localhost}}", []string{"spec.securityContext", "localhostProfile"}},
	{"root that is none", both, "", valid + "securityContext: {runAsNonRoot: true, runAsUser: 0}", []string{"spec.securityContext", "runAsUser", "0 is root"}},
	{"user out of bounds", both, "", valid + "securityContext: {runAsUser: -1}", []string{"spec.securityContext", "runAsUser", "2147483647"}},
	{"malformed timeout", both, "", strings.Replace(valid, "language: python", "language: python, timeout: soon", 1), []string{"spec.runtime.timeout", "soon", "such as 90s"}},
	{"malformed build timeout", both, "", valid + "build: {timeout: 5 minutes}", []string{"spec.build.timeout", "5 minutes"}},
	{"malformed window", both, "", valid + "scaling: {window: '60'}", []string{"spec.scaling.window", "60"}},
	{"timeout too long", webhook, "", strings.Replace(valid, "language: python", "language: python, timeout: 48h", 1), []string{"spec.runtime.timeout", "48h0m0s", "1s <="}},
	{"registry with a scheme", both, "", valid + "build: {registry: 'https://example.com'}", []string{"spec.build.registry", "https://example.com", "host[:port][/path]"}},
	{"registry with a path in capitals", both, "", valid + "build: {registry: example.com/Team}", []string{"spec.build.registry", "example.com/Team", "host[:port][/path]"}},
	{"repository of another namespace", webhook, "", valid + "build: {repository: another-namespace/python}", []string{"spec.build.repository", "another-namespace/python", "expected a repository that begins with", "build.pushSecretRef"}},
	{"traffic that is not 100 percent", both, "", valid + "traffic: [{percent: 90}]", []string{"spec.traffic", "percents must add up to 100"}},
	{"traffic to a revision and the latest", both, "", valid + "traffic: [{percent: 100, revisionName: f-00001, latestRevision: true}]", []string{"spec.traffic[0]", "latestRevision", "revisionName"}},
	{"traffic to another function's revision", webhook, "", valid + "traffic: [{percent: 100, revisionName: other-00001}]", []string{"spec.traffic[0].revisionName", "other-00001", "a revision of this function"}},
	{"filter without a dialect", webhook, "", valid + "triggers: [{broker: b, filters: [{exakt: {type: x}}]}]", []string{"spec.triggers[0].filters[0]", "exact", "cesql"}},
	{"filter of two dialects", webhook, "", valid + "triggers: [{broker: b, filters: [{exact: {type: x}, prefix: {type: x}}]}]", []string{"spec.triggers[0].filters[0].exact", "spec.triggers[0].filters[0].prefix"}},
	{"malformed cesql", webhook, "", valid + "triggers: [{broker: b, filters: [{cesql: 'type LIKE'}]}]", []string{"spec.triggers[0].filters[0].cesql", "CloudEvents SQL"}},
	{"cesql that is too long", both, "", valid + "triggers: [{broker: b, filters: [{cesql: '" + strings.Repeat("-", 1025) + "a'}]}]", []string{"spec.triggers[0].filters[0].cesql"}},
	{"nested cesql that is too long", both, "", valid + "triggers: [{broker: b, filters: [{any: [{cesql: '" + strings.Repeat("-", 1025) + "a'}]}]}]", []string{"spec.triggers[0].filters[0].any[0].cesql"}},
	{"cesql with open parentheses", webhook, "", valid + "triggers: [{broker: b, filters: [{cesql: '" + strings.Repeat("(", 1000) + "'}]}]", []string{"spec.triggers[0].filters[0].cesql", "parentheses, NOT and minus signs that are nested at most 32 deep"}},
	{"filters that are nested too deep", webhook, "", valid + "triggers: [{broker: b, filters: [" + strings.Repeat("{not: ", 8) + "{cesql: 'TRUE'}" + strings.Repeat("}", 8) + "]}]", []string{"spec.triggers[0].filters[0].not", "nested at most 8 deep"}},
	{"too many filters in a list", both, "", valid + "triggers: [{broker: b, filters: [{any: [" + strings.Repeat("{cesql: 'TRUE'}, ", 64) + "{cesql: 'TRUE'}]}]}]", []string{"spec.triggers[0].filters[0].any"}},
	{"two ways to RabbitMQ", both, "", valid + "eventing: {enabled: true, rabbitmq: {clusterName: a, connectionSecret: {name: b}}}", []string{"spec.eventing.rabbitmq", "clusterName", "connectionSecret"}},
	{"parallelism and its older name", both, "", valid + "eventing: {enabled: true, rabbitmq: {parallelism: 1, prefetchCount: 1}}", []string{"spec.eventing.rabbitmq", "parallelism", "prefetchCount"}},
	{"too much parallelism", both, "", valid + "eventing: {enabled: true, rabbitmq: {parallelism: 1001}}", []string{"spec.eventing.rabbitmq.parallelism", "1000"}},
	{"unknown overflow policy", both, "", valid + "eventing: {enabled: true, dlq: {overflowPolicy: drop}}", []string{"spec.eventing.dlq.overflowPolicy", "drop-head"}},
	{"malformed time to live", both, "", valid + "eventing: {enabled: true, dlq: {messageTTL: a day}}", []string{"spec.eventing.dlq.messageTTL", "such as 90s"}},
	{"tracing endpoint without a port", both, "", valid + "observability: {tracing: {endpoint: otel.team.svc}}", []string{"spec.observability.tracing.endpoint", "host:port"}},
	{"tracing endpoint of another scheme", both, "", valid + "observability: {tracing: {endpoint: 'grpc://otel:4317'}}", []string{"spec.observability.tracing.endpoint", "host:port"}},
	{"tracing endpoint with user info", both, "", valid + "observability: {tracing: {endpoint: 'http://u:p@otel:4318'}}", []string{"spec.observability.tracing.endpoint", "without user info"}},
	{"tracing endpoint with a port that is none", webhook, "", valid + "observability: {tracing: {endpoint: 'otel:65536'}}", []string{"spec.observability.tracing.endpoint", "65535"}},
	{"delay that is no duration", both, "", valid + "scaling: {scaleDownDelay: late}", []string{"spec.scaling.scaleDownDelay", "such as 90s"}},
	{"a schedule without a name", both, "", valid + "eventing: {enabled: true}\nschedules: [{cron: '@daily'}]", []string{"spec.schedules[0].name"}},
	{"a schedule by a name that is no label", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a.b, cron: '@daily'}]", []string{"spec.schedules[0].name", "label"}},
	{"two schedules of one name", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily'}, {name: a, cron: '@hourly'}]", []string{"schedules", `"a"`}},
	{"a schedule without cron", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a}]", []string{"spec.schedules[0].cron"}},
	{"a schedule of four fields", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '* * * *'}]", []string{"spec.schedules[0].cron", "0 8 * * MON-FRI"}},
	{"a schedule of an interval", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@every 5m'}]", []string{"spec.schedules[0].cron"}},
	{"a schedule with its time zone in cron", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: 'CRON_TZ=UTC 0 8 * * *'}]", []string{"spec.schedules[0].cron"}},
	{"a schedule of a minute that there is not", webhook, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '60 * * * *'}]", []string{"spec.schedules[0].cron", "60", "maximum (59)"}},
	{"a schedule of a date that there is not", webhook, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '0 0 30 2 *'}]", []string{"spec.schedules[0].cron", "a date that exists"}},
	{"a schedule in no time zone", webhook, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', timeZone: Europe/Atlantis}]", []string{"spec.schedules[0].timeZone", "Europe/Atlantis", "Europe/Berlin"}},
	{"a schedule in the node's time zone", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', timeZone: Local}]", []string{"spec.schedules[0].timeZone", "Europe/Berlin"}},
	{"a schedule of what is no type", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', type: a b}]", []string{"spec.schedules[0].type", "expected an event type"}},
	{"a schedule with a content type and no data", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', contentType: text/plain}]", []string{"spec.schedules[0]", "contentType", "goes with data"}},
	{"a schedule with a content type that is none", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', data: x, contentType: json}]", []string{"spec.schedules[0].contentType", "application/json"}},
	{"a schedule with JSON that is none", webhook, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', data: x, contentType: application/json}]", []string{"spec.schedules[0].data", "expected a JSON object"}},
	{"a schedule with too much data", both, "", valid + "eventing: {enabled: true}\nschedules: [{name: a, cron: '@daily', data: '" + strings.Repeat("x", 16385) + "'}]", []string{"spec.schedules[0].data", "16384"}},
	{"too many schedules", both, "", valid + "eventing: {enabled: true}\nschedules: [" + strings.Repeat("{name: a, cron: '@daily'}, ", 17) + "]", []string{"schedules"}},
	{"schedules without a Broker", both, "", valid + "schedules: [{name: a, cron: '@daily'}]", []string{"spec.schedules", "eventing.enabled"}},
	{"schedules with eventing off", both, "", valid + "eventing: {enabled: false}\nschedules: [{name: a, cron: '@daily'}]", []string{"spec.schedules", "eventing.enabled"}},
	{"a word wrongly written", both, "", valid + "scalling: {minReplicas: 1}", []string{`unknown field "spec.scalling"`}},
}

// elsewhere is a function of Python whose source is not inline.
func elsewhere(source string) string {
	return "source: {" + source + "}\nruntime: {language: python}"
}

// function is the manifest of a function with the spec.
func function(t *testing.T, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	if name == "" {
		name = "f"
	}
	var body map[string]any
	if err := yaml.Unmarshal([]byte(spec), &body); err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": body}}
	o.SetAPIVersion("lambda.knative.io/v1alpha1")
	o.SetKind("LambdaFunction")
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

func TestInvalidFunctions(t *testing.T) {
	t.Parallel()
	namespace := clients.Namespace(t.Context(), t)
	if _, err := clients.Admit(t.Context(), function(t, namespace, "", valid)); err != nil {
		t.Fatal("what the cases spoil must be admitted:", err)
	}
	for _, tt := range invalidFunctions {
		t.Run(tt.name, func(t *testing.T) {
			_, err := clients.Admit(t.Context(), function(t, namespace, tt.object, tt.spec))
			refused(t, err, tt.want...)
		})
	}
}

// refused checks that the API server refuses as the fault of who asked, in words
// that help. Messages quote what was sent, which may be long.
func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("admitted, want a refusal with %q", want)
	}
	if !apierrs.IsInvalid(err) && !apierrs.IsBadRequest(err) {
		t.Errorf("refused with %s (%T), want Invalid or BadRequest", apierrs.ReasonForError(err), err)
	}
	message := err.Error()
	test.Contains(t, "the refusal", message[:min(len(message), 2000)], want...)
}

// TestInvalidUpdate: what runs cannot be changed into what could not be created.
func TestInvalidUpdate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	o, err := clients.Apply(ctx, function(t, namespace, "", valid))
	if err != nil {
		t.Fatal(err)
	}
	err = clients.AdmitChange(ctx, o, `{"spec":{"runtime":{"language":"cobol"}}}`)
	refused(t, err, "spec.runtime.language", "cobol", "expected one of", "python")
}

// invalidAgents are the sample with one field of spec.ai changed, or where field is
// empty with a memory.
var invalidAgents = []struct {
	name, field string
	by          layers
	value       any
	want        []string
}{
	{"unknown provider", "provider", both, "oracle", []string{"spec.ai.provider", "oracle", "ollama"}},
	{"hosted provider without a key", "provider", both, "openai", []string{"spec.ai.apiKeySecretRef", "is required for"}},
	{"no endpoint", "endpoint", both, nil, []string{"spec.ai.endpoint", "no endpoint of its own"}},
	{"endpoint that is no URL", "endpoint", both, "ollama:11434", []string{"spec.ai.endpoint", "http://"}},
	{"endpoint with user info", "endpoint", both, "https://u:p@a.example/v1", []string{"spec.ai.endpoint", "without user info"}},
	{"endpoint with a query", "endpoint", both, "https://a.example/v1?key=1", []string{"spec.ai.endpoint", "query"}},
	{"endpoint with the query of another provider", "endpoint", both, "https://a.example/v1?api-version=1", []string{"spec.ai.endpoint", "query"}},
	{"endpoint with a fragment", "endpoint", both, "https://a.example/v1#x", []string{"spec.ai.endpoint", "fragment"}},
	{"no model", "model", both, nil, []string{"spec.ai.model"}},
	{"temperature too high", "temperature", both, 2.5, []string{"temperature", "between 0 and 2"}},
	{"temperature that is no number", "temperature", both, "hot", []string{"spec.ai.temperature", "number"}},
	{"two prompts", "systemPromptFrom", both, map[string]any{"name": "prompts", "key": "bruno"}, []string{"spec.ai", "systemPrompt", "systemPromptFrom"}},
	{"memory without its Secret", "", both, map[string]any{"enabled": true, "shortTerm": map[string]any{"enabled": true}}, []string{"spec.memory.shortTerm.redisSecretRef", "URL in a Secret"}},
	{"facts without their Secret", "", both, map[string]any{"enabled": true, "longTerm": map[string]any{"enabled": true}}, []string{"spec.memory.longTerm.postgresSecretRef", "URL in a Secret"}},
	{"memory in an unknown place", "", both, map[string]any{"shortTerm": map[string]any{"backend": "etcd"}}, []string{"spec.memory.shortTerm.backend", "redis"}},
	{"memory that lasts no time", "", both, map[string]any{"shortTerm": map[string]any{"ttlSeconds": int64(0)}}, []string{"spec.memory.shortTerm.ttlSeconds", "1"}},
	{"budget of less than a token for each replica", "budget", both, map[string]any{"tokens": int64(1), "window": "1h"}, []string{"ai.budget", "scaling.maxReplicas"}},
	{"fallback without a provider", "fallbacks", both, []any{map[string]any{"model": "m"}}, []string{"fallbacks", "provider"}},
	{"hosted fallback without a key", "fallbacks", both, []any{map[string]any{"provider": "openai", "model": "m"}}, []string{"fallbacks", "apiKeySecretRef", "is required for"}},
	{"unknown proxy", "proxy", both, "maybe", []string{"ai.proxy", "enabled", "disabled"}},
}

// invalidSpecs are agents, by what is added to their spec.
var invalidSpecs = []struct {
	name string
	by   layers
	spec string
	want []string
}{
	{"supervised by nobody", both, "{operationMode: supervised, eventing: {enabled: true}}", []string{"spec.approval", "missing"}},
	{"supervised without a broker", both, "{operationMode: supervised, eventing: {enabled: false}, approval: {custom: {endpoint: 'https://a'}}}", []string{"eventing.enabled", "through its broker"}},
	{"approval by nobody", both, "{approval: {}}", []string{"spec.approval", "providers", "at least one of slack, custom"}},
	{"approval by a provider that is not set up", both, "{approval: {providers: [slack], custom: {endpoint: 'https://a'}}}", []string{"spec.approval", "slack"}},
	{"approval by a provider twice", both, "{approval: {providers: [custom, custom], custom: {endpoint: 'https://a'}}}", []string{"spec.approval", "providers"}},
	{"approval by an unknown provider", both, "{approval: {providers: [pigeon], custom: {endpoint: 'https://a'}}}", []string{"spec.approval.providers[0]", "pigeon"}},
	{"approval by an endpoint that is no URL", both, "{approval: {custom: {endpoint: 'a:80'}}}", []string{"spec.approval.custom.endpoint", "http://"}},
	{"approval by an endpoint with user info", both, "{approval: {custom: {endpoint: 'https://u:p@a/b'}}}", []string{"spec.approval.custom.endpoint", "without user info"}},
	{"approval by an endpoint with a query", both, "{approval: {custom: {endpoint: 'https://a/b?c'}}}", []string{"spec.approval.custom.endpoint", "query"}},
	{"approval by a webhook without its Secret", both, "{approval: {slack: {webhookSecretRef: {key: url}}}}", []string{"spec.approval.slack.webhookSecretRef", "name"}},
	{"approval that takes no duration", both, "{approval: {timeout: soon, custom: {endpoint: 'https://a'}}}", []string{"spec.approval.timeout", "soon"}},
	{"approval that takes too long", webhook, "{approval: {timeout: 721h, custom: {endpoint: 'https://a'}}}", []string{"spec.approval.timeout", "720h"}},
	{"approval that ends otherwise", both, "{approval: {timeoutAction: ask, custom: {endpoint: 'https://a'}}}", []string{"spec.approval.timeoutAction", "deny"}},
	{"controls without a broker", both, "{eventing: {enabled: false}, permissions: {eventControls: {allowEventDisable: true, controlEventTypes: [a.b], allowedControlSources: [/a]}}}", []string{"eventing.enabled", "through the agent's broker"}},
	{"routes from namespaces that are none", both, "{eventing: {enabled: true, allowedSourceNamespaces: ['a b']}}", []string{"spec.eventing.allowedSourceNamespaces[0]"}},
	{"subscription to a pattern of sources", both, "{eventing: {enabled: true, subscriptions: [{eventType: a.b, source: '/a/*/b'}]}}", []string{"spec.eventing.subscriptions[0].source", "a trailing *"}},
	{"subscription to all types", both, "{eventing: {enabled: true, subscriptions: [{eventType: '*'}]}}", []string{"spec.eventing.subscriptions[0].eventType"}},
	{"controls of what is no type", both, "{permissions: {eventControls: {controlEventTypes: ['a b']}}}", []string{"spec.permissions.eventControls.controlEventTypes[0]", "expected an event type"}},
	{"a schedule of four fields", both, "{eventing: {enabled: true}, schedules: [{name: a, cron: '* * * *'}]}", []string{"spec.schedules[0].cron", "0 8 * * MON-FRI"}},
	{"a schedule of a minute that there is not", webhook, "{eventing: {enabled: true}, schedules: [{name: a, cron: '60 * * * *'}]}", []string{"spec.schedules[0].cron", "60", "maximum (59)"}},
	{"schedules without a Broker", both, "{eventing: {enabled: false}, schedules: [{name: a, cron: '@daily'}]}", []string{"spec.schedules", "eventing.enabled"}},
	{"controls from everywhere", both, "{permissions: {eventControls: {allowedControlSources: ['*']}}}", []string{"spec.permissions.eventControls.allowedControlSources[0]", "not all of them"}},
}

// agentWith is the sample with what a spec sets.
func agentWith(t *testing.T, namespace, spec string) *unstructured.Unstructured {
	t.Helper()
	o := agent(t, namespace, "temperature", 0.7)
	var set map[string]any
	if err := yaml.Unmarshal([]byte(spec), &set); err != nil {
		t.Fatal(err)
	}
	for field, value := range set {
		if err := unstructured.SetNestedField(o.Object, value, "spec", field); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// agent is the sample with one field of spec.ai changed, or taken out by nil; without
// a field its memory is set.
func agent(t *testing.T, namespace, field string, value any) *unstructured.Unstructured {
	t.Helper()
	o, err := test.Sample("agent-bruno.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o.SetNamespace(namespace)
	if field == "" {
		if err := unstructured.SetNestedField(o.Object, value, "spec", "memory"); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if value == nil {
		unstructured.RemoveNestedField(o.Object, "spec", "ai", field)
	} else if err := unstructured.SetNestedField(o.Object, value, "spec", "ai", field); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInvalidAgents(t *testing.T) {
	t.Parallel()
	namespace := clients.Namespace(t.Context(), t)
	for _, tt := range invalidAgents {
		t.Run(tt.name, func(t *testing.T) {
			_, err := clients.Admit(t.Context(), agent(t, namespace, tt.field, tt.value))
			refused(t, err, tt.want...)
		})
	}
	for _, tt := range invalidSpecs {
		t.Run(tt.name, func(t *testing.T) {
			_, err := clients.Admit(t.Context(), agentWith(t, namespace, tt.spec))
			refused(t, err, tt.want...)
		})
	}
}

// TestInvalidConfiguration: the operator's ConfigMaps are refused with their key
// and what would be right, so the last good ones stay in force.
func TestInvalidConfiguration(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, tt := range []struct {
		configMap, key, value string
		want                  []string
	}{
		{"config-build", "registri", "example.com", []string{"config-build", "registri", "unknown key", "registry"}},
		{"config-build", "timeout", "soon", []string{"config-build", "timeout", "expected a duration", "soon"}},
		{"config-build", "max-parallel-builds", "many", []string{"config-build", "max-parallel-builds", "whole number", "many"}},
		{"config-runtimes", "cobol", "versions: {}", []string{"config-runtimes", "cobol", "versions", "missing"}},
		{"config-defaults", "function-timeout", "never", []string{"config-defaults", "function-timeout", "expected a duration", "never"}},
	} {
		t.Run(tt.configMap+" "+tt.key, func(t *testing.T) {
			manifest := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: %s, name: %s}\n", operatorNamespace, tt.configMap)
			o, err := test.Parse([]byte(manifest))
			if err != nil {
				t.Fatal(err)
			}
			err = clients.AdmitChange(ctx, o, fmt.Sprintf(`{"data":{%q:%q}}`, tt.key, tt.value))
			refused(t, err, tt.want...)
		})
	}
}
