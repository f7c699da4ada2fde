package deadletter_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

// patience bounds what these tests wait for. The timeouts of the server are longer.
const patience = 10 * time.Second

// listen serves h on loopback, as the receiver does.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, listener := httpserver.New(httpserver.Options{Handler: h}, inner)
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	return inner.Addr().String()
}

// begin a POST of size bytes, send the beginning of its body, and leave it open.
func begin(t *testing.T, address, path string, size int, body string) {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// The server may refuse before all of it is sent.
	_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: h\r\nCe-Specversion: 1.0\r\nCe-Id: 1\r\nCe-Type: t\r\nCe-Source: /s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", path, size, body)
}

// deliver posts a dead letter and returns the status.
func deliver(t *testing.T, address, path string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "/s", "Content-Type": "application/json"} {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection is kept
	return response.StatusCode
}

// stalled is a queue that does not answer, beside one that does.
type stalled struct {
	deadletter.Store
	queue string
	begun sync.WaitGroup
}

func (s *stalled) Publish(ctx context.Context, queue string, e *event.Event) error {
	if queue == s.queue {
		s.begun.Done()
		<-ctx.Done()
		return deadletter.ErrUnavailable
	}
	return s.Store.Publish(ctx, queue, e)
}

// TestSlowSenders: 40 requests of a tenant whose bodies do not come, and as many as may
// be stored at once whose queue does not answer, do not hold up another tenant's dead
// letters; and who has no URL of the operator's is answered at once.
func TestSlowSenders(t *testing.T) {
	mine := events.DeadLetterQueue("victim", "greeter")
	store := &stalled{Store: rtesting.NewStore(mine), queue: queue}
	store.begun.Add(4)
	address := listen(t, deadletter.NewIngest(deadletter.Ingest{
		Store: store, Keys: keyring.Static(theKeys), Observe: func(context.Context, string) {},
	}))
	path, victim := pathOf(deadletter.KindFunction, "team", "greeter"), pathOf(deadletter.KindFunction, "victim", "greeter")
	for range 40 {
		begin(t, address, path, 100, "x")
	}
	for range 40 {
		begin(t, address, path, 16<<20, "x")
	}
	for range 6 { // of which 4 are being stored
		begin(t, address, path, 1, "x")
	}
	store.begun.Wait()
	if status := deliver(t, address, victim); status != http.StatusAccepted {
		t.Errorf("another tenant's dead letter was answered %d, want 202", status)
	}
	if status := deliver(t, address, deadletter.Path+"victim/greeter"); status != http.StatusForbidden {
		t.Errorf("without a code: %d, want 403", status)
	}
}

// TestBytesInFlight: a tenant that sends all but the end of many dead letters is refused
// beyond its share of the memory, and another is served.
func TestBytesInFlight(t *testing.T) {
	mine := events.DeadLetterQueue("victim", "greeter")
	refused := make(chan string, 100)
	address := listen(t, deadletter.NewIngest(deadletter.Ingest{
		Store: rtesting.NewStore(mine, queue), Keys: keyring.Static(theKeys),
		Observe: func(_ context.Context, outcome string) { refused <- outcome },
	}))
	path := pathOf(deadletter.KindFunction, "team", "greeter")
	var senders sync.WaitGroup
	defer senders.Wait()
	const size = 12 << 20
	for range 4 { // 48 MiB, of which one namespace may have 32
		senders.Go(func() { begin(t, address, path, size, strings.Repeat("x", size-1)) })
	}
	for range 2 {
		select {
		case outcome := <-refused:
			if outcome != "service_unavailable" {
				t.Errorf("outcome = %s, want service_unavailable", outcome)
			}
		case <-time.After(patience):
			t.Fatal("more than the share of one namespace is kept")
		}
	}
	if status := deliver(t, address, pathOf(deadletter.KindFunction, "victim", "greeter")); status != http.StatusAccepted {
		t.Errorf("another tenant's dead letter was answered %d, want 202", status)
	}
}
