package runtime

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const failing = `
import sys
from lambda_runtime import PermanentError

class Own(Exception):
    permanent = True

class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")

def generate():
    yield 1

def handler(event, context):
    what = event["what"]
    if what == "exception": raise ValueError("it: failed")
    if what == "bare": raise KeyError
    if what == "permanent": raise PermanentError("for good")
    if what == "own": raise Own("for good too")
    if what == "exit": sys.exit(3)
    if what == "interrupt": raise KeyboardInterrupt
    if what == "mute": raise Mute()
    if what == "object": return {"o": object()}
    if what == "nan": return float("nan")
    if what == "generator": return generate()
    if what == "deep":
        x = []
        for _ in range(100000): x = [x]
        return x
    if what == "surrogate": return {"s": "\ud800"}
    if what == "long": return "x" * (2 << 20)
    return "fine"
`

func TestErrors(t *testing.T) {
	f := start(t, failing)
	for _, tt := range []struct {
		what      string
		status    int
		kind      string
		message   string
		permanent bool
	}{
		{"exception", 500, "ValueError", "it: failed", false},
		{"bare", 500, "KeyError", "", false},
		{"permanent", 422, "PermanentError", "for good", true},
		{"own", 422, "Own", "for good too", true},
		{"exit", 500, "SystemExit", "3", false},
		{"interrupt", 500, "KeyboardInterrupt", "", false},
		{"mute", 500, "Mute", "(its text cannot be told)", false},
		{"object", 500, "InvalidReply", "the handler returned a value of type dict that cannot be written as JSON: Object of type object is not JSON serializable", false},
		{"nan", 500, "InvalidReply", "the handler returned a value of type float that cannot be written as JSON: Out of range float values are not JSON compliant", false},
		{"generator", 500, "InvalidReply", "the handler returned a value of type generator that cannot be written as JSON: Object of type generator is not JSON serializable", false},
		{"deep", 500, "InvalidReply", "the handler returned a value of type list that cannot be written as JSON: maximum recursion depth exceeded", false},
		{"long", 500, "InvalidReply", "the reply is too long: the handler returned 2097154 bytes, expected at most 1048576", false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			plain := f.sendJSON(t, `{"what": "`+tt.what+`"}`)
			got := plain.value(t)
			if message, _ := got["message"].(string); strings.HasPrefix(message, tt.message) && tt.message != "" {
				got["message"] = tt.message // the interpreter's own words differ between versions
			}
			want := map[string]any{"type": tt.kind, "message": tt.message, "permanent": tt.permanent}
			if diff := cmp.Diff(want, got); plain.status != tt.status || diff != "" {
				t.Errorf("answered %d, expected %d (-want, +got):\n%s", plain.status, tt.status, diff)
			}
			event := f.sendEvent(t, `{"what": "`+tt.what+`"}`)
			fields := event.fields(t)
			if event.status != tt.status || fields["type"] != "io.knative.lambda.response.error" || fields["causationid"] != "id-1" || fields["data"] != string(plain.body) {
				t.Errorf("the event was answered with %d %v, expected a response.error with the data %s", event.status, fields, plain.body)
			}
		})
	}
	if got := f.sendJSON(t, `{"what": "surrogate"}`); got.status != 200 || string(got.body) != `{"s": "\ud800"}` {
		t.Errorf("a lone surrogate is answered with %d %s", got.status, got.body)
	}
	if strings.Contains(f.logs.String(), "died") {
		t.Errorf("a worker died of what is only an error:\n%s", f.logs)
	}
}

func TestErrorStack(t *testing.T) {
	f := start(t, failing, func(s *settings) { s.ErrorStack = true })
	stack, _ := f.sendJSON(t, `{"what": "exception"}`).value(t)["stack"].(string)
	if !strings.Contains(stack, "main.py") || !strings.HasSuffix(stack, "ValueError: it: failed\n") {
		t.Errorf("the stack is %q", stack)
	}
	if strings.Contains(stack, "lambda_worker.py") {
		t.Errorf("the stack shows the worker, which is not the author's:\n%s", stack)
	}
}

func TestRefusedRequests(t *testing.T) {
	f := start(t, echo)
	large := `"` + strings.Repeat("x", 1<<20) + `"`
	event := func(more ...string) []string {
		return append([]string{"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t"}, more...)
	}
	for _, tt := range []struct {
		name    string
		body    string
		headers []string
		status  int
		message string
	}{
		{"batch", `[]`, []string{"Content-Type", "application/cloudevents-batch+json"}, 415, "batches of CloudEvents are not supported: send each event in a request of its own"},
		{"another format", `x`, []string{"Content-Type", "application/cloudevents+avro"}, 415, "CloudEvents as application/cloudevents+avro are not supported: send application/cloudevents+json or the binary mode"},
		{"too long", large, []string{"Content-Type", "application/json"}, 413, "the body is longer than 1048576 bytes"},
		{"too long, binary", large, event(), 413, "the body is longer than 1048576 bytes"},
		{"too long, structured", `{"data": ` + large + `}`, []string{"Content-Type", "application/cloudevents+json"}, 413, "the body is longer than 1048576 bytes"},
		{"attributes too long", `{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "ext": "` + strings.Repeat("\u2028", 200_000) + `"}`,
			[]string{"Content-Type", "application/cloudevents+json"}, 431, "the request is too long: attributes and headers of "},
		{"no type", `{}`, []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s"}, 400, "not a valid CloudEvent: type: MUST be a non-empty string"},
		{"unknown specversion", `{}`, event("Ce-Specversion", "9.9"), 400, "not a valid CloudEvent: "},
		{"structured, not JSON", `{`, []string{"Content-Type", "application/cloudevents+json"}, 400, "not a valid CloudEvent: "},
		{"structured, the SDK panics", `{"specversion":"1.0","id":"1","type":"x","source":"/s","data_base64":5}`, []string{"Content-Type", "application/cloudevents+json"}, 400, "not a valid CloudEvent: "},
		{"hops not a number", `{}`, event("Ce-Lambdahops", "many"), 400, `lambdahops: expected a whole number, got "many"`},
		{"too many hops", `{}`, event("Ce-Lambdahops", "11"), 422, "lambdahops is 11, more than 10: functions answer each other's events in a circle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := f.send(t, tt.body, tt.headers...)
			data := got.body
			if fields := got.fields(t); fields["specversion"] != nil {
				data, _ = json.Marshal(fields["data"])
				if text, ok := fields["data"].(string); ok {
					data = []byte(text)
				}
			}
			var v struct {
				Type, Message string
				Permanent     bool
			}
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			if got.status != tt.status || v.Type != "InvalidRequest" || !v.Permanent || !strings.HasPrefix(v.Message, tt.message) {
				t.Errorf("answered %d %s, expected %d %q", got.status, data, tt.status, tt.message)
			}
		})
	}
	if got := f.sendEvent(t, `{}`, "Ce-Lambdahops", "10"); got.status != 200 || got.header.Get("Ce-Lambdahops") != "11" {
		t.Errorf("the tenth hop is answered with %d, lambdahops %s", got.status, got.header.Get("Ce-Lambdahops"))
	}
}
