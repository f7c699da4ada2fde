//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

// proxyAgentCode is an agent that asks its model by what its environment says and hands
// on what it hears as it comes; and that tells its environment.
const proxyAgentCode = `
import http.server, json, os, urllib.error, urllib.request

class Agent(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/environment":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(dict(os.environ)).encode())
            return
        request = urllib.request.Request(os.environ["LLM_ENDPOINT"] + "/chat/completions", asked,
            {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"].strip()})
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as e:
            answer = e
        self.send_response(answer.status)
        for name in ("Content-Type", "Retry-After"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        self.end_headers()
        while chunk := answer.read1():
            self.wfile.write(chunk)

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Agent).serve_forever()
`

const (
	proxyKey   = "sk-of-the-e2e-test"
	proxyHello = `{"messages":[{"role":"user","content":"hello there"}]}`
)

// proxyModel is a model server, with a model of that name, that pods reach.
func proxyModel(t *testing.T, name string) (*modelserver.Server, *httptest.Server) {
	t.Helper()
	m := &modelserver.Server{Gate: make(chan struct{}), Model: name}
	h := clients.ServeHost(t, m)
	return m, h
}

// proxyAt is a model at a server.
func proxyAt(h *httptest.Server, name string) v1alpha1.ModelSpec {
	return v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAICompatible, Endpoint: h.URL + "/v1", Model: name}
}

// proxyAgent makes an agent and waits until it is ready.
func proxyAgent(ctx context.Context, t *testing.T, namespace, name string, image v1alpha1.ImageReference, ai *v1alpha1.AISpec) *v1alpha1.LambdaAgent {
	t.Helper()
	a := createAgent(ctx, t, agentOf(namespace, name, image, func(s *v1alpha1.LambdaAgentSpec) {
		s.AI, s.Scaling.MaxReplicas = *ai, ptr.Int32(1)
	}))
	return awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
}

// proxyPost asks the agent.
func proxyPost(ctx context.Context, a *v1alpha1.LambdaAgent, path, body string) (*http.Response, error) {
	url := a.Status.URL.DeepCopy()
	url.Path = path
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return clients.HTTP.Do(r)
}

// proxyRead asks the agent for a whole answer.
func proxyRead(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, path, body string) (status int, header http.Header, text string) {
	t.Helper()
	response, err := proxyPost(ctx, a, path, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(all)
}

// proxyHears asks the agent until it has heard from the model, which may be a moment
// after it is ready: its proxy, and the way to itself, come up then.
func proxyHears(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, want string) {
	t.Helper()
	var status int
	var text string
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		status, _, text = proxyRead(ctx, t, a, "/", proxyHello)
		return status == http.StatusOK && strings.Contains(text, want), nil
	})
	if err != nil {
		t.Fatalf("%s answered %d %s, want %q: %v", a.Name, status, text, want, err)
	}
}

// TestModelProxy: the agent is answered through the proxy, chunk by chunk where it asks
// for that; by the fallback when the model is down; and is told when it may go on once
// its budget is used up. The key is the proxy's alone. Who refuses the proxy has none.
func TestModelProxy(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	first, firstServer := proxyModel(t, "first")
	_, spareServer := proxyModel(t, "spare")
	image := imageNamed(t, ready(ctx, t, create(ctx, t, python(namespace, "base", greeting("a base for others")))))
	image.Command = []string{"python3", "-u", "-c", proxyAgentCode}
	putSecret(ctx, t, namespace, "provider", map[string]string{"token": proxyKey + "\n"})
	key := secretKey("provider", "token")

	asker := proxyAgent(ctx, t, namespace, "asker", image, &v1alpha1.AISpec{
		ModelSpec: proxyAt(firstServer, "first"), APIKeySecretRef: key,
		Fallbacks: []v1alpha1.FallbackSpec{{ModelSpec: proxyAt(spareServer, "spare")}},
		Budget:    &v1alpha1.TokenBudget{Tokens: 200, Window: "24h"},
		Timeout:   v1alpha1.NewDuration(20 * time.Second),
	})
	proxyHears(ctx, t, asker, "first heard: hello there")
	if last, _ := first.Last(); last.Header.Get("Authorization") != "Bearer "+proxyKey {
		t.Error("the provider did not get the Secret's key")
	}
	proxyStreams(ctx, t, asker, first)
	proxyHasTheKey(ctx, t, asker, key.Name)
	firstServer.Close()
	proxyHears(ctx, t, asker, "spare heard: hello there")
	proxySpends(ctx, t, asker)
	awaitAgent(ctx, t, asker, "ModelAvailable, which names the fallback", func(a *v1alpha1.LambdaAgent) bool {
		c := a.Status.GetCondition(v1alpha1.AgentConditionModelAvailable)
		return c.IsFalse() && c.Reason == "EndpointUnreachable" && strings.Contains(c.Message, "Fallback 0 answers: model spare") && a.IsReady()
	})

	direct := proxyAgent(ctx, t, namespace, "direct", image, &v1alpha1.AISpec{ModelSpec: proxyAt(spareServer, "spare"), APIKeySecretRef: key, Proxy: v1alpha1.ProxyDisabled})
	for _, pod := range proxyPods(ctx, t, direct) {
		for _, c := range pod.Spec.Containers {
			if c.Name == "model-proxy" {
				t.Errorf("pod %s has a proxy that its agent refuses", pod.Name)
			}
		}
	}
	proxyHears(ctx, t, direct, "heard: hello there") // it names no model of itself: the proxy would
	if environment := proxyEnvironment(ctx, t, direct); environment["LLM_ENDPOINT"] != spareServer.URL+"/v1" || environment["LLM_API_KEY"] != proxyKey+"\n" {
		t.Errorf("without a proxy the agent is told of %s, and whether of the key: %v", environment["LLM_ENDPOINT"], environment["LLM_API_KEY"] != "")
	}
}

