package command

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// TestUnfinishedCommands: 330 commands of 1.9 MB of which the last byte does not come
// are refused beyond the share of their address, and none of them is kept.
func TestUnfinishedCommands(t *testing.T) {
	const commands, size = 330, 1_900_000
	w := newWorld(t, nil)
	var refused atomic.Int32
	enough := make(chan struct{})
	w.Observe = func(context.Context, string, string) {
		if int64(refused.Add(1)) == commands-limits.BytesPerKey/size {
			close(enough)
		}
	}
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, listener := httpserver.New(httpserver.Options{Handler: w.Handler}, inner)
	go func() { _ = server.Serve(listener) }() // until it is closed
	defer server.Close()
	body := strings.Repeat("x", size-1)
	var senders sync.WaitGroup
	defer senders.Wait()
	for range commands {
		senders.Go(func() {
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
			if err != nil {
				return
			}
			defer c.Close()
			// The server may refuse before all of it is sent.
			_, _ = fmt.Fprintf(c, "POST /commands HTTP/1.1\r\nHost: h\r\nContent-Type: application/cloudevents+json\r\nContent-Length: %d\r\n\r\n%s", size, body)
			<-enough
		})
	}
	select {
	case <-enough:
	case <-time.After(30 * time.Second):
		t.Errorf("%d were refused, and %d bytes are kept", refused.Load(), w.events.Used())
		close(enough)
	}
	if used := w.events.Used(); used > limits.BytesPerKey {
		t.Errorf("%d bytes are kept, want at most %d", used, limits.BytesPerKey)
	}
}

// TestBusy: what does not fit is answered 503 with when to try again.
func TestBusy(t *testing.T) {
	w := newWorld(t, nil)
	w.events = httpapi.NewEventReader(httpserver.Limits{Bytes: 1, BytesPerKey: 1, Places: 1, PlacesPerNamespace: 1}, maxCommand)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/commands", strings.NewReader(`{"specversion":"1.0"}`))
	r.Header.Set("Content-Type", "application/cloudevents+json")
	recorded := httptest.NewRecorder()
	w.ServeHTTP(recorded, r)
	if recorded.Code != 503 || recorded.Header().Get("Retry-After") == "" || !strings.Contains(recorded.Body.String(), "too many bytes") {
		t.Errorf("answer = %d %v %s, want 503 with Retry-After", recorded.Code, recorded.Header(), recorded.Body)
	}
}
