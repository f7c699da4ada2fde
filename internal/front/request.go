package front

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// describe returns the header of a call.
func (p *Pool) describe(in *runtime.Invocation, id uint64, left time.Duration) (*protocol.Call, error) {
	c := &protocol.Call{Kind: protocol.Invoke, ID: id, Timeout: max(1, left.Milliseconds()), Method: in.Method,
		ContentType: in.ContentType, Event: in.Event, Traceparent: in.Traceparent, Tracestate: in.Tracestate, More: in.Stream != nil}
	var rawQuery string
	c.Path, rawQuery, _ = strings.Cut(in.Path, "?")
	c.Query = query(rawQuery)
	if p.handler.Raw {
		c.RawQuery = rawQuery
	}
	if r := in.Request(); r != nil {
		c.Headers = headers(r, in.Event != nil)
	}
	if p.handler.Raw || in.Event != nil || in.Stream != nil {
		return c, nil
	}
	return c, readForm(c, in.Body)
}

// query takes a query apart. What is not valid percent-encoding stays as it is.
func query(raw string) (pairs []protocol.Pair) {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, protocol.Pair{unescape(name), unescape(value)})
	}
	return pairs
}

func unescape(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

// headers of the request by name. Those that an event's attributes repeat are left out.
func headers(r *http.Request, event bool) []protocol.Pair {
	pairs := make([]protocol.Pair, 0, len(r.Header)+1)
	pairs = append(pairs, protocol.Pair{"host", r.Host})
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if event && strings.HasPrefix(name, "Ce-") {
			continue
		}
		lower := strings.ToLower(name)
		for _, value := range r.Header[name] {
			pairs = append(pairs, protocol.Pair{lower, value})
		}
	}
	return pairs
}

// resultOf is what a result frame says.
func resultOf(a *protocol.Answer) *runtime.Result {
	h := headerOf(a.Headers)
	for _, cookie := range a.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	contentType := cmp.Or(a.ContentType, h.Get("Content-Type"))
	h.Del("Content-Type")
	return &runtime.Result{Event: a.Event, ContentType: contentType, Status: a.Status, Header: h}
}

func headerOf(pairs []protocol.Pair) http.Header {
	h := make(http.Header, len(pairs))
	for _, p := range pairs {
		h.Add(p[0], p[1])
	}
	return h
}

// raised is what an error frame says.
func raised(a *protocol.Answer) *runtime.HandlerError {
	return &runtime.HandlerError{Type: protocol.Cut(cmp.Or(a.Type, "Error"), 256), Message: protocol.Cut(a.Message, protocol.MaxMessage),
		Stack: protocol.Cut(a.Stack, protocol.MaxStack), Permanent: a.Permanent, BadInput: a.BadInput, Status: a.Status, Header: headerOf(a.Headers)}
}
