package v1alpha1

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// TestValidateCalls: what is wrong with timeouts and destinations of outcomes is refused by
// the field, for both kinds.
func TestValidateCalls(t *testing.T) {
	t.Parallel()
	ctx := configured()
	for text, want := range map[string]string{
		`{deliveryTimeout: 5m, onSuccess: {uri: "https://x.test/done"}, onFailure: {ref: {apiVersion: v1, kind: Service, name: alarm, namespace: ops}}}`: "",
		`{deliveryTimeout: 15m}`:                                         "",
		`{deliveryTimeout: 16m}`:                                         "spec.eventing.deliveryTimeout",
		`{deliveryTimeout: 500ms}`:                                       "spec.eventing.deliveryTimeout",
		`{deliveryTimeout: soon}`:                                        "spec.eventing.deliveryTimeout",
		`{onSuccess: {}}`:                                                "spec.eventing.onSuccess",
		`{onSuccess: {uri: /done}}`:                                      "spec.eventing.onSuccess.uri",
		`{onFailure: {uri: "http://a:b@x/"}}`:                            "spec.eventing.onFailure.uri",
		`{onFailure: {ref: {apiVersion: v1, kind: Secret, name: s}}}`:    "invalid value: Secret (v1): spec.eventing.onFailure.ref.kind",
		`{onSuccess: {ref: {apiVersion: v1, kind: Service, name: OWN}}}`: "is this object itself, or its broker, which has the outcomes already: they would go in a circle: spec.eventing.onSuccess.ref",
		`{onFailure: {ref: {apiVersion: lambda.knative.io/v1alpha1, kind: KIND, name: OWN, namespace: team}}}`:    "they would go in a circle: spec.eventing.onFailure.ref",
		`{onFailure: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: BROKER}}}`:                   "they would go in a circle: spec.eventing.onFailure.ref",
		`{onFailure: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: BROKER, namespace: other}}}`: "",
		`{onFailure: {ref: {apiVersion: v1, kind: Service, name: OWN, namespace: other}}}`:                        "",
	} {
		eventing := func(kind, own, broker string) string {
			return "eventing: {enabled: true, " + strings.NewReplacer("OWN", own, "KIND", kind, "BROKER", broker).Replace(text)[1:]
		}
		for kind, err := range map[string]*apis.FieldError{
			"function": defaulted(ctx, functionOf(t, "source: {image: {repository: r.test/team/a}}\n"+eventing("LambdaFunction", "greeter", "default"))).Validate(ctx),
			"agent":    defaulted(ctx, agentOf(t, anImage+eventing("LambdaAgent", "bruno", "bruno"))).Validate(ctx),
		} {
			switch {
			case want == "" && err != nil:
				t.Errorf("%s %s is refused: %v", kind, text, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%s %s: error = %v, want %q", kind, text, err, want)
			}
		}
	}
}

// TestWarnDeliveryTimeout: a delivery that ends before a call may is worth a warning.
func TestWarnDeliveryTimeout(t *testing.T) {
	t.Parallel()
	ctx := configured()
	const model = anImage + "ai: {provider: ollama, endpoint: 'http://m.test', model: m, timeout: 40s, fallbacks: [{provider: ollama, endpoint: 'http://n.test', model: other}]}\n"
	for text, want := range map[string]string{"79s": "is shorter than 1m20s, which a call may take by ai.timeout and ai.fallbacks", "80s": ""} {
		err := defaulted(ctx, agentOf(t, model+"eventing: {enabled: true, deliveryTimeout: "+text+"}")).Validate(ctx)
		if refused := err.Filter(apis.ErrorLevel); refused != nil {
			t.Errorf("agent, %s: refused: %v", text, refused)
		}
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("agent, %s: %v, want %q", text, err, want)
		}
	}
	f := "source: {image: {repository: r.test/team/a}}\nruntime: {timeout: 60s}\neventing: {enabled: true, deliveryTimeout: 10s}"
	err := defaulted(ctx, functionOf(t, f)).Validate(ctx)
	if err == nil || err.Filter(apis.ErrorLevel) != nil || !strings.Contains(err.Error(), "spec.eventing.deliveryTimeout") {
		t.Errorf("function: %v, want a warning of spec.eventing.deliveryTimeout", err)
	}
}

// TestLongestCall adds up what the model and its fallbacks may take.
func TestLongestCall(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"":                     0,
		"ai: {provider: none}": 0,
		"ai: {provider: ollama, model: m, endpoint: 'http://m.test'}":                                    2 * time.Minute,
		"ai: {provider: ollama, model: m, endpoint: 'http://m.test', timeout: 30s, fallbacks: [{}, {}]}": 90 * time.Second,
	} {
		if got := agentOf(t, anImage+text).Spec.AI.LongestCall(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestCallsURL: addresses are below that of the Broker.
func TestCallsURL(t *testing.T) {
	t.Parallel()
	broker := AgentBrokerURL(types.NamespacedName{Namespace: "team", Name: "default"}).String()
	if got := FunctionCallsURL(types.NamespacedName{Namespace: "team", Name: "default"}, "greeter").String(); got != broker+"/calls/function/greeter" {
		t.Errorf("FunctionCallsURL() = %s", got)
	}
	if got := AgentCallsURL(types.NamespacedName{Namespace: "team", Name: "default"}).String(); got != broker+"/calls/agent/default" {
		t.Errorf("AgentCallsURL() = %s", got)
	}
}

// TestEffectiveCalls: a destination without a namespace is in the owner's.
func TestEffectiveCalls(t *testing.T) {
	t.Parallel()
	const eventing = "eventing: {enabled: true, onFailure: {ref: {apiVersion: v1, kind: Service, name: s}}}"
	a := agentOf(t, anImage+eventing).EffectiveSpec(config.FromContextOrDefaults(configured()))
	f := functionOf(t, "source: {image: {repository: r.test/team/a}}\n"+eventing).EffectiveSpec(config.FromContextOrDefaults(configured()))
	if a.Eventing.OnFailure.Ref.Namespace != "team" || f.Eventing.OnFailure.Ref.Namespace != "team" {
		t.Errorf("namespaces %q and %q", a.Eventing.OnFailure.Ref.Namespace, f.Eventing.OnFailure.Ref.Namespace)
	}
}
