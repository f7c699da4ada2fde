// Package contract holds what HTTP clients and senders of CloudEvents see of what a
// handler returns, whatever its language. Each language has a handler that returns, by
// the request's path, what the vectors say; Run checks the replies.
package contract

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Vector is one thing that a handler may return.
type Vector struct {
	Name    string            // its path is "/" and the name
	Returns string            // what the handler returns or raises, in words
	Method  string            // POST where it is empty
	Path    string            // instead of the name's; may have a query
	Header  map[string]string // of the request, besides that of JSON
	Body    string            // {} where it is empty
	Plain   Reply             // to a plain request
	Event   *Reply            // to a CloudEvent in binary mode; nil: it is not sent one
}

// Reply is what a client sees.
type Reply struct {
	Status  int
	Header  map[string][]string // nil values: the header is absent
	Body    string
	JSON    bool // the body is compared as JSON
	Aborted bool // it ends before its end
}

const (
	typeJSON    = "application/json"
	typeForm    = "application/x-www-form-urlencoded"
	success     = "io.knative.lambda.response.success"
	failure     = "io.knative.lambda.response.error"
	unspecified = ""
)

// Vectors are all of them. The errors of handlers have the type ExampleError.
func Vectors() []Vector {
	return []Vector{
		{Name: "none", Returns: "nothing", Plain: Reply{Status: 204, Header: absent("Content-Type")}, Event: &Reply{Status: 204, Header: absent("Ce-Type")}},
		value("value", `the object {"a": 1}`, `{"a":1}`),
		value("text", `the text "a text"`, `"a text"`),
		value("number", "the number 1.5", "1.5"),
		value("false", "the truth value false", "false"),
		both("bytes", "the bytes 00 01", Reply{Status: 200, Header: typed("application/octet-stream"), Body: "\x00\x01"}, success),
		{Name: "event", Returns: `a CloudEvent of type io.example.reply with the data {"a": 1} and the extension count 3`,
			Plain: Reply{Status: 200, Header: with(typed(typeJSON), "Ce-Type", "io.example.reply", "Ce-Specversion", "1.0", "Ce-Count", "3"), Body: `{"a":1}`, JSON: true},
			Event: &Reply{Status: 200, Header: with(typed(typeJSON), "Ce-Type", "io.example.reply", "Ce-Causationid", "id-1", "Ce-Count", "3"), Body: `{"a":1}`, JSON: true}},
		{Name: "response", Returns: `a response of status 201 with {"ok": true}, the header X-A twice with 1 and 2, and the cookies a=1 and b=2; HttpOnly`,
			Plain: Reply{Status: 201, Header: with(typed(typeJSON), "X-A", "1", "X-A", "2", "Set-Cookie", "a=1", "Set-Cookie", "b=2; HttpOnly"), Body: `{"ok":true}`, JSON: true},
			Event: &Reply{Status: 201, Header: merge(with(typed(typeJSON), "Ce-Type", success), absent("Set-Cookie")), Body: `{"ok":true}`, JSON: true}},
		{Name: "redirect", Returns: "a response of status 302 with the header Location: /there and no body",
			Plain: Reply{Status: 302, Header: with(absent("Content-Type"), "Location", "/there")}},
		both("conflict", `a response of status 409 with {"why": "there is one"}`, Reply{Status: 409, Header: typed(typeJSON), Body: `{"why":"there is one"}`, JSON: true}, failure),
		both("busy", "a response of status 503 with [] and the header Retry-After: 7", Reply{Status: 503, Header: with(typed(typeJSON), "Retry-After", "7"), Body: "[]", JSON: true}, failure),
		{Name: "aws", Returns: `the object {"statusCode": 418, "headers": {"x-a": "1", "content-type": "text/plain"}, "cookies": ["a=1"], "body": "dGVh", "isBase64Encoded": true}`,
			Plain: Reply{Status: 418, Header: with(typed("text/plain"), "X-A", "1", "Set-Cookie", "a=1"), Body: "tea"},
			Event: &Reply{Status: 200, Header: with(typed(typeJSON), "Ce-Type", success), JSON: true,
				Body: `{"statusCode": 418, "headers": {"x-a": "1", "content-type": "text/plain"}, "cookies": ["a=1"], "body": "dGVh", "isBase64Encoded": true}`}},
		value("not-aws", `the object {"statusCode": 418, "other": 1}`, `{"statusCode":418,"other":1}`),
		both("stream-bytes", "a generator of the bytes a and b", Reply{Status: 200, Header: typed("application/octet-stream"), Body: "ab"}, success),
		both("stream-text", "a generator of the texts a and b", Reply{Status: 200, Header: typed("text/plain; charset=utf-8"), Body: "ab"}, success),
		{Name: "stream-values", Returns: `a generator of the objects {"a": 1} and {"a": 2}`,
			Plain: Reply{Status: 200, Header: typed("application/x-ndjson"), Body: "{\"a\":1}\n{\"a\":2}\n"},
			Event: &Reply{Status: 200, Header: with(typed(typeJSON), "Ce-Type", success), Body: `[{"a":1},{"a":2}]`, JSON: true}},
		{Name: "stream-fails", Returns: `a generator of the text a, which then raises the error "it failed"`,
			Plain: Reply{Status: 200, Header: typed("text/plain; charset=utf-8"), Body: "a", Aborted: true},
			Event: raised(500, "ExampleError", "it failed", false)},
		raises("error", `raises the error "it failed"`, 500, false),
		raises("permanent", `raises the permanent error "it failed"`, 422, true),
		{Name: "http-error", Returns: `raises HTTPError(405, "GET only") with the header Allow: GET`,
			Plain: Reply{Status: 405, Header: with(typed(typeJSON), "Allow", "GET"), Body: `{"type":"HTTPError","message":"GET only","permanent":false}`, JSON: true},
			Event: raised(405, "HTTPError", "GET only", false)},
		invalid("bad-status", "a response of status 99"),
		invalid("bad-header", "a response with the header X-A whose value has a line break"),
		invalid("unserialisable", "an object that has no JSON"),
		{Name: "head", Returns: `the text "a text"`, Method: http.MethodHead, Plain: Reply{Status: 200, Header: with(typed(typeJSON), "Content-Length", "8")}},
		{Name: "no-content", Returns: "a response of status 204 with the text x", Plain: Reply{Status: 204, Header: merge(absent("Content-Type"), absent("Content-Length"))}},
		{Name: "not-modified", Returns: `a response of status 304 with the text x and the header ETag: "1"`, Plain: Reply{Status: 304, Header: with(absent("Content-Type"), "Etag", `"1"`)}},
	}
}

