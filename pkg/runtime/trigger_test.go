package runtime

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

func TestTriggerFilters(t *testing.T) {
	telemetry, err := StartTelemetry(t.Context(), &Config{}, lookup())
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(&Config{MaxBody: 1 << 20, EventSource: "/test"}, fixed{}, telemetry)
	send := func(filters, eventType, source string) int {
		target := "/"
		if filters != "" {
			target = "/?" + url.Values{events.FiltersQuery: {filters}}.Encode()
		}
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader("{}"))
		for k, v := range map[string]string{"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": eventType, "Ce-Source": source} {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Code
	}
	const own = `[[{"not": {"exact": {"source": "io.knative.lambda/function/team/greeter"}}}]]`
	const orders = `[[{"prefix": {"type": "order."}}], [{"exact": {"source": "/shop"}}]]`
	for _, tt := range []struct {
		filters, eventType, source string
		want                       int
	}{
		{"", "x", "io.knative.lambda/function/team/greeter", http.StatusOK},
		{own, "x", "/shop", http.StatusOK},
		{own, "x", "io.knative.lambda/function/team/greeter", http.StatusNoContent},
		{orders, "order.created", "/other", http.StatusOK},
		{orders, "x", "/shop", http.StatusOK},
		{orders, "x", "/other", http.StatusNoContent},
		{"[[{}]]", "x", "/other", http.StatusInternalServerError}, // so that a broker keeps the event
	} {
		for range 2 { // parsed, then remembered
			if got := send(tt.filters, tt.eventType, tt.source); got != tt.want {
				t.Errorf("%s: an event of type %s from %s is answered with %d, want %d", tt.filters, tt.eventType, tt.source, got, tt.want)
			}
		}
	}
	for i := range 2 * maxTriggers {
		send(fmt.Sprintf(`[[{"exact": {"type": "t%d"}}]]`, i), "x", "/")
	}
	if n := len(server.triggers.parsed); n > maxTriggers {
		t.Errorf("%d filters are kept, want at most %d", n, maxTriggers)
	}
}
