//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestSampleAgents makes the two agents as docs/agents.md says, and asks each what the
// other would send it.
func TestSampleAgents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const namespace = "agents"
	clients.UseNamespace(ctx, t, namespace)
	var image v1alpha1.ImageReference
	agents := map[string]*v1alpha1.LambdaAgent{}
	for _, name := range []string{"guide", "librarian"} {
		o := sample(t, "agents/"+name+".yaml")
		image = sampleImage(ctx, t, namespace, name)
		if err := unstructured.SetNestedField(o.Object, image.Repository, "spec", "image", "repository"); err != nil {
			t.Fatal(err)
		}
		if err := unstructured.SetNestedField(o.Object, image.Digest, "spec", "image", "digest"); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.Apply(ctx, o); err != nil {
			t.Fatal(err)
		}
		agents[name] = &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	runModels(ctx, t, namespace, image)
	for name, a := range agents {
		agents[name] = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	}
	lookup := turn(ctx, t, agents["guide"], "io.example.chat.message", map[string]string{"text": "Where?"}, "io.example.library.intent.lookup")
	found := turn(ctx, t, agents["librarian"], lookup.Type(), lookup.Data(), "io.example.library.intent.found")
	answer := turn(ctx, t, agents["guide"], found.Type(), found.Data(), "io.example.chat.answer")
	test.Contains(t, "the answer", string(answer.Data()), "You are a guide.", "You are a librarian.", "Where?")
	if got, want := answer.Source(), "/agents/guide"; got != want {
		t.Errorf("source of the answer = %s, want %s", got, want)
	}
}

// sampleImage lets the image of a sample agent be built in a namespace.
func sampleImage(ctx context.Context, t *testing.T, namespace, name string) v1alpha1.ImageReference {
	t.Helper()
	text, err := os.ReadFile("../../config/samples/agents/agent-images.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range bytes.Split(text, []byte("\n---\n")) {
		o, err := test.Parse(manifest)
		if err != nil {
			t.Fatal(err)
		}
		if o.GetName() != name+"-image" {
			continue
		}
		o.SetNamespace(namespace)
		if _, err := clients.Apply(ctx, o); err != nil {
			t.Fatal(err)
		}
		return imageNamed(t, ready(ctx, t, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: o.GetName()}}))
	}
	t.Fatalf("agent-images.yaml has no %s-image", name)
	return v1alpha1.ImageReference{}
}

// sampleAgent is a sample with this image, in a namespace.
func sampleAgent(t *testing.T, namespace, name string, image v1alpha1.ImageReference, change ...func(*v1alpha1.LambdaAgentSpec)) *v1alpha1.LambdaAgent {
	t.Helper()
	a := &v1alpha1.LambdaAgent{}
	if err := json.Unmarshal([]byte(mustJSON(sample(t, "agents/"+name+".yaml").Object)), a); err != nil {
		t.Fatal(err)
	}
	a.Namespace = namespace
	a.Spec.Image.Repository, a.Spec.Image.Digest = image.Repository, image.Digest
	for _, c := range change {
		c(&a.Spec)
	}
	return a
}

// turn sends an agent an event until it answers with one of the type wanted: its model
// may come up later than itself.
func turn(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, kind string, data any, want string) *event.Event {
	t.Helper()
	e := event.New()
	e.SetID("1")
	e.SetType(kind)
	e.SetSource("/e2e")
	if raw, ok := data.([]byte); ok {
		data = json.RawMessage(raw)
	}
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		t.Fatal(err)
	}
	var answer *event.Event
	var status int
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (done bool, err error) {
		status, answer, err = clients.Send(ctx, a.Status.URL, e, false)
		return status == http.StatusOK && answer != nil && answer.Type() == want, err
	})
	if err != nil {
		t.Fatalf("%s answered %s with %d %v, want %s: %v", a.Name, kind, status, answer, want, err)
	}
	return answer
}