// proxyStreams: each chunk is with the caller before the model writes the next.
func proxyStreams(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, m *modelserver.Server) {
	t.Helper()
	response, err := proxyPost(ctx, a, "/", strings.Replace(proxyHello, "{", `{"stream":true,`, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i, word := range []string{"first ", "heard: ", "hello ", "there"} {
		if i > 0 {
			select {
			case m.Gate <- struct{}{}:
			case <-time.After(time.Minute):
				t.Fatalf("the model does not wait to say %q", word)
			}
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), strconv.Quote(word)) {
			t.Fatalf("chunk %d is %q, %v; want %q", i, lines.Text(), lines.Err(), word)
		}
		lines.Scan() // the blank line
	}
	var last string
	for lines.Scan() {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if last != "data: [DONE]" || lines.Err() != nil {
		t.Errorf("the stream ends with %q, %v", last, lines.Err())
	}
}

// proxySpends what is left of the budget.
func proxySpends(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent) {
	t.Helper()
	long := fmt.Sprintf(`{"messages":[{"role":"user","content":%q}]}`, strings.Repeat("word ", 40))
	for i := range 20 {
		body := proxyHello
		if i < 2 {
			body = long
		}
		status, header, text := proxyRead(ctx, t, a, "/", body)
		if status == http.StatusOK {
			continue
		}
		var said struct {
			Error struct{ Type, Message string } `json:"error"`
		}
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		next := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		if status != http.StatusTooManyRequests || said.Error.Type != "budget_exhausted" || !strings.Contains(said.Error.Message, "the next window begins at "+next.Format(time.RFC3339)) {
			t.Errorf("%d: %s; want 429, and when it goes on", status, text)
		}
		after, err := strconv.Atoi(header.Get("Retry-After"))
		if wait := time.Duration(after) * time.Second; err != nil || wait < time.Until(next)-time.Minute || wait > time.Until(next)+time.Minute {
			t.Errorf("Retry-After is %q, want the seconds until %v", header.Get("Retry-After"), next)
		}
		return
	}
	t.Error("the budget is never used up")
}

func proxyPods(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent) []corev1.Pod {
	t.Helper()
	pods, err := clients.Kube.CoreV1().Pods(a.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "serving.knative.dev/service=" + a.Name})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) == 0 {
		t.Fatalf("%s has no pod", a.Name)
	}
	return pods.Items
}

// proxyEnvironment is the agent's, as it sees it itself.
func proxyEnvironment(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent) (environment map[string]string) {
	t.Helper()
	status, _, text := proxyRead(ctx, t, a, "/environment", "")
	if err := json.Unmarshal([]byte(text), &environment); err != nil || status != http.StatusOK {
		t.Fatalf("%d: %v: %s", status, err, text)
	}
	return environment
}

// proxyHasTheKey: of all containers the proxy's alone, which does not tell it; and the
// agent neither has it nor is told where it is.
func proxyHasTheKey(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, secretName string) {
	t.Helper()
	for _, pod := range proxyPods(ctx, t, a) {
		proxies := 0
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			has := strings.Contains(string(text), `"secretKeyRef":{"name":"`+secretName+`"`)
			if c.Name == "model-proxy" {
				proxies++
			} else if has || strings.Contains(string(text), proxyKey) || strings.Contains(string(text), `"secretRef"`) {
				t.Errorf("container %s of pod %s has the key: %s", c.Name, pod.Name, text)
			}
			if c.Name == "model-proxy" && (!has || strings.Contains(string(text), proxyKey)) {
				t.Errorf("the proxy of pod %s does not have the key by reference: %s", pod.Name, text)
			}
		}
		if proxies != 1 {
			t.Errorf("pod %s has %d proxies, want one", pod.Name, proxies)
		}
		volumes, err := json.Marshal(pod.Spec.Volumes)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(volumes), strconv.Quote(secretName)) {
			t.Errorf("pod %s mounts the Secret: %s", pod.Name, volumes)
		}
		logs, err := clients.Kube.CoreV1().Pods(a.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "model-proxy"}).DoRaw(ctx)
		if err != nil || strings.Contains(string(logs), proxyKey) {
			t.Errorf("the proxy's log: %v; or it has the key: %s", err, logs)
		}
	}
	for name, value := range proxyEnvironment(ctx, t, a) {
		if strings.Contains(value, proxyKey) {
			t.Errorf("the agent has the key as %s", name)
		}
	}
	configs, err := clients.Kube.CoreV1().ConfigMaps(a.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs.Items {
		if strings.Contains(fmt.Sprint(c.Data), proxyKey) {
			t.Errorf("ConfigMap %s has the key", c.Name)
		}
	}
}
