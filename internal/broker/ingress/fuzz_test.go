package ingress

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
)

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/team/default", "application/json", "1.0", "1", "/s", "t", "ext", "x", []byte("{}"))
	f.Add("POST", "/team/default", "application/cloudevents+json", "", "", "", "", "", "", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1],"knativebrokerttl":1.5}`))
	f.Add("OPTIONS", "/", "application/cloudevents-batch+json", "0.3", "1", "%zz", "t", "knativebrokerttl", "0", []byte("[]"))
	f.Fuzz(func(t *testing.T, method, path, media, version, id, source, eventType, name, value string, body []byte) {
		h := newHarness(t)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Method, r.URL.Path = method, path
		r.Header = http.Header{
			"Content-Type": {media}, "Ce-Specversion": {version}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {eventType},
			http.CanonicalHeaderKey("ce-" + name): {value},
		}
		if version == "" {
			delete(r.Header, "Ce-Specversion")
		}
		w := h.do(r)
		if !slices.Contains([]int{200, 202, 400, 404, 405, 408, 413}, w.Code) {
			t.Errorf("status %d, %s", w.Code, w.Body)
		}
		if (w.Code == http.StatusAccepted) != (len(h.publisher.messages) == 1) {
			t.Errorf("status %d with %d messages", w.Code, len(h.publisher.messages))
		}
		if w.Code != http.StatusAccepted {
			return
		}
		e, p := h.stored()
		if err := e.Validate(); err != nil || !slices.Equal(p.keys, routing.Keys("uid-1", e.Type(), e.Source())) {
			t.Errorf("the dispatcher sees another event than the keys say: %v, %s", err, e)
		}
		if transit := event.TransitOf(p.message); transit.Attempts != 0 || transit.Trigger != "" || transit.Phase != "" {
			t.Errorf("a sender forged %+v", transit)
		}
	})
}
