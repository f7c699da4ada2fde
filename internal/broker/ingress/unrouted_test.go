package ingress

import (
	"slices"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestTTL: what a sender gives is kept within the default.
func TestTTL(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]int32{"1": 1, "254": 254, "255": 255, "100000": 255, "": 255} {
		h := newHarness(t)
		h.do(post(t.Context(), "/team/default", "{}", "Ce-Knativebrokerttl", given))
		if e, _ := h.stored(); e.Extensions()["knativebrokerttl"] != want {
			t.Errorf("TTL %q became %v, want %d", given, e.Extensions()["knativebrokerttl"], want)
		}
	}
}

func TestUnrouted(t *testing.T) {
	t.Parallel()
	recreated := Broker{Namespace: "team", Name: "default", UID: "uid-2"}
	for name, tc := range map[string]struct {
		errs      []error
		refreshed []Broker
		deleted   bool
		status    int
		unrouted  int64
		uids      []string
	}{
		"no Trigger":            {errs: []error{queue.ErrUnrouted}, status: 202, unrouted: 1, uids: []string{"uid-1"}},
		"recreated":             {errs: []error{queue.ErrUnrouted}, refreshed: []Broker{recreated}, status: 202, uids: []string{"uid-1", "uid-2"}},
		"recreated, no Trigger": {errs: []error{queue.ErrUnrouted, queue.ErrUnrouted}, refreshed: []Broker{recreated}, status: 202, unrouted: 1, uids: []string{"uid-1", "uid-2"}},
		"recreated, full":       {errs: []error{queue.ErrUnrouted, queue.ErrFull}, refreshed: []Broker{recreated}, status: 503, uids: []string{"uid-1", "uid-2"}},
		"deleted":               {errs: []error{queue.ErrUnrouted}, deleted: true, status: 404, uids: []string{"uid-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.publisher.errs, h.brokers.refreshed, h.brokers.deleted = tc.errs, tc.refreshed, tc.deleted
			if w := h.do(post(t.Context(), "/team/default", "{}")); w.Code != tc.status {
				t.Errorf("status %d, %s; want %d", w.Code, w.Body, tc.status)
			}
			if got := h.sum("lambda.broker.unrouted", "", ""); got != tc.unrouted {
				t.Errorf("%d unrouted events were counted, want %d", got, tc.unrouted)
			}
			if h.brokers.reads != 1 || len(h.publisher.messages) != len(tc.uids) {
				t.Fatalf("the Broker was read %d times, and %d messages were published", h.brokers.reads, len(h.publisher.messages))
			}
			for i, p := range h.publisher.messages {
				if want := "a"; !strings.HasPrefix(p.keys[0], want) || !slices.Equal(p.keys, keysOf(tc.uids[i])) {
					t.Errorf("message %d has the keys %s", i, p.keys)
				}
			}
		})
	}
}
