//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const operatorNamespace = "knative-lambda"

// receiverPost posts an event to the receiver, through the API server.
func receiverPost(ctx context.Context, t *testing.T, path string, e event.Event) (int, *event.Event, string) {
	t.Helper()
	client, err := rest.HTTPClientFor(clients.Config)
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSuffix(clients.Config.Host, "/") + "/api/v1/namespaces/" + operatorNamespace + "/services/http:knative-lambda-receiver:80/proxy" + path
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := cehttp.WriteRequest(binding.WithForceStructured(ctx), binding.ToMessage(&e), r); err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	message := cehttp.NewMessageFromHttpResponse(response)
	if message.ReadEncoding() == binding.EncodingUnknown {
		return response.StatusCode, nil, string(body)
	}
	answer, err := binding.ToEvent(ctx, message)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return response.StatusCode, answer, string(body)
}

// dead waits until a function has so many dead letters.
func dead(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, n int) []receiverv1.DeadLetter {
	t.Helper()
	return deadLetters(ctx, t, f.Namespace, f.Name, n)
}

// deadLetters are those of whom the plugin is asked for.
func deadLetters(ctx context.Context, t *testing.T, namespace, owner string, n int) []receiverv1.DeadLetter {
	t.Helper()
	var list receiverv1.DeadLetterList
	there := -1 // when they were last listed
	var said string
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		list = receiverv1.DeadLetterList{}
		if said, last = kubectlLambda(ctx, namespace, "dlq", "list", owner, "-o", "json", "--limit", strconv.Itoa(receiverv1.MaxListed)); last == nil {
			last = json.Unmarshal([]byte(said), &list)
		}
		if last == nil {
			there = len(list.Items)
		}
		return last == nil && len(list.Items) == n, nil // the receiver may be starting
	})
	if err != nil {
		t.Fatalf("%d dead letters did not come: %v; there were %d; last: %v: %s", n, err, there, last, said)
	}
	return list.Items
}

// TestDeadLettersThroughTheBroker: what a function could not take is listed, shown,
// and after a repair replayed, so that none is missing; its reply goes where the
// broker would have sent it.
func TestDeadLettersThroughTheBroker(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	broker := types.NamespacedName{Namespace: namespace, Name: "default"}
	f := python(namespace, "moody", "def handler(event, context):\n    raise ValueError('not today')\n")
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(1), RetryBackoffDelay: v1alpha1.NewDuration(100 * time.Millisecond)}}
	f = ready(ctx, t, create(ctx, t, f))
	reached(ctx, t, f.Status.URL)

	const many = 12
	for i := range many {
		e := newEvent(fmt.Sprintf("order-%02d", i), "io.knative.lambda.invoke.async", "/e2e")
		e.SetSubject(namespace + "/" + f.Name)
		publish(ctx, t, broker, e)
	}
	letters := dead(ctx, t, f, many)
	l := letters[slices.IndexFunc(letters, func(l receiverv1.DeadLetter) bool { return l.ID == "order-03" })]
	if l.ErrorCode != http.StatusInternalServerError || l.Attempts != 2 || !strings.Contains(l.Origin, f.Name) || l.DeadTime == "" || l.ErrorReason == "" || l.Source != "/e2e" {
		t.Errorf("letter = %+v, want code 500 after 2 attempts, and where from", l)
	}
	said, err := kubectlLambda(ctx, namespace, "dlq", "show", f.Name, "order-03")
	if err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "dlq show", said, "order-03", "500", `{"of":"order-03"}`)
	if said, err = kubectlLambda(ctx, namespace, "dlq", "list", f.Name); err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "dlq list", said, "ID", "REASON", "order-11")

	// Not repaired yet: it stays.
	said, err = kubectlLambda(ctx, namespace, "dlq", "replay", f.Name, "order-03")
	if err == nil {
		t.Error("a replay to a function that fails was a success")
	}
	test.Contains(t, "dlq replay", said, "not delivered", "500", "0 delivered, 1 stay")
	dead(ctx, t, f, many)

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Source.Inline.Code = "def handler(event, context):\n    print('handled', context.id, context.extensions.get('lambdaretry'))\n    return event\n"
		s.Scaling.MinReplicas = ptr.Int32(1)
	}))
	settle(ctx, t, f, "{}")
	if said, err = kubectlLambda(ctx, namespace, "dlq", "purge", f.Name, "order-00"); err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "dlq purge", said, "1 removed")
	if said, err = kubectlLambda(ctx, namespace, "dlq", "replay", f.Name, "--all"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	test.Contains(t, "dlq replay --all", said, fmt.Sprintf("%d delivered, 0 stay", many-1))
	dead(ctx, t, f, 0)
	logs, err := kubectlLambda(ctx, namespace, "logs", f.Name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < many; i++ {
		test.Contains(t, "the function's log", logs, fmt.Sprintf("handled order-%02d 1", i))
	}
}

// TestDeadLetterThatHasNoQueue: the receiver does not take what it cannot keep.
func TestDeadLetterThatHasNoQueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	status, _, said := receiverPost(ctx, t, pathOf(ctx, t, receiverpath.Target{Purpose: receiverpath.DeadLetters, Kind: receiverpath.Function, Namespace: "nowhere", Name: "nobody"}), *deadEvent("1", "x"))
	if status != http.StatusServiceUnavailable {
		t.Errorf("answer = %d %s, want 503", status, said)
	}
	for _, path := range []string{"/dead-letters/nowhere", "/dead-letters/nowhere/nobody", "/dead-letters/nowhere/nobody/0123456789abcdefghijklmnop"} {
		if status, _, said := receiverPost(ctx, t, path, *deadEvent("1", "x")); status != http.StatusForbidden {
			t.Errorf("answer to %s, which the operator has not made = %d %s, want 403", path, status, said)
		}
	}
}

