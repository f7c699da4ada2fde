package front

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// hopHeaders of a request are not passed on.
var hopHeaders = []string{"Connection", "Expect", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// listenTo makes requests to a worker that serves HTTP itself.
func (w *worker) listenTo() error {
	if w.ready.Interface != protocol.InterfaceListener {
		return nil
	}
	host, _, err := net.SplitHostPort(w.ready.Address)
	if ip := net.ParseIP(host); err != nil || !ip.IsLoopback() {
		return fmt.Errorf("the worker listens on %.100q, expected an address and a port such as 127.0.0.1:41234", w.ready.Address)
	}
	dialer := &net.Dialer{}
	w.http = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: len(w.slots), MaxResponseHeaderBytes: protocol.MaxHeader,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", w.ready.Address)
		}}
	return nil
}

// proxied is the body of a worker's reply, which counts as a call until it is closed.
type proxied struct {
	io.ReadCloser
	x      *exchange
	cancel context.CancelFunc
	ctx    context.Context
}

// proxy passes a request on to a worker that serves HTTP itself. To close the
// connection is to cancel it.
func (x *exchange) proxy(in *runtime.Invocation) (*runtime.Result, error) {
	ctx, cancel := context.WithDeadline(x.ctx, x.deadline)
	p := &proxied{x: x, cancel: cancel, ctx: ctx}
	response, err := x.slot.worker.http.RoundTrip(forward(ctx, in)) //nolint:bodyclose // proxied closes it
	if err != nil {
		err = p.failure(err)
		p.end()
		return nil, err
	}
	p.ReadCloser = response.Body
	h := response.Header
	contentType := h.Get("Content-Type")
	h.Del("Content-Type")
	return &runtime.Result{Status: response.StatusCode, Header: h, ContentType: contentType, Stream: p, Deadline: x.deadline}, nil
}

// forward is the request for the worker.
func forward(ctx context.Context, in *runtime.Invocation) *http.Request {
	r := in.Request()
	header := r.Header.Clone()
	for _, name := range hopHeaders {
		header.Del(name)
	}
	if in.Traceparent != "" {
		header.Set("Traceparent", in.Traceparent)
	}
	out := &http.Request{Method: r.Method, URL: &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery},
		Host: r.Host, Header: header, ContentLength: r.ContentLength, Body: http.NoBody}
	switch {
	case in.Stream != nil:
		out.Body = io.NopCloser(in.Stream)
	case len(in.Body) > 0:
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(in.Body)), int64(len(in.Body))
	}
	if header.Get("User-Agent") == "" {
		header["User-Agent"] = nil // none is invented
	}
	return out.WithContext(ctx)
}

// failure says why there is no reply, or no more of it.
func (p *proxied) failure(err error) error {
	switch {
	case !time.Now().Before(p.x.deadline) || errors.Is(err, context.DeadlineExceeded):
		return runtime.TimedOut(p.x.pool.cfg.Timeout)
	case p.ctx.Err() != nil:
		return p.ctx.Err()
	}
	select {
	case <-p.x.slot.worker.ended:
		return p.x.slot.worker.died()
	case <-time.After(p.x.pool.timing.death):
		return fmt.Errorf("%w: it broke the connection off: %w", runtime.ErrWorkerDied, err)
	}
}

// Read implements io.Reader.
func (p *proxied) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return it bare
		err = p.failure(err)
	}
	return n, err
}

// Close implements io.Closer.
func (p *proxied) Close() error {
	err := p.ReadCloser.Close()
	p.end()
	return err
}

func (p *proxied) end() {
	p.cancel()
	if !p.x.done {
		p.x.done = true
		p.x.give()
	}
}

// raw reports whether handlers of that interface read requests themselves.
func raw(name string) bool {
	return slices.Contains([]string{protocol.InterfaceASGI, protocol.InterfaceWSGI, protocol.InterfaceFetch, protocol.InterfaceListener}, name)
}
