//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// coldStart is how soon the first answer from zero has to be there.
const coldStart = 5 * time.Second

// listing serves the folder it stands in: any image with Python will do.
var listing = []string{"python3", "-m", "http.server", "8080"}

// TestImageSource runs a ready-made image: nothing is built.
func TestImageSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	base := ready(ctx, t, create(ctx, t, python(namespace, "base", greeting("a base for others"))))
	repository, digest, _ := strings.Cut(base.Status.Build.Image, "@")
	f := ready(ctx, t, create(ctx, t, &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ready-made"},
		Spec: v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{
			ImageReference: v1alpha1.ImageReference{Repository: repository, Digest: digest, Command: listing},
		}}},
	}))
	if f.Status.Build != nil {
		t.Errorf("status.build = %+v of a ready-made image, want none", f.Status.Build)
	}
	if got := f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded); got.Reason != v1alpha1.ReasonNotRequested {
		t.Errorf("BuildSucceeded = %s %s, want the reason %s", got.Status, got.Reason, v1alpha1.ReasonNotRequested)
	}
	// http.server knows no POST, and says so in its own way.
	answersWith(ctx, t, f, "the 501 of Python's own server", func(a test.Answer) bool { return a.Status == http.StatusNotImplemented })
}

// TestFromZero: a function without requests costs nothing, and answers the next
// one soon.
func TestFromZero(t *testing.T) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "sleeper", greeting("awake"))
	f.Spec.Scaling = v1alpha1.ScalingSpec{Window: v1alpha1.NewDuration(6 * time.Second), ScaleToZeroGracePeriod: v1alpha1.NewDuration(0)}
	f = ready(ctx, t, create(ctx, t, f))
	if err := clients.AwaitNoPods(ctx, namespace, "serving.knative.dev/service="+f.Name); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	answers(ctx, t, f, greetingBody("awake"))
	took := time.Since(start)
	t.Logf("first answer from zero: %v", took.Round(10*time.Millisecond))
	if took > coldStart {
		t.Errorf("the first answer from zero took %v, want at most %v", took, coldStart)
	}
}

// refusing is a registry that lets nobody push, on port 8080.
const refusing = `
from http.server import BaseHTTPRequestHandler, HTTPServer

class Registry(BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = 403, b'{"errors":[{"code":"DENIED","message":"pushing is not for you"}]}'
        if self.path == "/v2/":
            status, body = 200, b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer

HTTPServer(("", 8080), Registry).serve_forever()
`

// runRefusingRegistry runs it in a pod, from an image with Python, and returns
// its host name. Names that end in .local are plain HTTP to all that pushes.
func runRefusingRegistry(ctx context.Context, t *testing.T, namespace, image string) string {
	t.Helper()
	labels := map[string]string{"app": "refusing-registry"}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "refusing-registry", Labels: labels}
	pod, err := clients.Kube.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		AutomountServiceAccountToken:  ptr.Bool(false),
		TerminationGracePeriodSeconds: ptr.Int64(0),
		Containers: []corev1.Container{{
			Name: "registry", Image: image, Command: []string{"python3", "-c", refusing},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/v2/", Port: intstr.FromInt32(8080)}}},
		}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.Kube.CoreV1().Services(namespace).Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.AwaitPod(ctx, test.Key(pod), "Ready", test.PodReady); err != nil {
		t.Fatal(err)
	}
	return meta.Name + "." + namespace + ".svc.cluster.local"
}
