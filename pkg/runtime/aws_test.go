package runtime

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// awsProgram is a program for AWS Lambda's runtime API, in Python. What it does with
// each invocation is the body of handle, which may call answer or fail.
const awsProgram = `
import http.client, json, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def ask(method, path, body=None, headers={}):
    api.request(method, "/2018-06-01/runtime/" + path, body, headers)
    r = api.getresponse()
    return r.status, r.headers, r.read()
def answer(id, body, **headers):
    return ask("POST", "invocation/%s/response" % id, body, headers)
def fail(id, body, headers={}):
    return ask("POST", "invocation/%s/error" % id, body, headers)
`

const awsLoop = `
while True:
    _, headers, body = ask("GET", "invocation/next")
    handle(headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body))
`

func asAWS(t *testing.T, script string) func(*settings) {
	return func(s *settings) {
		s.Command, s.Protocol = []string{python(t), "-c", awsProgram + script}, ProtocolAWS
	}
}

func TestAWSAnswers(t *testing.T) {
	f := start(t, "", asAWS(t, `
def handle(id, event):
    if event == "bytes": answer(id, b"\x00\x01", **{"Content-Type": "image/png"})
    elif event == "text": answer(id, b"plain", **{"Content-Type": "application/json"})
    elif event == "base64": answer(id, b'{"specversion": "1.0", "type": "t", "data_base64": "AAE="}')
    elif event == "no event": answer(id, b'{"specversion": null, "type": "t"}')
    elif event == "error": fail(id, b'{"errorType": "Own", "errorMessage": "no", "stackTrace": ["at x"], "permanent": true}')
    elif event == "error in a header": fail(id, b'words', {"Lambda-Runtime-Function-Error-Type": "Runtime.Own"})
    elif event == "error of nothing": fail(id, b'')
    elif event == "other id": answer(id, json.dumps([answer("other", b"1")[0], fail("other", b"")[0]]))
    elif event == "twice": answer(id, b"1"); print(json.dumps({"message": "second: %d" % answer(id, b"2")[0]}), flush=True)
    elif event == "streamed":
        api.putrequest("POST", "/2018-06-01/runtime/invocation/%s/response" % id)
        for h in (("Transfer-Encoding", "chunked"), ("Lambda-Runtime-Function-Response-Mode", "streaming"), ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")): api.putheader(*h)
        api.endheaders()
        api.send(b"3\r\nabc\r\n0\r\nLambda-Runtime-Function-Error-Type: Late\r\nLambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiAidG9vIGxhdGUifQ==\r\n\r\n")
        api.getresponse().read()
    else: answer(id, json.dumps(event))
`+awsLoop), func(s *settings) { s.Workers = 1 })
	for _, tt := range []struct {
		event, kind, want string
		status            int
	}{
		{`{"a": 1}`, "application/json", `{"a": 1}`, 200},
		{`null`, "", ``, 204},
		{`"bytes"`, "image/png", "\x00\x01", 200},
		{`"text"`, "application/octet-stream", "plain", 200},
		{`"base64"`, "application/octet-stream", "\x00\x01", 200},
		{`"no event"`, "application/json", `{"specversion": null, "type": "t"}`, 200},
		{`"error"`, "application/json", `{"type":"Own","message":"no","permanent":true}`, 422},
		{`"error in a header"`, "application/json", `{"type":"Runtime.Own","message":"words","permanent":false}`, 500},
		{`"error of nothing"`, "application/json", `{"type":"Error","message":"","permanent":false}`, 500},
		{`"other id"`, "application/json", `[400, 400]`, 200},
		{`"twice"`, "application/json", `1`, 200},
		{`"streamed"`, "application/json", `{"type":"Late","message":"too late","permanent":false}`, 500},
	} {
		got := f.sendJSON(t, tt.event)
		if got.status != tt.status || got.header.Get("Content-Type") != tt.kind || string(got.body) != tt.want {
			t.Errorf("%s is answered with %d %q %s, want %d %q %s", tt.event, got.status, got.header.Get("Content-Type"), got.body, tt.status, tt.kind, tt.want)
		}
	}
	f.logs.line(t, "second: 400")
	if got := f.send(t, "\xff\xfe", "Content-Type", "image/png"); string(got.body) != `"//4="` {
		t.Errorf("bytes reach the program as %s, want base64", got.body)
	}
}

func TestAWSProgramsThatCannotStart(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"says why":     {`ask("POST", "init/error", b'{"errorType": "Config", "errorMessage": "no TABLE"}'); sys.exit(1)`, "Config: no TABLE"},
		"ends":         {`sys.exit(7)`, "the program ended before it asked for an invocation: exit status 7"},
		"never asks":   {`time.sleep(3600)`, "the program did not ask for an invocation within 500ms, as programs for the runtime API of AWS Lambda do"},
		"says nothing": {`ask("POST", "init/error", b''); sys.exit(1)`, "Error: "},
	} {
		_, err := tryStart(t, "", asAWS(t, tt.script), func(s *settings) { s.StartTimeout = 500 * time.Millisecond })
		var load *LoadError
		if !errors.As(err, &load) || err.Error() != tt.want {
			t.Errorf("a program that %s: %v, want the LoadError %s", name, err, tt.want)
		}
	}
}

func TestAWSProgramThatBreaksTheRules(t *testing.T) {
	f := start(t, "", asAWS(t, `
ask("GET", "invocation/next")
ask("GET", "invocation/next")
`), func(s *settings) { s.Workers = 1 })
	if got := f.sendJSON(t, `1`).value(t); got["type"] != "WorkerDied" {
		t.Errorf("answered %v, want WorkerDied", got)
	}
}

func TestAWSHeaders(t *testing.T) {
	if got, want := asciiJSON([]byte(`{"a":"é😀\""}`)), `{"a":"\u00e9\ud83d\ude00\""}`; got != want {
		t.Errorf("asciiJSON() = %s, want %s", got, want)
	}
	for traceparent, want := range map[string]string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=0",
		"": "", "00-1-2-3": "",
	} {
		if got := xrayTrace(traceparent); got != want {
			t.Errorf("xrayTrace(%q) = %q, want %q", traceparent, got, want)
		}
	}
}

func TestAWSPayload(t *testing.T) {
	for _, tt := range []struct{ kind, body, want string }{
		{"application/json", ` {"a": 1}`, ` {"a": 1}`}, {"", "1", "1"}, {"application/json", "", "null"},
		{"text/plain; charset=latin1", "\xe9", `"é"`}, {"", "abc", `"YWJj"`}, {"image/png", "abc", `"YWJj"`},
	} {
		got, err := payload(tt.kind, []byte(tt.body))
		if diff := cmp.Diff(tt.want, string(got)); diff != "" || err != nil {
			t.Errorf("payload(%q, %q): %v (-want, +got):\n%s", tt.kind, tt.body, err, diff)
		}
	}
	for kind, body := range map[string]string{"application/json": "{", "text/plain": "\xff", "text/x; charset=klingon": "x"} {
		if _, err := payload(kind, []byte(body)); err == nil || !strings.Contains(err.Error(), "announces") {
			t.Errorf("payload(%q, %q): error %v", kind, body, err)
		}
	}
}