// optIn lets commands into a namespace, from one source.
func optIn(ctx context.Context, t *testing.T, namespace string, source string, verbs ...string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "lambda-commands"}
	_, err := clients.Kube.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"sources": source}}, metav1.CreateOptions{})
	if err == nil {
		_, err = clients.Kube.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = clients.Kube.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"lambda.knative.io"}, Resources: []string{"lambdafunctions"}, Verbs: verbs,
		}}}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = clients.Kube.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: meta.Name}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// applySample applies all objects of a sample in another namespace.
func applySample(ctx context.Context, t *testing.T, name, namespace string) {
	t.Helper()
	text, err := os.ReadFile("../../config/samples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range bytes.Split(bytes.ReplaceAll(text, []byte("knative-"+strings.TrimSuffix("lambda-"+name, ".yaml")), []byte(namespace)), []byte("\n---\n")) {
		o, err := test.Parse(manifest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clients.Apply(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
}

func newCommand(kind, id, source, subject string, data any) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType(kind)
	e.SetSource(source)
	e.SetSubject(subject)
	if data != nil {
		if err := e.SetData("application/json", data); err != nil {
			panic(err)
		}
	}
	return e
}

func inlineSpec(words string) map[string]any {
	return map[string]any{
		"source":  map[string]any{"inline": map[string]any{"code": greeting(words)}},
		"runtime": map[string]any{"language": "python", "version": "3.11"},
	}
}

// TestCommands: deploy makes a function, the same command again has no second
// effect, another changes it, and delete removes it for good.
func TestCommands(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	applySample(ctx, t, "commands.yaml", namespace)
	subject := namespace + "/shop"
	key := types.NamespacedName{Namespace: namespace, Name: "shop"}

	deploy := newCommand(events.CommandFunctionDeploy, "1", "/ci/main", subject, map[string]any{"spec": inlineSpec("one")})
	status, first, said := receiverPost(ctx, t, "/", deploy)
	if status != http.StatusOK || first.Type() != events.ResponseSuccess || first.Extensions()[events.CausationExtension] != "1" {
		t.Fatalf("deploy was answered %d %s", status, said)
	}
	f, err := clients.AwaitFunction(ctx, key, "Ready", (*v1alpha1.LambdaFunction).IsReady)
	if err != nil {
		t.Fatal(err)
	}
	answers(ctx, t, f, greetingBody("one"))

	change := newCommand(events.CommandFunctionDeploy, "2", "/ci/main", subject, map[string]any{"spec": inlineSpec("two")})
	if status, _, said := receiverPost(ctx, t, "/commands", change); status != http.StatusOK {
		t.Fatalf("a change was answered %d %s", status, said)
	}
	// The first again: the same answer, and the change stays.
	status, again, said := receiverPost(ctx, t, "/", deploy)
	if status != http.StatusOK || again.ID() != first.ID() || !bytes.Equal(again.Data(), first.Data()) {
		t.Errorf("the same command again was answered %d %s, want what it was before: %s", status, said, first.Data())
	}
	if f, err = clients.AwaitFunction(ctx, key, "generation 2", func(f *v1alpha1.LambdaFunction) bool { return f.Generation == 2 && f.IsReady() }); err != nil {
		t.Fatal(err)
	}
	answers(ctx, t, f, greetingBody("two"))

	if status, _, said := receiverPost(ctx, t, "/", newCommand(events.CommandFunctionDelete, "3", "/ci/main", subject, nil)); status != http.StatusOK {
		t.Fatalf("delete was answered %d %s", status, said)
	}
	if err := clients.AwaitFunctionGone(ctx, key); err != nil {
		t.Fatal(err)
	}
	// A command of before brings nothing back to life.
	if status, _, said := receiverPost(ctx, t, "/", deploy); status != http.StatusOK {
		t.Errorf("the first command after all was answered %d %s", status, said)
	}
	if _, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(namespace).Get(ctx, "shop", metav1.GetOptions{}); err == nil {
		t.Error("a command of before has made the function again")
	}
}

// TestCommandsThatAreRefused: each with a clear answer and without an effect.
func TestCommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	closed, open := clients.Namespace(ctx, t), clients.Namespace(ctx, t)
	optIn(ctx, t, open, "/ci/main", "get") // may look and change nothing
	spec := map[string]any{"spec": inlineSpec("never")}
	for _, tt := range []struct {
		name   string
		event  event.Event
		status int
		kind   string
		want   []string
	}{
		{"a namespace that has not opted in", newCommand(events.CommandFunctionDeploy, "1", "/ci/main", closed+"/f", spec), 403, "NotOptedIn", []string{closed, "lambda-commands"}},
		{"a source that is not listed", newCommand(events.CommandFunctionDeploy, "1", "/ci/other", open+"/f", spec), 403, "SourceNotAllowed", []string{"/ci/other"}},
		{"more than the namespace gives", newCommand(events.CommandFunctionDeploy, "2", "/ci/main", open+"/f", spec), 403, "Forbidden", []string{"system:serviceaccount:" + open + ":lambda-commands", "lambdafunctions"}},
		{"dead letters without the right", newCommand(events.CommandDeadLetterList, "3", "/ci/main", open+"/f", nil), 403, "Forbidden", []string{"lambdafunctions/deadletters"}},
		{"an unknown type", newCommand("io.knative.lambda.command.function.explode", "1", "/ci/main", open+"/f", nil), 400, "UnknownType", []string{"explode"}},
		{"data that is missing", newCommand(events.CommandFunctionDeploy, "1", "/ci/main", open+"/f", nil), 400, "InvalidData", []string{"spec"}},
		{"a field that is misspelt", newCommand(events.CommandFunctionRollback, "1", "/ci/main", open+"/f", map[string]any{"revison": "x"}), 400, "InvalidData", []string{"revison"}},
		{"two functions in one", newCommand(events.CommandFunctionDelete, "1", "/ci/main", open+"/f", map[string]any{"namespace": closed}), 400, "InvalidData", []string{"subject"}},
		{"no function at all", newCommand(events.CommandFunctionDelete, "1", "/ci/main", "", nil), 400, "InvalidData", []string{"<namespace>/<name>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer, said := receiverPost(ctx, t, "/", tt.event)
			if answer == nil || answer.Type() != events.ResponseError || status != tt.status {
				t.Fatalf("answer = %d %s, want %d and an error event", status, said, tt.status)
			}
			var e events.Error
			if err := answer.DataAs(&e); err != nil || e.Type != tt.kind || !e.Permanent {
				t.Errorf("error = %+v (%v), want a permanent %s", e, err, tt.kind)
			}
			test.Contains(t, "the error", e.Message, tt.want...)
		})
	}
	if list, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(open).List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
		t.Errorf("functions = %v (%v), want none", list.Items, err)
	}
}