// Requests are vectors of what handlers are called with. The handler of the path "/echo"
// returns its event; that of "/context" an object with method and path of its context.
func Requests() []Vector {
	return []Vector{
		echo("JSON", typeJSON, `{"a": [1, "é", null, true]}`, `{"a": [1, "é", null, true]}`),
		echo("JSON with a byte order mark", typeJSON, "\xef\xbb\xbf{\"a\": 1}", `{"a": 1}`),
		echo("JSON of another type", "application/ld+json; charset=utf-8", `[1]`, `[1]`),
		refused("NaN", `{"a": NaN}`),
		refused("Infinity", `[-Infinity]`),
		refused("UTF-16", "\xff\xfe{\x00}\x00"),
		refused("invalid UTF-8", "\"\xff\""),
		refused("broken JSON", `{"a":`),
		echo("text", "text/plain; charset=latin1", "\xe9", `"é"`),
		echo("form", typeForm, "a=1&b=2&b=3&c=%C3%A9+x&d=", `{"a": "1", "b": ["2", "3"], "c": "é x", "d": ""}`),
		echo("JSON that curl sends", typeForm, ` {"a": 1}`, `{"a": 1}`),
		echo("list that curl sends", typeForm, `[1]`, `[1]`),
		encoded("gzip", packed(`{"a": 1}`), Reply{Status: 200, Header: typed(typeJSON), Body: `{"a": 1}`, JSON: true}),
		encoded("unknown encoding", "x", Reply{Status: 415, Header: with(typed(typeJSON), "Accept-Encoding", "gzip, deflate, br, zstd"), JSON: true,
			Body: `{"type": "InvalidRequest", "message": "Content-Encoding: expected at most 3 of gzip, deflate, br, zstd, got \"unknown encoding\"", "permanent": true}`}),
		encoded("br", "x", *invalidRequest()),
		{Name: "context", Path: "/context?a=1&b=%20", Method: http.MethodPatch, Plain: Reply{Status: 200, Header: typed(typeJSON), Body: `{"method": "PATCH", "path": "/context"}`, JSON: true}},
		{Name: "webhook", Path: "/echo", Method: http.MethodOptions, Header: map[string]string{"WebHook-Request-Origin": "sender.example"},
			Plain: Reply{Status: 200, Header: map[string][]string{"Webhook-Allowed-Origin": {"sender.example"}, "Webhook-Allowed-Rate": {"*"}}}},
	}
}

// echo is data that the handler gets.
func echo(name, contentType, body, want string) Vector {
	reply := Reply{Status: 200, Header: typed(typeJSON), Body: want, JSON: true}
	v := Vector{Name: name, Path: "/echo", Header: map[string]string{"Content-Type": contentType}, Body: body, Plain: reply}
	if contentType != typeForm { // which is bytes in an event
		event := reply
		event.Header = with(merge(reply.Header), "Ce-Type", success)
		v.Event = &event
	}
	return v
}

// refused is JSON that the handler is not called with.
func refused(name, body string) Vector {
	return Vector{Name: name, Path: "/echo", Header: map[string]string{"Content-Type": typeJSON}, Body: body, Plain: *invalidRequest(), Event: invalidRequest()}
}

func invalidRequest() *Reply { return &Reply{Status: 400, Header: typed(typeJSON), Body: unspecified} }

