package contract

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlainRequests(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		for _, tt := range []struct {
			name, contentType, body string
			want                    string // the value in what the handler got
		}{
			{"JSON object", "application/json", `{"a": 1}`, `{"kind": "value", "value": {"a": 1}}`},
			{"JSON with a suffix type", "application/ld+json; charset=utf-8", `[1]`, `{"kind": "value", "value": [1]}`},
			{"text", "text/plain", `{"a": 1}`, `{"kind": "value", "value": "{\"a\": 1}"}`},
			{"text of another charset", "text/plain; charset=latin1", "\xe9", `{"kind": "value", "value": "é"}`},
			{"bytes", "application/octet-stream", `abc`, `{"kind": "bytes", "value": "abc"}`},
			{"no content type, JSON", "", `{"a": 1}`, `{"kind": "value", "value": {"a": 1}}`},
			{"no content type, other", "", `abc`, `{"kind": "bytes", "value": "abc"}`},
			{"no body", "application/json", ``, `{"kind": "nothing", "value": null}`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if l.noBytes && strings.Contains(tt.want, `"bytes"`) {
					t.Skip("there are no bytes")
				}
				got := f.send(t, tt.body, "Content-Type", tt.contentType)
				var want any
				if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got.value()); diff != "" || got.status != 200 || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("answered %d %q %s (-want, +got):\n%s", got.status, got.header.Get("Content-Type"), got.body, diff)
				}
			})
		}
	})
}

func TestMalformedBodies(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		for _, tt := range []struct{ name, contentType, body, message string }{
			{"not the JSON it says", "application/json", `{bad`, `^the body is not the JSON that its content type application/json announces: .*` + regexp.QuoteMeta(l.notJSON)},
			{"more than one value", "application/json", `1 2`, `^the body is not the JSON that its content type application/json announces: `},
			{"not the text it says", "text/plain", "\xff", `^the body is not the text that its content type text/plain announces: `},
			{"unknown charset", "text/plain; charset=klingon", "x", `^the body is not the text that its content type text/plain; charset=klingon announces: .*klingon`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				for _, got := range []*answer{f.send(t, tt.body, "Content-Type", tt.contentType), f.sendEvent(t, tt.body, "Content-Type", tt.contentType)} {
					checkError(t, got, http.StatusBadRequest, "InvalidRequest", tt.message, true)
				}
			})
		}
	})
}

func TestReturnedValues(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		for _, tt := range []struct {
			what     string
			status   int
			wantType string
			want     any
		}{
			{"nothing", 204, "", nil},
			{"text", 200, "application/json", "a text"},
			{"list", 200, "application/json", []any{1.0, "é"}},
			{"number", 200, "application/json", 1.5},
			{"false", 200, "application/json", false},
			{"empty", 200, "application/json", map[string]any{}},
		} {
			got := f.sendJSON(t, `{"do": "return", "what": "`+tt.what+`"}`)
			if diff := cmp.Diff(tt.want, got.value()); got.status != tt.status || got.header.Get("Content-Type") != tt.wantType || diff != "" {
				t.Errorf("%s is answered with %d %q %s", tt.what, got.status, got.header.Get("Content-Type"), got.body)
			}
		}
		if l.noBytes {
			return
		}
		got := f.sendJSON(t, `{"do": "return", "what": "bytes"}`)
		if got.status != 200 || got.header.Get("Content-Type") != "application/octet-stream" || string(got.body) != "\x00\x01" {
			t.Errorf("bytes are answered with %d %q %q", got.status, got.header.Get("Content-Type"), got.body)
		}
	})
}

func TestEventsAnsweredInTheirMode(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		binary := f.sendEvent(t, `{"a": 1}`, "Ce-Lambdahops", "4").fields()
		if binary["id"] == "id-1" || binary["id"] == "" || binary["time"] == "" {
			t.Errorf("the reply's id is %v, its time %v", binary["id"], binary["time"])
		}
		delete(binary, "id")
		delete(binary, "time")
		want := map[string]any{"specversion": "1.0", "type": "io.knative.lambda.response.success", "source": "io.knative.lambda/function/ns/f", "subject": "subject-1",
			"causationid": "id-1", "lambdahops": "5", "datacontenttype": "application/json", "data": map[string]any{"kind": "value", "value": map[string]any{"a": 1.0}}}
		if diff := cmp.Diff(want, binary); diff != "" {
			t.Errorf("binary (-want, +got):\n%s", diff)
		}

		structured := f.send(t, `{"specversion": "1.0", "id": "id-2", "source": "/s", "type": "t", "data": {"b": 2}}`, "Content-Type", "application/cloudevents+json; charset=utf-8").fields()
		delete(structured, "id")
		delete(structured, "time")
		want = map[string]any{"specversion": "1.0", "type": "io.knative.lambda.response.success", "source": "io.knative.lambda/function/ns/f",
			"causationid": "id-2", "lambdahops": 1.0, "datacontenttype": "application/json", "data": map[string]any{"kind": "value", "value": map[string]any{"b": 2.0}}}
		if diff := cmp.Diff(want, structured); diff != "" {
			t.Errorf("structured (-want, +got):\n%s", diff)
		}
		if got := f.sendEvent(t, `{"do": "return", "what": "nothing"}`); got.status != http.StatusNoContent || len(got.body) > 0 {
			t.Errorf("nothing is answered with %d %s", got.status, got.body)
		}
	})
}

