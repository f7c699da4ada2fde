package plane

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func TestConnections_ReportChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topology := ltesting.NewTopology()
		c := NewConnections()
		var mu sync.Mutex
		var reports []bool // whether it worked
		c.Observe(func(name string) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, c.Get(name).Err() == nil)
		})
		connection := c.Add("", topology)
		if connection.Checked() || connection.Err() == nil {
			t.Error("checked before it was tried")
		}
		ctx, stop := context.WithCancel(t.Context())
		go c.Run(ctx, connection)
		expect := func(after time.Duration, want ...bool) {
			t.Helper()
			time.Sleep(after)
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, reports); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		}
		expect(time.Second, true)
		topology.Fail(errors.New("away"))
		expect(time.Second, true) // it is checked each minute
		c.Check("")               // and when an operation has failed
		expect(time.Second, true, false)
		topology.Fail(nil)
		topology.Lose()
		topology.Writes()
		expect(downInterval, true, false, true)
		shared := []string{
			"exchange lambda.events", "declare lambda.delay.10s", "declare lambda.delay.30s", "declare lambda.delay.2m", "declare lambda.delay.10m",
			"declare lambda.outcomes",
		}
		if diff := cmp.Diff(shared, topology.Writes()); diff != "" {
			t.Error("what Triggers share is not declared again (-want, +got):", diff)
		}
		expect(3*checkInterval, true, false, true)
		c.Check("unknown")
		stop()
		synctest.Wait()
	})
}

// withoutStreams is a RabbitMQ that has no streams.
type withoutStreams struct{ *ltesting.Topology }

func (w withoutStreams) Declare(ctx context.Context, d queue.Declaration) error {
	if d.Kind == queue.Stream {
		return errors.New("streams are disabled")
	}
	return w.Topology.Declare(ctx, d)
}

// TestConnection_Outcomes: the stream of outcomes is on the RabbitMQ of the installation
// only, and the first error of several is logged.
func TestConnection_Outcomes(t *testing.T) {
	t.Parallel()
	topology := ltesting.NewTopology()
	if err := newConnection("team.a", topology).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if writes := topology.Writes(); slices.Contains(writes, "declare lambda.outcomes") {
		t.Errorf("the RabbitMQ of a Broker got %v", writes)
	}
	core, logs := observer.New(zap.InfoLevel)
	ctx := logging.WithLogger(t.Context(), zap.New(core).Sugar())
	own := newConnection("", withoutStreams{topology})
	for range 3 {
		if err := own.Check(ctx); err != nil {
			t.Errorf("without streams the connection fails: %v", err)
		}
	}
	if got := logs.All(); len(got) != 1 || got[0].ContextMap()["error"] != "streams are disabled" {
		t.Errorf("logged %v, want one error", got)
	}
	own.Topology = topology
	if err := own.Check(ctx); err != nil || !slices.Contains(topology.Writes(), "declare lambda.outcomes") {
		t.Errorf("Check() = %v, or the stream was not declared", err)
	}
	own.Topology = withoutStreams{topology}
	if err := own.Check(ctx); err != nil || logs.Len() != 2 {
		t.Errorf("Check() = %v, logged %v; want the new error", err, logs.All())
	}
}

func endpoint(address string, ready *bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
}

func TestEndpoints_Ready(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	e := &Endpoints{Slices: cache.NewStore(cache.MetaNamespaceKeyFunc), Secret: cache.NewStore(cache.MetaNamespaceKeyFunc)}
	if len(e.Ready()) != 0 || e.CACerts() != nil {
		t.Error("something without anything")
	}
	for name, endpoints := range map[string][]discoveryv1.Endpoint{
		"a": {endpoint("10.0.0.2", &yes), endpoint("10.0.0.3", &no), endpoint("10.0.0.1", nil)},
		"b": {endpoint("10.0.0.2", &yes), endpoint("fd00::1", &yes)},
	} {
		if err := e.Slices.Add(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-lambda", Name: name}, Endpoints: endpoints}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"10.0.0.1:8083", "10.0.0.2:8083", "[fd00::1]:8083"}, e.Ready()); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if err := e.Secret.Add(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: CertificateSecret}, Data: map[string][]byte{"ca.crt": []byte("CA")}}); err != nil {
		t.Fatal(err)
	}
	if ca := e.CACerts(); ca == nil || *ca != "CA" {
		t.Errorf("CA %v", ca)
	}
}

func TestConfiguration_Features(t *testing.T) {
	t.Parallel()
	c := &Configuration{}
	changes := 0
	h := c.Handler(func() { changes++ }, func(err error) { t.Error(err) })
	if c.Features().IsOIDCAuthentication() {
		t.Error("a feature is on by default")
	}
	cm := func(key, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config-features"}, Data: map[string]string{key: value}}
	}
	h.OnAdd(cm(feature.OIDCAuthentication, "enabled"), true)
	if !feature.FromContext(c.ToContext(t.Context())).IsOIDCAuthentication() {
		t.Error("the feature is not on the context")
	}
	h.OnDelete(nil)
	if c.Features().IsOIDCAuthentication() || changes < 2 {
		t.Errorf("the feature stays without the ConfigMap, or %d changes were reported, want two", changes)
	}
}

func TestInformers_SeeOnlyWhatIsSelected(t *testing.T) {
	t.Parallel()
	named := func(namespace, name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}
	}
	plane := map[string]string{discoveryv1.LabelServiceName: Service}
	kube := fake.NewClientset(
		&discoveryv1.EndpointSlice{ObjectMeta: named("knative-lambda", "a", plane)},
		&discoveryv1.EndpointSlice{ObjectMeta: named("other", "b", plane)},
		&discoveryv1.EndpointSlice{ObjectMeta: named("knative-lambda", "c", nil)},
		&corev1.ServiceAccount{ObjectMeta: named("team", "oidc", map[string]string{"eventing.knative.dev/oidc": "enabled"})},
		&corev1.ServiceAccount{ObjectMeta: named("team", "default", nil)},
	)
	i := NewInformers(kube, 0, "knative-lambda")
	i.Start(t.Context())
	for what, store := range map[string]cache.Store{"a": i.EndpointSlices.GetStore(), "oidc": i.Identities.GetStore()} {
		if got := store.ListKeys(); len(got) != 1 || !slices.ContainsFunc(got, func(k string) bool { _, n, _ := cache.SplitMetaNamespaceKey(k); return n == what }) {
			t.Errorf("cache has %v, want %s", got, what)
		}
		for _, o := range store.List() {
			if o.(metav1.Object).GetManagedFields() != nil {
				t.Error("the cache has managed fields")
			}
		}
	}
}
