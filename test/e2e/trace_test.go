//go:build e2e

package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

// spanCollector takes spans by OTLP over HTTP.
type spanCollector struct {
	mu    sync.Mutex
	spans []*tracev1.Span
}

func (c *spanCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collectorv1.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "expected spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// of a trace, by their names; of what is done with events, only with this one. The
// function's answer has its subject and so comes to its trigger, too, which lets it by.
func (c *spanCollector) of(trace, event string) map[string]*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]*tracev1.Span{}
	for _, s := range c.spans {
		others := slices.ContainsFunc(s.Attributes, func(a *commonv1.KeyValue) bool {
			return a.Key == "cloudevents.event_id" && a.Value.GetStringValue() != event
		})
		if hex.EncodeToString(s.TraceId) == trace && !others {
			found[s.Name] = s
		}
	}
	return found
}

// asksAgent is a handler that asks an agent what came, and continues the trace.
const asksAgent = `
import json, urllib.request

def handler(event, context):
    body = json.dumps({"messages": [{"role": "user", "content": "of " + event["of"]}]}).encode()
    headers = {"Content-Type": "application/json", "Traceparent": context.traceparent or ""}
    with urllib.request.urlopen(urllib.request.Request(%q, body, headers)) as answer:
        return json.load(answer)
`

// TestTrace: what an event sets off is one trace, through the broker, the function's
// runtime, an agent's model proxy and up to the model.
func TestTrace(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	const trace, root = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	collector, model := &spanCollector{}, &modelserver.Server{Model: "traced"}
	namespace, endpoint := clients.Namespace(ctx, t), reachable(t, collector)
	observability := &v1alpha1.ObservabilitySpec{Tracing: &v1alpha1.TracingSpec{Enabled: true, Endpoint: endpoint, SamplingRate: v1alpha1.NewNumber(1)}}

	image := imageNamed(t, ready(ctx, t, create(ctx, t, python(namespace, "base", greeting("a base for others")))))
	image.Command = []string{"python3", "-u", "-c", strings.Replace(proxyAgentCode,
		`{"Content-Type": "application/json", `, `{"Content-Type": "application/json", "Traceparent": self.headers.get("Traceparent", ""), `, 1)}
	a := awaitAgent(ctx, t, createAgent(ctx, t, agentOf(namespace, "asked", image, func(s *v1alpha1.LambdaAgentSpec) {
		s.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAICompatible, Endpoint: reachable(t, model) + "/v1", Model: "traced"}}
		putSecret(ctx, t, namespace, "provider", map[string]string{"token": proxyKey})
		s.AI.APIKeySecretRef = secretKey("provider", "token")
		s.Observability, s.Scaling.MaxReplicas = observability, ptr.Int32(1)
	})), "Ready", (*v1alpha1.LambdaAgent).IsReady)
	proxyHears(ctx, t, a, "heard: hello there")

	f := python(namespace, "asks", fmt.Sprintf(asksAgent, a.Status.Address.URL.String()))
	f.Spec.Observability = observability
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true}
	f = ready(ctx, t, create(ctx, t, f))

	publishTraced(ctx, t, types.NamespacedName{Namespace: namespace, Name: "default"}, f, "00-"+trace+"-"+root+"-01")
	var spans map[string]*tracev1.Span
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(context.Context) (bool, error) {
		spans = collector.of(trace, tracedEvent)
		return spans["invoke"] != nil && spans["chat traced"] != nil, nil
	})
	if err != nil {
		t.Fatalf("of the trace there are the spans %v, want the runtime's and the model proxy's: %v", spans, err)
	}
	if got := hex.EncodeToString(spans["chat traced"].ParentSpanId); got != hex.EncodeToString(spans["invoke"].SpanId) {
		t.Errorf("the call of the model has parent %s, want the invocation", got)
	}
	if len(spans["invoke"].ParentSpanId) == 0 {
		t.Error("the invocation has no parent, want the event's span or the broker's")
	}
	last, _ := model.Last()
	if got := last.Header.Get("Traceparent"); !strings.HasPrefix(got, "00-"+trace+"-"+hex.EncodeToString(spans["chat traced"].SpanId)) {
		t.Errorf("the model got traceparent %q, want that of the proxy's span", got)
	}
}

const tracedEvent = "traced-1"

// publishTraced posts an event to the broker in a trace, as the extension and, for
// brokers that look at nothing else, as the header.
func publishTraced(ctx context.Context, t *testing.T, broker types.NamespacedName, f metav1.Object, traceparent string) {
	t.Helper()
	e := newEvent(tracedEvent, events.InvokeAsync, "/e2e")
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		status := 0
		r, err := clients.Ingress(ctx, broker)
		if err != nil {
			return false, nil //nolint:nilerr // it has no address yet
		}
		err = r.SetHeader("Ce-Specversion", e.SpecVersion()).SetHeader("Ce-Id", e.ID()).SetHeader("Ce-Type", e.Type()).SetHeader("Ce-Source", e.Source()).
			SetHeader("Ce-Subject", f.GetNamespace()+"/"+f.GetName()).SetHeader("Ce-Traceparent", traceparent).SetHeader("Traceparent", traceparent).
			SetHeader("Content-Type", "application/json").Body(e.Data()).Do(ctx).StatusCode(&status).Error()
		return err == nil && status == http.StatusAccepted, nil // its ingress may have just begun to listen
	})
	if err != nil {
		t.Fatal(err)
	}
}
