package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// configure the operator.
func (r *running) configure(name string, data map[string]string) {
	r.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator, Name: name}, Data: data}
	if _, err := r.kube.CoreV1().ConfigMaps(operator).Create(r.Context(), cm, metav1.CreateOptions{}); err != nil {
		r.Fatal(err)
	}
}

// TestRun_Guards: an event is not delivered where its Trigger must not, and its dead letter
// says why. A redirect to such a place is not followed.
func TestRun_Guards(t *testing.T) {
	var requests atomic.Int64
	victim := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer victim.Close()
	redirect := httptest.NewServer(http.RedirectHandler(victim.URL, http.StatusTemporaryRedirect))
	defer redirect.Close()
	for name, tt := range map[string]struct {
		subscriber string
		guarded    bool
		want       string
	}{
		"this machine":            {victim.URL, true, "127.0.0.1, which is not on the public Internet"},
		"this machine, by a name": {strings.Replace(victim.URL, "127.0.0.1", "localhost", 1), true, "which is not on the public Internet"},
		"mapped":                  {strings.Replace(victim.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), true, "which is not on the public Internet"},
		"a redirect":              {redirect.URL, false, "Temporary Redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			url, err := apis.ParseURL(tt.subscriber)
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, func(r *running) {
				if tt.guarded {
					r.options.Permit = nil
				}
				r.options.NewDispatcher = NewDispatcher
				r.configure("config-eventing", nil)
				r.configure("config-build", map[string]string{"registry": "r.test", "builder-image": "r.test/team/b:1", "runtime-image": "r.test/team/r:1"})
				if err := r.engine.Declare(t.Context(), queue.Declaration{Name: deadLetters}); err != nil {
					t.Fatal(err)
				}
				r.serve(url)
			})
			r.engine.up.Store(true)
			r.until("it is ready", r.ready)
			r.post()
			reason, err := base64.StdEncoding.DecodeString(fmt.Sprint(r.stored(deadLetters).Extensions()["knativeerrordata"]))
			if err != nil || !strings.Contains(string(reason), tt.want) {
				t.Errorf("the dead letter says %q, %v; want %q", reason, err, tt.want)
			}
			if n := requests.Load(); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			r.stop()
			r.end()
		})
	}
}

// TestRun_WithoutSettings_Ends: without the networks that an administrator denies nothing
// is delivered.
func TestRun_WithoutSettings_Ends(t *testing.T) {
	for name, build := range map[string]map[string]string{"missing": nil, "not valid": {"egress-denied-networks": "x"}} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(r *running) {
				r.options.Permit = nil
				r.configure("config-eventing", nil)
				if build != nil {
					r.configure("config-build", build)
				}
			})
			select {
			case err := <-r.ended:
				if err == nil || !strings.Contains(err.Error(), "config-build") {
					t.Errorf("Run() = %v, want an error that names config-build", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the program runs")
			}
		})
	}
}