// encoded is a body with the Content-Encoding of that name.
func encoded(encoding, body string, want Reply) Vector {
	return Vector{Name: encoding, Path: "/echo", Header: map[string]string{"Content-Encoding": encoding}, Body: body, Plain: want}
}

// packed is text in gzip.
func packed(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		panic(err) // memory takes all
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// value is one that is sent as JSON.
func value(name, returns, body string) Vector {
	return both(name, returns, Reply{Status: 200, Header: typed(typeJSON), Body: body, JSON: true}, success)
}

// both is a reply whose body is the data of the event that answers an event.
func both(name, returns string, plain Reply, eventType string) Vector {
	event := plain
	event.Header = with(merge(plain.Header), "Ce-Type", eventType, "Ce-Causationid", "id-1")
	return Vector{Name: name, Returns: returns, Plain: plain, Event: &event}
}

func raises(name, returns string, status int, permanent bool) Vector {
	event := raised(status, "ExampleError", "it failed", permanent)
	plain := *event
	plain.Header = typed(typeJSON)
	return Vector{Name: name, Returns: returns, Plain: plain, Event: event}
}

func raised(status int, name, message string, permanent bool) *Reply {
	body := fmt.Sprintf(`{"type":%q,"message":%q,"permanent":%t}`, name, message, permanent)
	return &Reply{Status: status, Header: with(typed(typeJSON), "Ce-Type", failure), Body: body, JSON: true}
}

// invalid is a result that cannot be sent. Its message is the language's.
func invalid(name, returns string) Vector {
	return Vector{Name: name, Returns: returns, Plain: Reply{Status: 500, Header: typed(typeJSON), Body: unspecified},
		Event: &Reply{Status: 500, Header: with(typed(typeJSON), "Ce-Type", failure), Body: unspecified}}
}

func typed(contentType string) map[string][]string {
	return map[string][]string{"Content-Type": {contentType}}
}

func absent(name string) map[string][]string { return map[string][]string{name: nil} }

// with adds names and values, given in turns.
func with(h map[string][]string, pairs ...string) map[string][]string {
	for pair := range slices.Chunk(pairs, 2) {
		h[pair[0]] = append(h[pair[0]], pair[1])
	}
	return h
}

func merge(headers ...map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, h := range headers {
		for name, values := range h {
			all[name] = append(all[name], values...)
		}
	}
	return all
}

// Run checks the function that is served at the URL. Vectors with the names in skip
// are left out: each is a fault of the language that is known.
func Run(t *testing.T, url string, skip ...string) {
	for _, v := range append(Vectors(), Requests()...) {
		t.Run(v.Name, func(t *testing.T) {
			for _, name := range skip {
				if name == v.Name {
					t.Skip("known")
				}
			}
			check(t, url, v, v.Plain, false)
			if v.Event != nil {
				check(t, url, v, *v.Event, true)
			}
		})
	}
}

func check(t *testing.T, url string, v Vector, want Reply, event bool) {
	t.Helper()
	path := cmp.Or(v.Path, "/"+v.Name)
	r, err := http.NewRequestWithContext(t.Context(), cmp.Or(v.Method, http.MethodPost), url+path, strings.NewReader(cmp.Or(v.Body, "{}")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeJSON)
	for name, value := range v.Header {
		r.Header.Set(name, value)
	}
	if event {
		for name, value := range map[string]string{"Specversion": "1.0", "Id": "id-1", "Source": "/contract", "Type": "io.example.test"} {
			r.Header.Set("Ce-"+name, value)
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if want.Aborted != errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("event %t: the body ends with %v, want aborted: %t", event, err, want.Aborted)
	}
	if response.StatusCode != want.Status {
		t.Errorf("event %t: status %d, want %d: %.500s", event, response.StatusCode, want.Status, body)
	}
	for name, values := range want.Header {
		if got := response.Header.Values(name); len(got)+len(values) > 0 && !reflect.DeepEqual(got, values) {
			t.Errorf("event %t: %s is %q, want %q", event, name, got, values)
		}
	}
	if problem := want.compare(string(body)); problem != "" {
		t.Errorf("event %t: %s", event, problem)
	}
}

// compare says how a body differs.
func (r Reply) compare(body string) string {
	kinds := map[int]string{http.StatusInternalServerError: "InvalidReply", http.StatusBadRequest: "InvalidRequest"}
	if kind := kinds[r.Status]; kind != "" && r.Body == unspecified {
		var invalid struct{ Type, Message string }
		if err := json.Unmarshal([]byte(body), &invalid); err != nil || invalid.Type != kind || invalid.Message == "" {
			return fmt.Sprintf("the body is %.500q, want an %s with a message", body, kind)
		}
		return ""
	}
	if !r.JSON {
		if body != r.Body {
			return fmt.Sprintf("the body is %.500q, want %q", body, r.Body)
		}
		return ""
	}
	var got, want any
	if err := errors.Join(json.Unmarshal([]byte(body), &got), json.Unmarshal([]byte(r.Body), &want)); err != nil || !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("the body is %.500q, want %s as JSON", body, r.Body)
	}
	return ""
}
