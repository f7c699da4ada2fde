//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

// unsteady fails as it is told, also by the end of its worker.
const unsteady = `
import os
from lambda_runtime import PermanentError

def handler(event, context):
    what = event.get("what")
    if what == "exit":
        os._exit(1)
    if what == "permanent" or event.get("of", "").startswith("never"):
        raise PermanentError("never")
    if what == "error":
        raise ValueError("not today")
    return {"message": "well"}
`

// startMonitoringLoad begins to do all that can be measured, over and over until ctx
// ends: invocations, builds, events and model calls, well and failing.
func startMonitoringLoad(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	setResponseSink(ctx, t)
	var done sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	t.Cleanup(func() { stop(); done.Wait() })
	every := func(d time.Duration, do func(i int)) {
		done.Go(func() {
			ticker := time.NewTicker(d)
			defer ticker.Stop()
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					do(i)
				}
			}
		})
	}
	loadBuilds(ctx, t, namespace, every)
	loadFunctions(ctx, t, namespace, every)
	loadAgents(ctx, t, namespace, every)
	every(2*time.Second, func(i int) { loadReceiver(ctx, t, i) })
}

// setResponseSink has all functions send what became of failures to this test.
func setResponseSink(ctx context.Context, t *testing.T) {
	t.Helper()
	sink := reachable(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	set := func(ctx context.Context, value string) {
		patch := fmt.Appendf(nil, `{"data":{"response-sink":%s}}`, value)
		if _, err := clients.Kube.CoreV1().ConfigMaps(operatorNamespace).Patch(ctx, "config-eventing", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	set(ctx, fmt.Sprintf("%q", sink))
	t.Cleanup(func() { set(context.Background(), "null") })
}

// reachable serves to pods, and returns where.
func reachable(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(hostIP(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	h := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	h.Start()
	t.Cleanup(h.Close)
	return h.URL
}

// loadBuilds builds in the controller and in pods, so that it succeeds and so that it
// fails.
func loadBuilds(ctx context.Context, t *testing.T, namespace string, every func(time.Duration, func(int))) {
	t.Helper()
	well := python(namespace, "built", greeting("built in "+namespace))
	inPod := python(namespace, "built-in-pod", greeting("built in a pod in "+namespace))
	inPod.Spec.Build.Strategy = v1alpha1.BuildKaniko
	broken := python(namespace, "unbuildable", greeting("nobody"))
	broken.Spec.Runtime.Handler = "app.handler"
	for _, f := range []*v1alpha1.LambdaFunction{well, inPod, broken} {
		create(ctx, t, f)
	}
	again := func(name string) {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"%d"}}}`, lambda.RebuildAnnotationKey, time.Now().UnixNano())
		_, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil && ctx.Err() == nil {
			t.Errorf("building %s again: %v", name, err)
		}
	}
	every(10*time.Second, func(int) { again(well.Name); again(broken.Name) })
	every(2*time.Minute, func(int) { again(inPod.Name) })
}

// loadFunctions calls functions, well and failing, by requests and by events. What is
// given up becomes dead letters.
func loadFunctions(ctx context.Context, t *testing.T, namespace string, every func(time.Duration, func(int))) {
	t.Helper()
	f := python(namespace, "unsteady", unsteady)
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}}
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(1)}
	f = ready(ctx, t, create(ctx, t, f))
	every(200*time.Millisecond, func(i int) {
		body := "{}"
		if i%10 == 0 {
			body = []string{`{"what":"error"}`, `{"what":"permanent"}`, `{"what":"exit"}`}[i/10%3]
		}
		_, _ = clients.Call(ctx, f.Status.URL, body) // its answer is what the metrics tell of
	})
	cold := python(namespace, "cold", greeting("from zero"))
	cold.Spec.Scaling = v1alpha1.ScalingSpec{Window: v1alpha1.NewDuration(6 * time.Second), ScaleToZeroGracePeriod: v1alpha1.NewDuration(0)}
	cold = ready(ctx, t, create(ctx, t, cold))
	every(30*time.Second, func(int) { _, _ = clients.Call(ctx, cold.Status.URL, "{}") })
	broker := types.NamespacedName{Namespace: namespace, Name: "default"}
	every(2*time.Second, func(i int) {
		e := newEvent(fmt.Sprintf("never-%d", i), events.InvokeAsync, "/monitoring")
		e.SetSubject(namespace + "/" + f.Name)
		if err := clients.Publish(ctx, broker, e); err != nil && ctx.Err() == nil {
			t.Logf("publishing: %v", err) // its ingress may not listen yet
		}
		unrouted := newEvent(fmt.Sprintf("unrouted-%d", i), "io.example.unrouted", "/monitoring")
		_ = clients.Publish(ctx, broker, unrouted)
		if r, err := clients.Ingress(ctx, broker); err == nil {
			r.Body([]byte("no event")).Do(ctx) // refused
		}
	})
}

// loadAgents has an agent call a model that fails now and then, so that the fallback
// answers, and that streams.
func loadAgents(ctx context.Context, t *testing.T, namespace string, every func(time.Duration, func(int))) {
	t.Helper()
	first, spare := &modelserver.Server{Model: "first"}, &modelserver.Server{Model: "spare"}
	at := func(m *modelserver.Server) v1alpha1.ModelSpec {
		return v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAICompatible, Endpoint: reachable(t, m) + "/v1", Model: m.Model}
	}
	image := imageNamed(t, ready(ctx, t, create(ctx, t, python(namespace, "base", greeting("a base for others")))))
	image.Command = []string{"python3", "-u", "-c", proxyAgentCode}
	putSecret(ctx, t, namespace, "provider", map[string]string{"token": proxyKey})
	a := proxyAgent(ctx, t, namespace, "asker", image, &v1alpha1.AISpec{
		ModelSpec: at(first), APIKeySecretRef: secretKey("provider", "token"),
		Fallbacks: []v1alpha1.FallbackSpec{{ModelSpec: at(spare)}},
		Budget:    &v1alpha1.TokenBudget{Tokens: 100000, Window: "24h"},
	})
	ask := func(body string) {
		response, err := proxyPost(ctx, a, "/", body)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}
	every(500*time.Millisecond, func(i int) {
		switch i % 6 {
		case 0:
			first.Behave(modelserver.Behavior{Mode: modelserver.ModeBroken})
			ask(proxyHello)
			first.Behave(modelserver.Behavior{})
		case 1:
			for _, m := range []*modelserver.Server{first, spare} {
				m.Behave(modelserver.Behavior{Mode: modelserver.ModeLimited})
			}
			ask(proxyHello)
			for _, m := range []*modelserver.Server{first, spare} {
				m.Behave(modelserver.Behavior{})
			}
		case 2, 3:
			ask(strings.Replace(proxyHello, "{", `{"stream":true,`, 1))
		default:
			ask(proxyHello)
		}
	})
}

// loadReceiver sends it a command, and an approval request of an agent, which are
// refused: nobody there may give any.
func loadReceiver(ctx context.Context, t *testing.T, i int) {
	for path, eventType := range map[string]string{"/commands": events.CommandFunctionDeploy, "/agents/nowhere/nobody/approvals/none": events.ApprovalRequested} {
		e := newEvent(fmt.Sprintf("monitoring-%d", i), eventType, "/monitoring")
		e.SetSubject("nowhere/nobody")
		status := 0
		err := clients.Kube.CoreV1().RESTClient().Post().Namespace(operatorNamespace).Resource("services").Name("http:knative-lambda-receiver:80").SubResource("proxy").Suffix(path).
			SetHeader("Ce-Specversion", e.SpecVersion()).SetHeader("Ce-Id", e.ID()).SetHeader("Ce-Type", e.Type()).SetHeader("Ce-Source", e.Source()).SetHeader("Ce-Subject", e.Subject()).
			SetHeader("Content-Type", "application/json").Body([]byte("{}")).Do(ctx).StatusCode(&status).Error()
		if err == nil {
			t.Errorf("%s answered %d to whom it does not know", path, status)
		}
	}
}
