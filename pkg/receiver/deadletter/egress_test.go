package deadletter_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// TestReplay_RefusesURLsOfStatus: whatever stands in a status, nothing is sent but to
// the function's own address and to its broker's.
func TestReplay_RefusesURLsOfStatus(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*v1alpha1.LambdaFunction)
		want   string
	}{
		{"address", func(f *v1alpha1.LambdaFunction) { f.Status.Address.URL = apis.HTTP("169.254.169.254") }, "status.address.url"},
		{"path", func(f *v1alpha1.LambdaFunction) { f.Status.Address.URL.Path = "/admin" }, "status.address.url"},
		{"another namespace", func(f *v1alpha1.LambdaFunction) {
			f.Status.Address.URL = apis.HTTP("greeter.other.svc.cluster.local")
		}, "status.address.url"},
		{"broker", func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].URL = apis.HTTP("internal.other.svc") }, "status.brokers[0].url"},
		{"another broker", func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].Name = "other" }, "status.brokers[0].url"},
		{"broker's name", func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].Name = "x/y" }, "status.brokers[0].name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRecipient(t, func(string) int { return http.StatusOK })
			f := r.function()
			tt.change(f)
			s, store := service(t, f, 1, r.client())
			err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(receiverv1.ReplayResult) { t.Error("something was sent") })
			if httpapi.StatusOf(err, 0) != http.StatusConflict || !strings.Contains(err.Error(), tt.want) || len(r.got) > 0 || len(store.IDs(queue)) != 1 {
				t.Errorf("Replay() = %v, sent %v, %v stay; want an error that names %s", err, r.got, store.IDs(queue), tt.want)
			}
		})
	}
}

// TestReplay_SharedIngress: the ingress of these classes has the broker in its path.
func TestReplay_SharedIngress(t *testing.T) {
	for _, host := range []string{"knative-lambda-broker.knative-testing", "broker-ingress.knative-eventing", "kafka-broker-ingress.knative-eventing"} {
		r := newRecipient(t, func(string) int { return http.StatusOK })
		replied := ""
		broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			replied = req.URL.Path
			w.WriteHeader(http.StatusAccepted)
		}))
		defer broker.Close()
		f := r.function()
		f.Status.Brokers[0].URL = &apis.URL{Scheme: "http", Host: host + ".svc.cluster.local", Path: "/team/default"}
		s, store := service(t, f, 1, to{"greeter.team.svc.cluster.local": r.Listener.Addr().String(), host + ".svc.cluster.local": broker.Listener.Addr().String()}.client())
		if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "0"}, func(receiverv1.ReplayResult) {}); err != nil || replied != "/team/default" || len(store.IDs(queue)) != 0 {
			t.Errorf("%s: Replay() = %v, the reply went to %q, %v stay", host, err, replied, store.IDs(queue))
		}
	}
}

// TestReplay_TellsLittle: redirects are not followed, and nothing that another than the
// function answers is repeated.
func TestReplay_TellsLittle(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for _, tt := range []struct {
		name     string
		function http.HandlerFunc
		want     string
	}{
		{"the function's words", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad\x1b[2Korder", http.StatusTeapot) }, "the answer was 418 I'm a teapot: bad [2Korder"},
		{"a redirect", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "the answer was 307 Temporary Redirect"},
		{"the broker's words", func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "r", "Ce-Type": "t", "Ce-Source": "/f"} {
				w.Header().Set(name, value)
			}
		}, "the broker at http://default-broker-ingress.team.svc.cluster.local did not accept the reply: 418 I'm a teapot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			function := httptest.NewServer(tt.function)
			defer function.Close()
			broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "SECRET", http.StatusTeapot) }))
			defer broker.Close()
			r := newRecipient(t, nil)
			s, _ := service(t, r.function(), 1, to{"greeter.team.svc.cluster.local": function.Listener.Addr().String(), "default-broker-ingress.team.svc.cluster.local": broker.Listener.Addr().String()}.client())
			var result receiverv1.ReplayResult
			if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(one receiverv1.ReplayResult) { result = one }); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(result.Error, tt.want) || strings.Contains(result.Error, "SECRET") {
				t.Errorf("Error = %q, want %q", result.Error, tt.want)
			}
		})
	}
}

// TestSelection: an id that is empty selects nothing, and is an error.
func TestSelection(t *testing.T) {
	r := newRecipient(t, func(string) int { return http.StatusOK })
	s, store := service(t, r.function(), 2, r.client())
	other := newEvent("0", nil)
	other.SetSource("/other")
	if err := store.Publish(t.Context(), queue, other); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []deadletter.Selection{{}, {Source: "/shop"}, {ID: "0", All: true}, {All: true, Source: "/shop"}} {
		if n, err := s.Purge(t.Context(), deadletter.Function(key), wrong); n != 0 || !errors.Is(err, deadletter.ErrSelection) {
			t.Errorf("Purge(%+v) = %d, %v, want ErrSelection", wrong, n, err)
		}
		if err := s.Replay(t.Context(), deadletter.Function(key), wrong, func(receiverv1.ReplayResult) { t.Error("something was sent") }); !errors.Is(err, deadletter.ErrSelection) {
			t.Errorf("Replay(%+v) = %v, want ErrSelection", wrong, err)
		}
		if _, err := s.Show(t.Context(), deadletter.Function(key), wrong); !errors.Is(err, deadletter.ErrSelection) {
			t.Errorf("Show(%+v) = %v, want ErrSelection", wrong, err)
		}
	}
	if n, err := s.Purge(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "0", Source: "/other"}); n != 1 || err != nil || len(store.IDs(queue)) != 2 {
		t.Errorf("Purge of one source = %d, %v, %v stay; want the other of that id to stay", n, err, store.IDs(queue))
	}
}
