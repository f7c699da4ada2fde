package events_test

import (
	"net/http"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// TestPrefersAsync: preferences may be in one header or in several, with values and
// parameters, in any case.
func TestPrefersAsync(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"reply"}, false},
		{[]string{"respond-asynchronously"}, false},
		{[]string{"wait=respond-async"}, false},
		{[]string{"respond-async"}, true},
		{[]string{"wait=10, Respond-Async; x=y"}, true},
		{[]string{"reply", "respond-async"}, true},
	} {
		if got := events.PrefersAsync(http.Header{"Prefer": tt.lines}); got != tt.want {
			t.Errorf("Prefer %q: %t, want %t", tt.lines, got, tt.want)
		}
	}
}
