// Package queueproxy checks what clients see of a function through the handlers of
// Knative's queue-proxy.
package queueproxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	netproxy "knative.dev/networking/pkg/http/proxy"
	netstats "knative.dev/networking/pkg/http/stats"
	"knative.dev/serving/pkg/activator"
	pkghttp "knative.dev/serving/pkg/http"
	"knative.dev/serving/pkg/http/handler"
	"knative.dev/serving/pkg/queue"

	"github.com/brunovlucena/knative-lambda-operator/internal/front"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

const (
	concurrency = 4
	timeout     = 3 * time.Second
	maxBody     = 1 << 20
)

// TestMain lets this program be a worker, too.
func TestMain(m *testing.M) {
	if os.Getenv(protocol.EnvControl) != "" {
		work()
		return
	}
	os.Exit(m.Run())
}

func connection(fd int) net.Conn {
	f := os.NewFile(uintptr(fd), "inherited")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		panic(err)
	}
	return conn
}

// work is a worker until its control connection ends.
func work() {
	fd, err := strconv.Atoi(os.Getenv(protocol.EnvControl))
	if err != nil {
		panic(err)
	}
	control := connection(fd)
	frames := protocol.NewReader(control)
	_ = protocol.Write(control, protocol.Control{Kind: protocol.Ready, Protocol: protocol.Version}, nil) // a runtime that has ended is seen below
	for {
		var c protocol.Control
		header, _, err := frames.Next()
		if err != nil {
			return
		}
		switch err := json.Unmarshal(header, &c); {
		case err != nil:
			return
		case c.Kind == protocol.Open:
			go serveSlot(connection(fd + c.Slot))
		case c.Kind == protocol.Ping:
			_ = protocol.Write(control, protocol.Control{Kind: protocol.Pong, ID: c.ID}, nil) // as for ready
		}
	}
}

func serveSlot(conn net.Conn) {
	frames := protocol.NewReader(conn)
	for {
		var c protocol.Call
		header, _, err := frames.Next()
		if err != nil || json.Unmarshal(header, &c) != nil {
			return
		}
		if err := answer(conn, &c); err != nil {
			return
		}
	}
}

// answer does what the path says.
func answer(conn net.Conn, c *protocol.Call) error {
	result := protocol.Answer{Kind: protocol.Result, ID: c.ID, ContentType: "text/plain"}
	switch c.Path {
	case "/wait":
		time.Sleep(200 * time.Millisecond)
	case "/permanent":
		return protocol.Write(conn, protocol.Answer{Kind: protocol.Error, ID: c.ID, Type: "E", Message: "for good", Permanent: true}, nil)
	case "/late":
		time.Sleep(2 * timeout)
	case "/stream", "/abort", "/endless":
		result.More = true
		if err := errors.Join(protocol.Write(conn, result, nil), protocol.WriteChunks(conn, []byte("first "))); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		switch c.Path {
		case "/abort":
			return protocol.Write(conn, protocol.Answer{Kind: protocol.Error, ID: c.ID, Type: "E", Message: "late"}, nil)
		case "/endless":
			time.Sleep(2 * timeout)
		}
		return errors.Join(protocol.WriteChunks(conn, []byte("last")), protocol.WriteEnd(conn))
	}
	return protocol.Write(conn, result, []byte("done"))
}

// serve starts a function behind a queue-proxy, and returns the URL of that.
func serve(t *testing.T) string {
	t.Helper()
	cfg := &runtime.Config{MaxBody: maxBody, EventSource: "/f", Function: "f", DrainTimeout: 10 * time.Millisecond}
	telemetry, err := runtime.StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	pool := front.New(&runtime.PoolConfig{Handler: "h", TaskRoot: t.TempDir(), Command: []string{os.Args[0]}, Workers: 1, Concurrency: concurrency, Queue: concurrency,
		Timeout: timeout, StartTimeout: time.Minute, MaxBody: maxBody}, telemetry, io.Discard, io.Discard)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- runtime.Serve(ctx, cfg, runtime.NewServer(cfg, pool, telemetry), listener) }()
	proxy := httptest.NewServer(proxyTo(t, "http://"+listener.Addr().String()))
	t.Cleanup(func() {
		proxy.Close()
		pool.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		telemetry.Shutdown()
	})
	return proxy.URL
}

