package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/eventing/pkg/apis/eventing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestRun_Drains: an event goes through, and on SIGTERM the connections to RabbitMQ
// outlive deliveries and requests.
func TestRun_Drains(t *testing.T) {
	r := start(t, nil)
	r.until("it lives", func() bool {
		code, _ := r.status(http.MethodGet, r.options.Control, "/healthz")
		return code == http.StatusOK
	})
	if r.ready() {
		t.Error("it is ready without RabbitMQ")
	}
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	r.engine.up.Store(false) // a replica that was connected stays ready and answers 503
	if !r.ready() {
		t.Error("it is not ready when RabbitMQ is away later")
	}
	if code := r.post(); code != http.StatusAccepted {
		t.Errorf("status %d", code)
	}
	r.assertStored()
	if code, body := r.status(http.MethodPost, r.options.Control, "/generations"); code != http.StatusOK || body != "{}" {
		t.Errorf("generations: %d %s", code, body)
	}
	if _, body := r.status(http.MethodGet, r.options.Metrics, "/metrics"); !strings.Contains(body, "lambda_broker_blocked 1") || !strings.Contains(body, "lambda_broker_connections 2") ||
		!strings.Contains(body, `kn_eventing_dispatch_duration_seconds_count{http_response_status_code="202",kn_broker_name="default",kn_broker_namespace="team"} 1`) {
		t.Errorf("metrics: %s", body)
	}
	if code, _ := r.status(http.MethodGet, r.options.Profiling, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiling answers %d although it is off", code)
	}
	r.stop()
	<-r.dispatcher.stopped
	r.until("it is not ready", func() bool { return !r.ready() })
	r.until("it accepts no more events", func() bool { return r.post() == 0 })
	select {
	case <-r.engine.closed:
		t.Error("the connections were closed while events are delivered")
	default:
	}
	if code, _ := r.status(http.MethodGet, r.options.Metrics, "/metrics"); code != http.StatusOK {
		t.Errorf("metrics answer %d while events are delivered", code)
	}
	close(r.dispatcher.finish)
	r.end()
	<-r.engine.closed
}

func (r *running) assertStored() {
	r.Helper()
	e := r.stored("lambda.t.team.orders.t")
	if e.ID() != "1" || fmt.Sprint(e.Extensions()["knativebrokerttl"]) != "255" {
		r.Errorf("stored %v", e)
	}
}

// stored is an event that is taken from a queue.
func (r *running) stored(name string) *cloudevents.Event {
	r.Helper()
	got := make(chan *queue.Message, 1)
	consumption, err := r.engine.Consume(r.Context(), queue.Consumer{Queue: name, Scope: "team", Prefetch: 1, Handler: func(_ context.Context, d queue.Delivery) {
		got <- d.Message()
		_ = d.Ack()
	}})
	if err != nil {
		r.Fatal(err)
	}
	defer consumption.Close()
	select {
	case m := <-got:
		e, err := event.Decode(m)
		if err != nil {
			r.Fatal(err)
		}
		return e
	case <-time.After(10 * time.Second):
		r.Fatal("no event was stored in " + name)
	}
	return nil
}

// TestRun_WhenPart: each part runs alone.
func TestRun_WhenPart(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare            func(r *running)
		events, dispatches bool
	}{
		"ingress":    {prepare: func(r *running) { r.options.NewDispatcher = nil }, events: true},
		"dispatcher": {prepare: func(r *running) { r.options.Ingress = false }, dispatches: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, tc.prepare)
			r.engine.up.Store(true)
			r.until("it is ready", r.ready)
			if code := r.post(); (code == http.StatusAccepted) != tc.events {
				t.Errorf("posting an event: status %d", code)
			}
			if code, _ := r.status(http.MethodPost, r.options.Control, "/generations"); (code == http.StatusOK) != tc.dispatches {
				t.Errorf("asking for generations: status %d", code)
			}
			close(r.dispatcher.finish)
			r.stop()
			r.end()
		})
	}
}

// TestRun_WhenServerFails: the program ends, so that it is started again.
func TestRun_WhenServerFails(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, prepare := range map[string]func(r *running){
		"events":  func(r *running) { r.options.Events = taken.Addr().String() },
		"metrics": func(r *running) { r.options.Metrics = taken.Addr().String() },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, prepare)
			close(r.dispatcher.finish)
			select {
			case err := <-r.ended:
				if err == nil || !strings.Contains(err.Error(), "address already in use") {
					t.Errorf("Run() = %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the program goes on without one of its servers")
			}
		})
	}
}

// TestRun_WhenEventingIsMissing: the program is ready, and begins when it is installed.
func TestRun_WhenEventingIsMissing(t *testing.T) {
	var present atomic.Bool
	r := start(t, func(r *running) {
		r.options.Recheck = time.Millisecond
		r.eventing.Resources = nil
		r.eventing.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
			if present.Load() {
				r.eventing.Resources = installed
			}
			return false, nil, nil
		})
	})
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	if r.post() != 0 {
		t.Error("it accepts events without Brokers")
	}
	present.Store(true)
	r.until("it accepts events", func() bool { return r.post() == http.StatusAccepted })
	close(r.dispatcher.finish)
	r.stop()
	r.end()
}

// TestRun_WithoutRabbitMQ: an installation without events is complete, and senders are
// answered.
func TestRun_WithoutRabbitMQ(t *testing.T) {
	r := start(t, func(r *running) { r.options.Credentials = t.TempDir() })
	r.until("it is ready", r.ready)
	if err := r.engine.Engine.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := r.post(); code != http.StatusServiceUnavailable {
		t.Errorf("status %d", code)
	}
	close(r.dispatcher.finish)
	r.stop()
	r.end()
}

// TestRun_WhenBundlesAreForbidden: the right to read CA certificates is optional.
func TestRun_WhenBundlesAreForbidden(t *testing.T) {
	r := start(t, func(r *running) {
		r.kube.PrependReactor("list", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if a.(clienttesting.ListAction).GetListRestrictions().Labels.Empty() {
				return false, nil, nil // the features
			}
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", nil)
		})
	})
	r.engine.up.Store(true)
	r.until("it accepts events", func() bool { return r.post() == http.StatusAccepted })
	close(r.dispatcher.finish)
	r.stop()
	r.end()
}

// TestRun_WhenEncryptionIsStrict: senders have to use TLS, with a certificate that may come
// later.
func TestRun_WhenEncryptionIsStrict(t *testing.T) {
	folder := t.TempDir()
	r := start(t, func(r *running) {
		r.options.EventsTLS, r.options.Certificate = free(t), folder
		features := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: "config-features"}, Data: map[string]string{"transport-encryption": "strict"}}
		if _, err := r.kube.CoreV1().ConfigMaps(features.Namespace).Update(t.Context(), features, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	r.until("it refuses plain HTTP", func() bool { return r.post() == http.StatusNotFound })
	pool := writeCertificate(t, folder)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "broker", MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+r.options.EventsTLS+"/team/default", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("status %d", response.StatusCode)
	}
	client.CloseIdleConnections()
	close(r.dispatcher.finish)
	r.stop()
	r.end()
}

func TestSlim(t *testing.T) {
	t.Parallel()
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{lastApplied: "{}", eventing.BrokerClassKey: "x"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	got, err := slim(b)
	if o, ok := got.(*eventingv1.Broker); err != nil || !ok || o.ManagedFields != nil || len(o.Annotations) != 1 || o.Annotations[eventing.BrokerClassKey] != "x" {
		t.Errorf("slim() = %+v, %v", got, err)
	}
}
