package plane

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	corev1listers "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// fakeEngine notes that it was closed.
type fakeEngine struct {
	*ltesting.Topology

	dial   egress.Dial
	closed chan struct{}
}

func (f *fakeEngine) Close(context.Context) error { close(f.closed); return nil }

// TestOpener: what the registry has is open, with the mark of this installation, and
// nothing is dialed unasked.
func TestOpener(t *testing.T) {
	t.Parallel()
	e := &fakeEngine{Topology: ltesting.NewTopology(), closed: make(chan struct{})}
	connections := NewConnections()
	connections.Claim(func() types.UID { return "me" })
	changed := make(chan string, 8)
	connections.Observe(func(name string) { changed <- name })
	refused := errors.New("refused")
	var asked string
	o := &opener{connections: connections, topology: func(_ func() *connection.Settings, dial egress.Dial) engine {
		e.dial = dial
		return e
	}, permit: func(namespace, _ string, address netip.Addr) error {
		asked = namespace + " " + address.String()
		return refused
	}}
	set := o.set(t.Context())
	set.Apply(map[string]connection.Settings{"team.a": {From: "other", Host: "h.test", QueueType: "classic"}})
	select {
	case name := <-changed:
		if c := connections.Get(name); name != "team.a" || c.Err() != nil || c.QueueType() != "classic" {
			t.Errorf("opened %q: %v", name, c)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the connection was not checked")
	}
	if writes := e.Writes(); writes[len(writes)-1] != "declare lambda.installation.me" {
		t.Errorf("declared %v", writes)
	}
	if _, err := e.dial(t.Context(), "tcp", "127.0.0.1:5672"); !errors.Is(err, refused) || asked != "other 127.0.0.1" {
		t.Errorf("dial() = %v after asking for %q", err, asked)
	}
	if _, err := connections.Get("team.a").Queues(t.Context()); !errors.Is(err, management.ErrNotConfigured) {
		t.Errorf("Queues() = %v", err)
	}
	set.Apply(nil)
	if connections.Get("team.a") != nil {
		t.Error("the connection stays")
	}
	<-e.closed
}

// TestQueuesOf: the management API is reached where the connection may lead.
func TestQueuesOf(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" || r.URL.EscapedPath() != "/api/queues/a%2Fb" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`[{"name":"lambda.delay.10s"}]`))
	}))
	defer api.Close()
	s := &connection.Settings{Management: api.URL, Username: "u", Password: "p", VirtualHost: "a/b"}
	names, err := queuesOf(t.Context(), s, egress.Dialer(func(string, netip.Addr) error { return nil }))
	if diff := cmp.Diff([]string{"lambda.delay.10s"}, names); diff != "" || err != nil {
		t.Errorf("error %v (-want, +got): %s", err, diff)
	}
	_, err = queuesOf(t.Context(), s, egress.Dialer(func(string, netip.Addr) error { return errors.New("refused") }))
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	stored := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-lambda", Name: connection.SecretName, UID: "me"}}
	kube := fake.NewClientset(stored)
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	r := &Registry{Kube: kube, Namespace: "knative-lambda", Secrets: corev1listers.NewSecretLister(indexer)}
	s := &connection.Settings{From: "team", Host: "h.test"}
	var wrong *ConfigError
	if err := r.Put(t.Context(), "team.a", s, 8); !errors.As(err, &wrong) || wrong.Reason != ReasonNotConfigured || r.Installation() != "" {
		t.Errorf("Put() without the Secret = %v", err)
	}
	sync := func() {
		t.Helper()
		o, err := kube.CoreV1().Secrets("knative-lambda").Get(t.Context(), connection.SecretName, metav1.GetOptions{})
		if err == nil {
			err = indexer.Add(o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sync()
	for range 2 { // the second time nothing is written
		if err := r.Put(t.Context(), "team.a", s, 8); err != nil {
			t.Fatal(err)
		}
		sync()
	}
	updates := func() (n int) {
		for _, a := range kube.Actions() {
			if a.GetVerb() == "update" {
				n++
			}
		}
		return n
	}
	if diff := cmp.Diff([]string{"team.a"}, r.Names()); diff != "" || updates() != 1 || r.Installation() != "me" {
		t.Errorf("%d updates; names (-want, +got): %s", updates(), diff)
	}
	kube.PrependReactor("update", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrs.NewConflict(schema.GroupResource{Resource: "secrets"}, connection.SecretName, errors.New("changed"))
	})
	if err := r.Put(t.Context(), "team.b", s, 8); !apierrs.IsConflict(err) {
		t.Errorf("Put() after another replica has written = %v", err)
	}
	kube.ReactionChain = kube.ReactionChain[1:]
	if err := r.Remove(t.Context(), "team.a", "team.unknown"); err != nil {
		t.Fatal(err)
	}
	sync()
	if len(r.Names()) != 0 || r.Remove(t.Context(), "team.a") != nil || updates() != 3 {
		t.Errorf("names %v, %d updates", r.Names(), updates())
	}
}

// TestObjects_WithoutTheKind: a cluster without RabbitMQ's operator has no RabbitmqCluster.
func TestObjects_WithoutTheKind(t *testing.T) {
	t.Parallel()
	o := &apiObjects{kube: fake.NewClientset(), dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())}
	name := types.NamespacedName{Namespace: "team", Name: "rabbit"}
	if _, err := o.RabbitmqCluster(t.Context(), name); !apierrs.IsNotFound(err) {
		t.Errorf("RabbitmqCluster() = %v", err)
	}
	if _, err := o.Secret(t.Context(), name); !apierrs.IsNotFound(err) {
		t.Errorf("Secret() = %v", err)
	}
}
