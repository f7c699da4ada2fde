package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// What is measured, by the name of its objects.
const (
	agent  = "agent"
	bare   = "bare"
	sender = "sender"
)

// receiving keeps, in seconds, how long each event has been on its way, and tells it to
// whoever asks by a plain request.
const receiving = `import os, time

def handler(event, context):
    now = time.time()
    if context.type is None:
        if not os.path.exists("/tmp/took"):
            return []
        with open("/tmp/took") as took:
            return [float(line) for line in took]
    with open("/tmp/took", "a") as took:
        took.write(f"{now - event['sent']}\n")
`

// sending posts events, one after another.
const sending = `import json, time, urllib.request

def handler(event, context):
    for i in range(event["events"]):
        headers = {"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": f"{event['type']}-{time.time_ns()}",
                   "Ce-Source": "/perf", "Ce-Type": event["type"]}
        body = json.dumps({"sent": time.time()}).encode()
        urllib.request.urlopen(urllib.request.Request(event["url"], body, headers), timeout=30).close()
        time.sleep(event["pause"])
    return {"events": event["events"]}
`

// ground is a namespace in which is measured.
type ground struct {
	*test.Clients
	namespace string
	broker    string // the ingress of the agent's broker
	urls      map[string]*apis.URL
	got       map[string]int // how many each has told of so far
}

func newGround(ctx context.Context, clients *test.Clients) (*ground, error) {
	namespace, err := clients.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "perf-agent-"}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	g := &ground{Clients: clients, namespace: namespace.Name, urls: map[string]*apis.URL{}, got: map[string]int{}}
	for _, step := range []func(context.Context) error{g.makeSender, g.makeAgent, g.makeBare} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, g.remove())
		}
	}
	return g, nil
}

func (g *ground) remove() error {
	return g.Kube.CoreV1().Namespaces().Delete(context.Background(), g.namespace, metav1.DeleteOptions{})
}

func (g *ground) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: g.namespace, Name: name}
}

func (g *ground) makeFunction(ctx context.Context, name, code string) (*v1alpha1.LambdaFunction, error) {
	_, err := g.Lambda.LambdaV1alpha1().LambdaFunctions(g.namespace).Create(ctx, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.LambdaFunctionSpec{
		Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: code}},
		Runtime: v1alpha1.FunctionRuntime{Language: "python"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return g.AwaitFunction(ctx, g.key(name), "Ready", (*v1alpha1.LambdaFunction).IsReady)
}

func (g *ground) makeSender(ctx context.Context) error {
	if err := g.AwaitDefaults(ctx, g.namespace); err != nil {
		return err
	}
	f, err := g.makeFunction(ctx, sender, sending)
	if err == nil {
		g.urls[sender] = f.Status.URL
	}
	return err
}

// makeAgent makes a warm agent of an image that is a function's.
func (g *ground) makeAgent(ctx context.Context) error {
	f, err := g.makeFunction(ctx, "image", receiving)
	if err != nil {
		return err
	}
	repository, digest, _ := strings.Cut(f.Status.Build.Image, "@")
	_, err = g.Lambda.LambdaV1alpha1().LambdaAgents(g.namespace).Create(ctx, &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Name: agent}, Spec: v1alpha1.LambdaAgentSpec{
		Image: v1alpha1.ImageReference{Repository: repository, Digest: digest,
			Command: []string{"/usr/bin/env", "LAMBDA_HANDLER=main.handler", `LAMBDA_WORKER_COMMAND=["python3","-u","/lambda/worker/worker.py"]`, "/lambda/runtime"}},
		Scaling:  v1alpha1.ScalingSpec{MaxReplicas: ptr.Int32(1)},
		Eventing: &v1alpha1.AgentEventing{Enabled: true, Subscriptions: []v1alpha1.AgentSubscription{{EventType: eventType(agent)}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	a, err := g.AwaitAgent(ctx, g.key(agent), "Ready", (*v1alpha1.LambdaAgent).IsReady)
	if err != nil {
		return err
	}
	broker, err := g.AwaitBroker(ctx, g.key(agent))
	if err != nil {
		return err
	}
	g.urls[agent], g.broker = a.Status.URL, broker.Status.Address.URL.String()
	return nil
}

// makeBare makes a Service of the agent's pod and a Trigger of the same broker.
func (g *ground) makeBare(ctx context.Context) error {
	services := g.Serving.ServingV1().Services(g.namespace)
	of, err := services.Get(ctx, agent, metav1.GetOptions{})
	if err != nil {
		return err
	}
	template := of.Spec.Template.DeepCopy()
	template.Labels, template.Spec.Volumes = nil, nil // the operator's
	container := template.Spec.Containers[0]
	container.VolumeMounts, container.Env = nil, nil
	template.Spec.Containers = []corev1.Container{container}
	if _, err := services.Create(ctx, &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Name: bare},
		Spec: servingv1.ServiceSpec{ConfigurationSpec: servingv1.ConfigurationSpec{Template: *template}}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	triggers := g.Eventing.EventingV1().Triggers(g.namespace)
	if _, err := triggers.Create(ctx, &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: bare}, Spec: eventingv1.TriggerSpec{
		Broker:     agent,
		Filter:     &eventingv1.TriggerFilter{Attributes: map[string]string{"type": eventType(bare)}},
		Subscriber: duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: g.namespace, Name: bare}},
	}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		t, err := triggers.Get(ctx, bare, metav1.GetOptions{})
		if err != nil || !t.Status.IsReady() {
			return false, err
		}
		s, err := services.Get(ctx, bare, metav1.GetOptions{})
		if err != nil || !s.IsReady() {
			return false, err
		}
		g.urls[bare] = s.Status.URL
		return true, nil
	})
}

func eventType(to string) string { return "io.example.perf." + to }

// measure sends events and returns how long each of them took.
func (g *ground) measure(ctx context.Context, to string, o *options) ([]time.Duration, error) {
	order, err := json.Marshal(map[string]any{"url": g.broker, "type": eventType(to), "events": o.events, "pause": o.pause.Seconds()})
	if err != nil {
		return nil, err
	}
	answer, err := g.Call(ctx, g.urls[sender], string(order))
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("the sender answered %v", answer)
	}
	if err != nil {
		return nil, err
	}
	var seconds []float64
	err = wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		answer, err := g.Call(ctx, g.urls[to], "{}")
		if err != nil || answer.Status != http.StatusOK {
			return false, nil //nolint:nilerr // the ingress may be late
		}
		if err := json.Unmarshal([]byte(answer.Body), &seconds); err != nil {
			return false, err
		}
		return len(seconds) >= g.got[to]+o.events, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d events came: %w", len(seconds)-g.got[to], o.events, err)
	}
	took := make([]time.Duration, 0, o.events)
	for _, s := range seconds[g.got[to]:] {
		took = append(took, time.Duration(s*float64(time.Second)))
	}
	g.got[to] = len(seconds)
	return took, nil
}
