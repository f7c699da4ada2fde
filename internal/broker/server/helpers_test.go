package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubefake "k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	"knative.dev/eventing/pkg/apis/eventing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingfake "knative.dev/eventing/pkg/client/clientset/versioned/fake"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	lambdafake "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
)

const operator = "knative-lambda"

// installed kinds of Knative Eventing, as discovery lists them.
var installed = []*metav1.APIResourceList{{GroupVersion: "eventing.knative.dev/v1"}}

// engine in memory that is ready when it is switched on.
type engine struct {
	*memory.Engine
	up     atomic.Bool
	closed chan struct{}
}

func (e *engine) Ready() error {
	if e.up.Load() {
		return nil
	}
	return queue.ErrUnavailable
}

func (e *engine) Close(ctx context.Context) error {
	close(e.closed)
	return e.Engine.Close(ctx)
}

func (*engine) Blocked() bool    { return true }
func (*engine) Connections() int { return 2 }

// fakeDispatcher notes what is called.
type fakeDispatcher struct {
	dependencies *Dependencies
	stopped      chan struct{}
	finish       chan struct{}
}

func (d *fakeDispatcher) Watch(context.Context) error {
	if _, err := d.dependencies.Triggers.Lister().Triggers("team").Get("orders"); err != nil {
		return err
	}
	return nil
}

func (*fakeDispatcher) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /generations", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
}

func (d *fakeDispatcher) Stop(ctx context.Context) error {
	close(d.stopped)
	select {
	case <-d.finish:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type running struct {
	*testing.T
	engine     *engine
	dispatcher *fakeDispatcher
	kube       *kubefake.Clientset
	eventing   *eventingfake.Clientset
	options    Options
	other      Engine // instead of engine; nil for that
	stop       context.CancelFunc
	ended      chan error
}

func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func start(t *testing.T, prepare func(r *running)) *running {
	t.Helper()
	t.Setenv(system.NamespaceEnvKey, operator)
	broker := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "default", UID: "uid", Annotations: map[string]string{eventing.BrokerClassKey: lambda.BrokerClass, lastApplied: "{}"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orders", UID: "t"}, Spec: eventingv1.TriggerSpec{Broker: "default"}}
	features := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "config-features"}}
	r := &running{T: t, engine: &engine{Engine: memory.New(), closed: make(chan struct{})}, ended: make(chan error, 1)}
	r.dispatcher = &fakeDispatcher{stopped: make(chan struct{}), finish: make(chan struct{})}
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "username"), []byte("u"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.options = Options{
		Credentials: credentials, Permit: func(string, string, netip.Addr) error { return nil },
		Namespace: operator, EventingNamespace: "knative-eventing", Ingress: true,
		Events: free(t), Control: free(t), Metrics: free(t), Profiling: free(t), LameDuck: time.Millisecond,
		NewDispatcher: func(_ context.Context, d *Dependencies) (Dispatcher, error) {
			r.dispatcher.dependencies = d
			return r.dispatcher, nil
		},
	}
	name := routing.Queue(trigger)
	if err := errors.Join(r.engine.Declare(t.Context(), queue.Declaration{Name: name}), r.engine.Bind(t.Context(), name, routing.Binding("uid", trigger))); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	r.kube, r.eventing = kubefake.NewClientset(features), eventingfake.NewSimpleClientset(broker, trigger)
	r.eventing.Resources = installed
	if prepare != nil {
		prepare(r)
	}
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	clients := Clients{
		Kube: r.kube, Eventing: r.eventing, Config: &rest.Config{Host: "https://127.0.0.1:1"},
		Metadata: metadatafake.NewSimpleMetadataClient(scheme), Lambda: lambdafake.NewSimpleClientset(),
	}
	var used Engine = r.engine
	if r.other != nil {
		used = r.other
	}
	go func() { r.ended <- Run(ctx, clients, used, r.options) }()
	return r
}

// feature of Knative Eventing.
func (r *running) feature(name string, enabled bool) {
	r.Helper()
	value := map[bool]string{true: "enabled", false: "disabled"}[enabled]
	features := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "config-features"}, Data: map[string]string{name: value}}
	if _, err := r.kube.CoreV1().ConfigMaps(features.Namespace).Update(r.Context(), features, metav1.UpdateOptions{}); err != nil {
		r.Fatal(err)
	}
}

// status of a request; 0 without an answer.
func (r *running) status(method, address, path string, header ...string) (int, string) {
	r.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), method, "http://"+address+path, strings.NewReader("{}"))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r *running) post() int {
	code, _ := r.status(http.MethodPost, r.options.Events, "/team/default", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t")
	return code
}

func (r *running) until(what string, done func() bool) {
	r.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatal("waited in vain until " + what)
		}
	}
}

func (r *running) ready() bool {
	code, _ := r.status(http.MethodGet, r.options.Control, "/readyz")
	return code == http.StatusOK
}

func (r *running) end() {
	r.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			r.Errorf("Run() = %v", err)
		}
	case <-time.After(20 * time.Second):
		r.Fatal("the program does not end")
	}
}
