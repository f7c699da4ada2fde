package egress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	tlsTimeout      = 10 * time.Second
	idleTimeout     = time.Minute
	maxIdle         = 100
	maxIdlePerHost  = 32
	maxHeader       = 64 << 10
	continueTimeout = time.Second
)

// ErrBodyTooLarge is returned by ReadBody.
var ErrBodyTooLarge = errors.New("the response body is too large")

// Transport returns an HTTP transport that connects with dial. It uses no proxy: the
// address that dial checks would be the proxy's. Response headers are limited to
// 64 KiB.
func Transport(dial Dial) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    tlsTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// Client returns an HTTP client that connects where permit allows it, and returns a
// redirect as the response instead of following it. timeout bounds each exchange, the
// response body included.
func Client(permit Permit, timeout time.Duration) *http.Client {
	return ClientOver(Transport(Dialer(permit)), timeout)
}

// ClientOver is Client over a transport of this package.
func ClientOver(t *http.Transport, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     t,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Redirecting returns an HTTP client over a transport of this package that follows
// redirects, as git servers send them: each hop is dialled, and so checked, again.
func Redirecting(t *http.Transport) *http.Client { return &http.Client{Transport: t} }

// ReadBody reads a response body of at most limit bytes. A longer one is
// ErrBodyTooLarge.
func ReadBody(body io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("%w: the limit is %d bytes", ErrBodyTooLarge, limit)
	}
	return text, err
}
