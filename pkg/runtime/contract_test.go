package runtime

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// echo returns what its event says, or what it got.
const echo = `
import datetime
from lambda_runtime import CloudEvent

RETURNS = {
    "none": None, "text": "a text", "list": [1, "é"], "number": 1.5, "false": False, "empty": {}, "bytes": b"\x00\x01",
    "event": CloudEvent("io.example.reply", {"a": 1}),
    "full": CloudEvent("io.example.reply", "text", id="own-id", source="/own", subject="own-subject", time=datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
                       datacontenttype="text/plain", myext="x", count=3, lambdahops=0),
    "dict": {"specversion": "1.0", "type": "io.example.reply", "source": "/own", "data": [1]},
    "base64": {"specversion": "1.0", "type": "io.example.reply", "data_base64": "AAE="},
    "nothing": CloudEvent("io.example.reply"),
    "nested": CloudEvent("io.example.reply", {"specversion": "1.0", "type": "inner"}),
    "invalid": {"specversion": "1.0", "type": ""},
    "badext": CloudEvent("io.example.reply", **{"not_valid": "x"}),
    "objext": CloudEvent("io.example.reply", ext=[1]),
}

def handler(event, context):
    if isinstance(event, dict) and "return" in event:
        return RETURNS[event["return"]]
    return {"got": repr(event)}
`

