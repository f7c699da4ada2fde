// Package otlpcollector is an OTLP collector for tests: it keeps the spans that it gets
// over gRPC without TLS.
package otlpcollector

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	tracespb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Collector keeps spans.
type Collector struct {
	tracespb.UnimplementedTraceServiceServer

	// Address is its host:port.
	Address string

	mu    sync.Mutex
	spans []*tracepb.Span
}

// Start serves until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Address: listener.Addr().String()}
	server := grpc.NewServer()
	tracespb.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // by a test that ends at once
			t.Error(err)
		}
	})
	return c
}

// Export implements the service of OTLP.
func (c *Collector) Export(_ context.Context, r *tracespb.ExportTraceServiceRequest) (*tracespb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &tracespb.ExportTraceServiceResponse{}, nil
}

// Spans that have come so far.
func (c *Collector) Spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span(nil), c.spans...)
}
