package runtime

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRepliesWithoutBody: HEAD, 204 and 304 have none, whatever the handler returns.
func TestRepliesWithoutBody(t *testing.T) {
	text := func() *fixedInvoker {
		return &fixedInvoker{result: Result{Status: 200, ContentType: "text/plain", Body: []byte("four"), Header: http.Header{}}}
	}
	stream := func(length string) *fixedInvoker {
		i := text()
		i.result.Body, i.result.Stream = nil, io.NopCloser(strings.NewReader("streamed"))
		if length != "" {
			i.result.Header.Set("Content-Length", length)
		}
		return i
	}
	status := func(i *fixedInvoker, status int) *fixedInvoker {
		i.result.Status = status
		return i
	}
	for _, tt := range []struct {
		name, method        string
		invoker             *fixedInvoker
		length, contentType string
		body                string
	}{
		{"HEAD of a text", "HEAD", text(), "4", "text/plain", "four"}, // which the server leaves out
		{"HEAD of a stream", "HEAD", stream(""), "", "text/plain", ""},
		{"HEAD of an application", "HEAD", stream("8"), "8", "text/plain", ""},
		{"GET of an application", "GET", stream("8"), "", "text/plain", "streamed"},
		{"HEAD with a length that is none", "HEAD", stream("-1"), "", "text/plain", ""},
		{"204", "POST", status(text(), 204), "", "", ""},
		{"304", "GET", status(text(), 304), "", "", ""},
		{"204 of a stream", "POST", status(stream("8"), 204), "", "", ""},
	} {
		response := ask(t, nil, tt.invoker, tt.method, "/") //nolint:bodyclose // ask closes it
		body, err := io.ReadAll(response.Body)
		if err != nil || response.Header.Get("Content-Length") != tt.length || response.Header.Get("Content-Type") != tt.contentType || string(body) != tt.body {
			t.Errorf("%s is answered %v %q, %v, want the length %q, the type %q and %q", tt.name, response.Header, body, err, tt.length, tt.contentType, tt.body)
		}
	}
}