func TestReturnedEvents(t *testing.T) {
	filled := map[string]any{"specversion": "1.0", "type": "io.example.reply", "source": "io.knative.lambda/function/ns/f", "causationid": "id-1", "lambdahops": "1"}
	with := func(changes map[string]any) map[string]any {
		m := maps.Clone(filled)
		maps.Copy(m, changes)
		return m
	}
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		for name, want := range map[string]map[string]any{
			"event":  with(map[string]any{"data": map[string]any{"a": 1.0}, "datacontenttype": "application/json"}),
			"bare":   filled,
			"nested": with(map[string]any{"data": map[string]any{"specversion": "1.0", "type": "inner"}, "datacontenttype": "application/json"}),
			"full": with(map[string]any{"id": "own-id", "source": "/own", "subject": "own-subject", "time": "2026-01-02T00:00:00Z", "myext": "x", "count": "3",
				"data": "text", "datacontenttype": "text/plain"}),
		} {
			t.Run(name, func(t *testing.T) {
				got := f.sendEvent(t, `{"do": "return", "what": "`+name+`"}`)
				fields := got.fields()
				for _, key := range []string{"id", "time"} {
					if fields[key] == "" || fields[key] == nil {
						t.Errorf("%s was not filled in", key)
					}
					if want[key] == nil {
						delete(fields, key)
					}
				}
				if diff := cmp.Diff(want, fields); got.status != 200 || diff != "" {
					t.Errorf("answered %d (-want, +got):\n%s", got.status, diff)
				}
			})
		}
		got := f.sendJSON(t, `{"do": "return", "what": "event"}`)
		if got.status != 200 || got.header.Get("Ce-Type") != "io.example.reply" || got.header.Get("Ce-Causationid") != "" {
			t.Errorf("a plain request is answered with %d %v", got.status, got.header)
		}
		for what, message := range map[string]string{
			"invalid":       "^the handler returned a CloudEvent that is not valid: type: MUST be a non-empty string",
			"bad extension": `^the handler returned a CloudEvent that is not valid: attribute "not_valid": .*(lower-case letters and digits|lower-case letters)`,
		} {
			checkError(t, f.sendEvent(t, `{"do": "return", "what": "`+what+`"}`), 500, "InvalidReply", message, false)
		}
	})
}

func TestContext(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		got := f.request(t, http.MethodPost, "/some/path?a=b%20c", `{"do": "context"}`, "Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "id-1",
			"Ce-Source", "/test", "Ce-Type", "io.example.test", "Ce-Subject", "Caf%C3%A9%20100%25", "Ce-Time", "2026-01-02T03:04:05Z", "Ce-Myext", "x", "X-Own", "header", "Traceparent", traceparent)
		want := map[string]any{"id": "id-1", "type": "io.example.test", "source": "/test", "subject": "Café 100%", "time": "2026-01-02T03:04:05Z",
			"extensions": map[string]any{"myext": "x"}, "remaining": true, "header": "header", "method": "POST", "path": "/some/path",
			"traceparent": traceparent, "trace": "0af7651916cd43dd8448eb211c80319c", "name": "f", "namespace": "ns"}
		if diff := cmp.Diff(want, got.value()); diff != "" {
			t.Errorf("(-want, +got):\n%s", diff)
		}
		if subject := got.header.Get("Ce-Subject"); subject != "Caf%C3%A9%20100%25" {
			t.Errorf("the reply has the subject %s", subject)
		}
		if reply := got.header.Get("Ce-Traceparent"); reply != traceparent {
			t.Errorf("the reply's traceparent is %q, expected %q", reply, traceparent)
		}

		// What a plain request does not have is nothing, however a language writes that.
		plain, _ := f.sendJSON(t, `{"do": "context"}`).value().(map[string]any)
		for _, key := range []string{"id", "type", "source", "subject", "time", "header", "traceparent", "trace"} {
			if v := plain[key]; v != nil && v != "" {
				t.Errorf("the context of a plain request has %s %v", key, v)
			}
		}
		if diff := cmp.Diff(map[string]any{}, plain["extensions"]); diff != "" {
			t.Errorf("the extensions of a plain request (-want, +got):\n%s", diff)
		}
	}, "provided")
}

// TestContextOfPrograms: what AWS Lambda has no name for is in the client context.
func TestContextOfPrograms(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		got := f.sendEvent(t, `{"do": "context"}`, "Ce-Myext", "é", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		want := map[string]any{"id": true, "remaining": true, "name": "f", "handler": "any", "arn": "arn:knative:lambda:ns::function:f",
			"trace": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1",
			"custom": map[string]any{"specversion": "1.0", "id": "id-1", "source": "/test", "type": "io.example.test", "subject": "subject-1", "datacontenttype": "application/json",
				"myext": "é", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
		if diff := cmp.Diff(want, got.value()); diff != "" {
			t.Errorf("(-want, +got):\n%s", diff)
		}
	}, "python", "nodejs", "go")
}

func TestGetWithoutBody(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		got := start(t, l).request(t, http.MethodGet, "/", "")
		if diff := cmp.Diff(map[string]any{"kind": "nothing", "value": nil}, got.value()); diff != "" || got.status != 200 {
			t.Errorf("answered %d (-want, +got):\n%s", got.status, diff)
		}
	})
}