// proxyTo is the queue-proxy's chain of handlers, as its main function composes it.
func proxyTo(t *testing.T, function string) http.Handler {
	t.Helper()
	target, err := url.Parse(function)
	if err != nil {
		t.Fatal(err)
	}
	reverse := pkghttp.NewHeaderPruningReverseProxy(target.Host, pkghttp.NoHostOverride, activator.RevisionHeaders, false)
	reverse.FlushInterval = netproxy.FlushInterval
	breaker := queue.NewBreaker(queue.BreakerParams{QueueDepth: 10 * concurrency, MaxConcurrency: concurrency, InitialCapacity: concurrency})
	metered, err := queue.NewAppRequestMetricsHandler(metricnoop.NewMeterProvider(), reverse, breaker)
	if err != nil {
		t.Fatal(err)
	}
	limited := queue.ProxyHandler(tracenoop.NewTracerProvider().Tracer(""), breaker, netstats.NewRequestStats(time.Now()), metered)
	return handler.NewTimeoutHandler(queue.ForwardedShimHandler(limited), "request timeout", func(*http.Request) (time.Duration, time.Duration, time.Duration) {
		return timeout + 5*time.Second, timeout + 5*time.Second, 0
	}, zap.NewNop().Sugar())
}

func get(t *testing.T, address string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestReplies(t *testing.T) {
	address := serve(t)
	for _, tt := range []struct {
		path   string
		status int
		body   string
		whole  bool
	}{
		{"/plain", 200, "done", true},
		{"/stream", 200, "first last", true},
		{"/abort", 200, "first ", false},
		{"/endless", 200, "first ", false}, // the queue-proxy's own timeout would end it as if it were whole
		{"/late", 504, `{"type":"Timeout","message":"the handler took too long: more than 3s (spec.runtime.timeout)","permanent":false}`, true},
	} {
		t.Run(tt.path, func(t *testing.T) {
			response := get(t, address+tt.path)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if response.StatusCode != tt.status || string(body) != tt.body || tt.whole != (err == nil) {
				t.Errorf("answered %d %q, %v, want %d %q, whole: %t", response.StatusCode, body, err, tt.status, tt.body, tt.whole)
			}
		})
	}
}

// TestExpectContinue: the queue-proxy takes the status of an interim response for that of
// the final one.
func TestExpectContinue(t *testing.T) {
	address := serve(t)
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Millisecond}}
	for _, tt := range []struct {
		path   string
		length int
		status int
		text   string
	}{
		{"/plain", 2000, 200, "done"},
		{"/permanent", 2000, 422, "for good"},
		{"/plain", maxBody + 1, 413, "the body is longer than 1048576 bytes"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+tt.path, strings.NewReader(strings.Repeat("x", tt.length)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Expect", "100-continue")
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != tt.status || !strings.Contains(string(body), tt.text) {
			t.Errorf("%s with %d bytes is answered %s %q, %v, want %d", tt.path, tt.length, response.Status, body, err, tt.status)
		}
	}
}

// TestStreamsAreFlushed: the first piece arrives before the last is made.
func TestStreamsAreFlushed(t *testing.T) {
	response := get(t, serve(t)+"/stream")
	defer response.Body.Close()
	piece := make([]byte, 100)
	n, err := response.Body.Read(piece)
	if err != nil || string(piece[:n]) != "first " {
		t.Errorf("the first piece is %q, %v", piece[:n], err)
	}
}

// TestOneNumber: the queue-proxy lets through as many calls as there are slots, so that
// the function never refuses one.
func TestOneNumber(t *testing.T) {
	address := serve(t)
	var wg sync.WaitGroup
	for range 5 * concurrency {
		wg.Go(func() {
			response, err := http.Post(address+"/wait", "text/plain", nil)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("answered %s", response.Status)
			}
		})
	}
	wg.Wait()
}