// TestLifecycleEvents: a sink hears of a function's life in order.
func TestLifecycleEvents(t *testing.T) {
	ctx := t.Context() // not in parallel: the sink is the cluster's
	namespace := clients.Namespace(ctx, t)
	sink := ready(ctx, t, create(ctx, t, rememberer(namespace, "sink")))
	setLifecycleSink(ctx, t, sink.Status.Address.URL.String())
	t.Cleanup(func() { setLifecycleSink(context.Background(), t, "") })

	f := ready(ctx, t, create(ctx, t, python(namespace, "told", greeting("told of in "+namespace))))
	// The sink is told what an object says, not each word of it: what passes while
	// it is being told of something else is not told.
	source := events.Source("function", namespace, "told")
	told := func(all []seen) (types []string) {
		ids := map[string]bool{}
		for _, e := range all {
			if e.Source == source && !ids[e.ID] {
				ids[e.ID] = true
				types = append(types, strings.TrimPrefix(strings.TrimPrefix(e.Type, events.Prefix), "lifecycle."))
			}
		}
		return types
	}
	times := func(types []string, one string) int {
		return len(types) - len(slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == one }))
	}
	remembers(ctx, t, sink, "the function's first revision", func(all []seen) bool { return times(told(all), "function.ready") == 1 })
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = greeting("told again in " + namespace) }))
	remembers(ctx, t, sink, "the function's second revision", func(all []seen) bool { return times(told(all), "function.ready") == 2 })
	remove(ctx, t, f)

	var types []string
	remembers(ctx, t, sink, "the end of the function", func(all []seen) bool {
		types = told(all)
		return slices.Contains(types, "function.deleted")
	})
	want := []string{"function.created", "build.started", "build.completed", "service.created", "function.ready",
		"function.updated", "build.completed", "service.updated", "function.ready", "service.deleted", "function.deleted"}
	for _, next := range types {
		if len(want) > 0 && next == want[0] {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		t.Errorf("told %v, want %v after that", types, want)
	}
}

func setLifecycleSink(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	patch := fmt.Sprintf(`{"data":{"lifecycle-sink":%q}}`, url)
	if url == "" {
		patch = `{"data":{"lifecycle-sink":null}}`
	}
	if _, err := clients.Kube.CoreV1().ConfigMaps(operatorNamespace).Patch(ctx, "config-events", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
}
