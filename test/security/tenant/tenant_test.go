//go:build e2e

// Package tenant attacks a running cluster as a tenant would: with the credentials of a
// ServiceAccount that may edit one namespace, and from that namespace's pods. Each test
// asserts that the attack has no effect beyond the namespace. Attacks that would hurt
// others are small and bounded in number and time.
package tenant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/plugin"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	operatorNamespace = "knative-lambda"
	// soon is how long the operator may take to react to an object.
	soon = time.Minute
	// window is how long a test looks on whether something happens that must not.
	window = 10 * time.Second
	// interval of looking.
	interval = 200 * time.Millisecond
	// patience is what a tenant may have to wait while another one attacks.
	patience = 2 * time.Second
)

// admin observes what an attack has done; it attacks nothing.
var admin *test.Clients

func TestMain(m *testing.M) {
	var err error
	if admin, err = test.NewClients(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// within bounds a test whose right outcome comes soon.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// needsRabbitMQ skips tests of brokers and dead letters where there is no RabbitMQ.
func needsRabbitMQ(t *testing.T) {
	t.Helper()
	if os.Getenv("LAMBDA_RABBITMQ_URL") == "" {
		t.Skip("LAMBDA_RABBITMQ_URL: missing; bring up the cluster with --with=eventing")
	}
}

// python is a function with one file of Python and one replica at most.
func python(a *test.Tenant, name, code string, change ...func(*v1alpha1.LambdaFunctionSpec)) *v1alpha1.LambdaFunction {
	f := &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: name},
		Spec: v1alpha1.LambdaFunctionSpec{
			Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: code}},
			Runtime: v1alpha1.FunctionRuntime{Language: "python", Version: "3.11"},
			Scaling: v1alpha1.ScalingSpec{MaxReplicas: ptr.Int32(1)},
		},
	}
	for _, c := range change {
		c(&f.Spec)
	}
	return f
}

// greeting is a handler that answers with the text.
func greeting(text string) string {
	return fmt.Sprintf("def handler(event, context):\n    return %q\n", text)
}

func createFunction(ctx context.Context, t *testing.T, a *test.Tenant, f *v1alpha1.LambdaFunction) *v1alpha1.LambdaFunction {
	t.Helper()
	created, err := a.Lambda.LambdaV1alpha1().LambdaFunctions(a.Namespace).Create(ctx, f, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// ready makes a function and waits until it serves.
func ready(ctx context.Context, t *testing.T, a *test.Tenant, f *v1alpha1.LambdaFunction) *v1alpha1.LambdaFunction {
	t.Helper()
	f, err := a.AwaitFunction(ctx, test.Key(createFunction(ctx, t, a, f)), "Ready", (*v1alpha1.LambdaFunction).IsReady)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// nowhere is no image: what a test looks at does not wait for the agent to run.
var nowhere = v1alpha1.ImageReference{Repository: "localhost:5001/nowhere/agent", Tag: "1"}

func agent(a *test.Tenant, name string, change ...func(*v1alpha1.LambdaAgentSpec)) *v1alpha1.LambdaAgent {
	made := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: name}, Spec: v1alpha1.LambdaAgentSpec{Image: nowhere}}
	for _, c := range change {
		c(&made.Spec)
	}
	return made
}

func createAgent(ctx context.Context, t *testing.T, a *test.Tenant, made *v1alpha1.LambdaAgent) *v1alpha1.LambdaAgent {
	t.Helper()
	created, err := a.Lambda.LambdaV1alpha1().LambdaAgents(a.Namespace).Create(ctx, made, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// eventful agents have a broker.
func eventful(s *v1alpha1.LambdaAgentSpec) {
	if s.Eventing == nil {
		s.Eventing = &v1alpha1.AgentEventing{}
	}
	s.Eventing.Enabled = true
}

// manifest of an object of this project in a tenant's namespace, with a spec as people
// write it: the API server gets it as it is here.
func manifest(a *test.Tenant, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": lambda.GroupName + "/v1alpha1", "kind": kind,
		"metadata": map[string]any{"namespace": a.Namespace, "name": name}, "spec": spec,
	}}
}

// refused checks that the API server has refused an object because of what it says, with
// a message that has all the words.
func refused(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: admitted, want it refused", what)
	case apierrs.IsInternalError(err), apierrs.IsTimeout(err), apierrs.IsServerTimeout(err), apierrs.IsServiceUnavailable(err),
		apierrs.IsUnexpectedServerError(err), errors.Is(err, context.DeadlineExceeded):
		t.Errorf("%s: the API server had no answer of the webhook: %v", what, err)
	default:
		test.Contains(t, what, err.Error(), words...)
	}
}

// never looks on for a while whether something happens, and returns what did.
func never(ctx context.Context, t *testing.T, looks func(context.Context) (happened string, err error)) string {
	t.Helper()
	var seen string
	err := wait.PollUntilContextTimeout(ctx, interval, window, true, func(context.Context) (bool, error) {
		happened, err := looks(ctx) // the last look may end after the window
		seen = happened
		return happened != "", err
	})
	if err != nil && !wait.Interrupted(err) {
		t.Fatal(err)
	}
	return seen
}

// kubectlLambda runs the plugin to its end, as an administrator, and returns all that it
// prints.
func kubectlLambda(ctx context.Context, namespace string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := plugin.NewCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out})
	cmd.SetArgs(append([]string{"--kubeconfig", os.Getenv("KUBECONFIG"), "--namespace", namespace}, args...))
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

// trap is a server of the cluster that no tenant may make the operator talk to, with a
// secret in its answers.
type trap struct {
	requests chan string
	status   int
}

const trapSecret = "SECRET-OF-AN-INTERNAL-SERVICE"

func newTrap(status int) *trap { return &trap{requests: make(chan string, 64), status: status} }

func (s *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.requests <- fmt.Sprintf("%s %s, Authorization %q", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization")):
	default:
	}
	http.Error(w, trapSecret, s.status)
}

// untouched looks on for a while whether a request comes.
func (s *trap) untouched(ctx context.Context, t *testing.T, who string) {
	t.Helper()
	select {
	case request := <-s.requests:
		t.Errorf("%s has sent %s", who, request)
	case <-time.After(window):
	case <-ctx.Done():
		t.Error(ctx.Err())
	}
}