func TestPlainRequests(t *testing.T) {
	f := start(t, echo)
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
		wantType, want          string
	}{
		{"JSON object", "application/json", `{"a": 1}`, 200, "application/json", `{"got": "{'a': 1}"}`},
		{"JSON with a suffix type", "application/ld+json; charset=utf-8", `[1]`, 200, "application/json", `{"got": "[1]"}`},
		{"text", "text/plain", `{"a": 1}`, 200, "application/json", `{"got": "'{\"a\": 1}'"}`},
		{"text of another charset", "text/plain; charset=latin-1", "\xe9", 200, "application/json", `{"got": "'\u00e9'"}`},
		{"bytes", "application/octet-stream", `abc`, 200, "application/json", `{"got": "b'abc'"}`},
		{"no content type, JSON", "", `{"a": 1}`, 200, "application/json", `{"got": "{'a': 1}"}`},
		{"no content type, other", "", `abc`, 200, "application/json", `{"got": "b'abc'"}`},
		{"no body", "application/json", ``, 200, "application/json", `{"got": "None"}`},
		{"returns None", "application/json", `{"return": "none"}`, 204, "", ``},
		{"returns text", "application/json", `{"return": "text"}`, 200, "application/json", `"a text"`},
		{"returns a list", "application/json", `{"return": "list"}`, 200, "application/json", `[1, "\u00e9"]`},
		{"returns a number", "application/json", `{"return": "number"}`, 200, "application/json", `1.5`},
		{"returns False", "application/json", `{"return": "false"}`, 200, "application/json", `false`},
		{"returns an empty object", "application/json", `{"return": "empty"}`, 200, "application/json", `{}`},
		{"returns bytes", "application/json", `{"return": "bytes"}`, 200, "application/octet-stream", "\x00\x01"},
		{"not the JSON it says", "application/json", `{bad`, 400, "application/json",
			`{"type":"InvalidRequest","message":"the body is not the JSON that its content type application/json announces: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)","permanent":true}`},
		{"not the text it says", "text/plain", "\xff", 400, "application/json",
			`{"type":"InvalidRequest","message":"the body is not the text that its content type text/plain announces: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte","permanent":true}`},
		{"unknown charset", "text/plain; charset=klingon", "x", 400, "application/json",
			`{"type":"InvalidRequest","message":"the body is not the text that its content type text/plain; charset=klingon announces: unknown encoding: klingon","permanent":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := f.send(t, tt.body, "Content-Type", tt.contentType)
			if got.status != tt.status || got.header.Get("Content-Type") != tt.wantType || string(got.body) != tt.want {
				t.Errorf("answered %d %q %s, expected %d %q %s", got.status, got.header.Get("Content-Type"), got.body, tt.status, tt.wantType, tt.want)
			}
		})
	}
}

func TestGet(t *testing.T) {
	f := start(t, `
def handler(event, context):
    return [event, context.method, context.path, context.headers["x-own"], context.id, context.extensions]
`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/some/path?a=b%20c", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Own", "header")
	if got, want := string(f.do(t, r).body), `[null, "GET", "/some/path?a=b%20c", "header", null, {}]`; got != want {
		t.Errorf("answered %s, expected %s", got, want)
	}
}

// fields makes one map of an event in either mode.
func (a *answer) fields(t *testing.T) map[string]any {
	t.Helper()
	if strings.HasPrefix(a.header.Get("Content-Type"), typeStructured) {
		return a.value(t)
	}
	fields := map[string]any{}
	for k, v := range a.header {
		if name, ok := strings.CutPrefix(k, "Ce-"); ok {
			fields[strings.ToLower(name)] = v[0]
		}
	}
	if len(a.body) > 0 {
		fields["data"], fields["datacontenttype"] = string(a.body), a.header.Get("Content-Type")
	}
	return fields
}

func TestEventsAnsweredInTheirMode(t *testing.T) {
	f := start(t, echo)
	binary := f.sendEvent(t, `{"a": 1}`, "Ce-Lambdahops", "4").fields(t)
	if binary["id"] == "id-1" || binary["id"] == "" || binary["time"] == "" {
		t.Errorf("the reply's id is %v, its time %v", binary["id"], binary["time"])
	}
	delete(binary, "id")
	delete(binary, "time")
	want := map[string]any{"specversion": "1.0", "type": "io.knative.lambda.response.success", "source": "io.knative.lambda/function/test/f", "subject": "subject-1",
		"causationid": "id-1", "lambdahops": "5", "datacontenttype": "application/json", "data": `{"got": "{'a': 1}"}`}
	if diff := cmp.Diff(want, binary); diff != "" {
		t.Errorf("binary (-want, +got):\n%s", diff)
	}

	structured := f.send(t, `{"specversion": "1.0", "id": "id-2", "source": "/s", "type": "t", "data": {"b": 2}}`, "Content-Type", "application/cloudevents+json; charset=utf-8").fields(t)
	delete(structured, "id")
	delete(structured, "time")
	want = map[string]any{"specversion": "1.0", "type": "io.knative.lambda.response.success", "source": "io.knative.lambda/function/test/f",
		"causationid": "id-2", "lambdahops": 1.0, "datacontenttype": "application/json", "data": map[string]any{"got": "{'b': 2}"}}
	if diff := cmp.Diff(want, structured); diff != "" {
		t.Errorf("structured (-want, +got):\n%s", diff)
	}
	if got := f.sendEvent(t, `{"return": "none"}`); got.status != http.StatusNoContent || len(got.body) > 0 {
		t.Errorf("None is answered with %d %s", got.status, got.body)
	}
}

func TestReturnedEvents(t *testing.T) {
	f := start(t, echo)
	filled := map[string]any{"specversion": "1.0", "type": "io.example.reply", "source": "io.knative.lambda/function/test/f", "causationid": "id-1", "lambdahops": "1"}
	with := func(changes map[string]any) map[string]any {
		m := map[string]any{}
		for _, from := range []map[string]any{filled, changes} {
			for k, v := range from {
				m[k] = v
			}
		}
		return m
	}
	for name, want := range map[string]map[string]any{
		"event":   with(map[string]any{"data": `{"a": 1}`, "datacontenttype": "application/json"}),
		"dict":    with(map[string]any{"data": `[1]`, "datacontenttype": "application/json", "source": "/own"}),
		"base64":  with(map[string]any{"data": "\x00\x01", "datacontenttype": "application/octet-stream"}),
		"nothing": filled,
		"nested":  with(map[string]any{"data": `{"specversion": "1.0", "type": "inner"}`, "datacontenttype": "application/json"}),
		"full": with(map[string]any{"id": "own-id", "source": "/own", "subject": "own-subject", "time": "2026-01-02T00:00:00Z", "myext": "x", "count": "3",
			"data": "text", "datacontenttype": "text/plain"}),
	} {
		t.Run(name, func(t *testing.T) {
			got := f.sendEvent(t, `{"return": "`+name+`"}`)
			fields := got.fields(t)
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
	for name, want := range map[string]string{
		"invalid": "the handler returned a CloudEvent that is not valid: type: MUST be a non-empty string",
		"badext":  `attribute "not_valid": expected a name of lower-case letters and digits`,
		"objext":  "the handler returned a CloudEvent",
	} {
		t.Run(name, func(t *testing.T) {
			got := f.sendEvent(t, `{"return": "`+name+`"}`)
			if v := got.value(t); got.status != 500 || v["type"] != "InvalidReply" || !strings.Contains(v["message"].(string), want) {
				t.Errorf("answered %d %s, expected 500 InvalidReply with %q", got.status, got.body, want)
			}
		})
	}
}

func TestContext(t *testing.T) {
	f := start(t, `
def handler(event, context):
    return {"id": context.id, "type": context.type, "source": context.source, "subject": context.subject, "time": context.time,
            "extensions": context.extensions, "remaining": 15 < context.remaining_time() <= 20, "header": context.headers["x-own"],
            "traceparent": context.traceparent, "trace": context.trace_id, "name": context.function_name, "namespace": context.function_namespace}
`, func(*settings) {
		t.Setenv("LAMBDA_FUNCTION_NAME", "f")
		t.Setenv("LAMBDA_FUNCTION_NAMESPACE", "ns")
	})
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	got := f.sendEvent(t, ``, "Ce-Time", "2026-01-02T03:04:05Z", "Ce-Myext", "x", "X-Own", "header", "Traceparent", traceparent)
	want := map[string]any{"id": "id-1", "type": "io.example.test", "source": "/test", "subject": "subject-1", "time": "2026-01-02T03:04:05Z",
		"extensions": map[string]any{"myext": "x"}, "remaining": true, "header": "header",
		"traceparent": traceparent, "trace": "0af7651916cd43dd8448eb211c80319c", "name": "f", "namespace": "ns"}
	if diff := cmp.Diff(want, got.value(t)); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	if reply := got.header.Get("Ce-Traceparent"); reply != traceparent {
		t.Errorf("the reply's traceparent is %q, expected %q", reply, traceparent)
	}
}
