package front

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
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

// programOf is a function that is such a program. Plain requests are payloads where
// httpEvent says so.
func programOf(t *testing.T, script, httpEvent string, change ...func(*setup)) *function {
	t.Helper()
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	return serve(t, nil, append([]func(*setup){func(s *setup) {
		s.Command, s.Protocol, s.Exclusive, s.httpEvent = []string{python, "-c", awsProgram + script}, runtime.ProtocolAWS, true, httpEvent
	}}, change...)...)
}

func TestAWSAnswers(t *testing.T) {
	f := programOf(t, `
def handle(id, event):
    if event == "bytes": answer(id, b"\x00\x01", **{"Content-Type": "image/png"})
    elif event == "text": answer(id, b"plain", **{"Content-Type": "application/json"})
    elif event == "base64": answer(id, b'{"specversion": "1.0", "type": "t", "data_base64": "AAE="}')
    elif event == "no event": answer(id, b'{"specversion": null, "type": "t"}')
    elif event == "error": fail(id, b'{"errorType": "Own", "errorMessage": "no", "stackTrace": ["at x"], "permanent": true}')
    elif event == "error in a header": fail(id, b'words', {"Lambda-Runtime-Function-Error-Type": "Runtime.Own"})
    elif event == "error of nothing": fail(id, b'')
    elif event == "other id": answer(id, json.dumps([answer("other", b"1")[0], fail("other", b"")[0]]))
    elif event == "twice": answer(id, b"1"); os.environ["SECOND"] = str(answer(id, b"2")[0])
    elif event == "second": answer(id, os.environ["SECOND"])
    else: answer(id, json.dumps(event))
`+awsLoop, "")
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
		{`"second"`, "application/json", `400`, 200},
	} {
		got := f.post(t, "/", tt.event, "Content-Type", typeJSON)
		if got.status != tt.status || got.header.Get("Content-Type") != tt.kind || got.body != tt.want {
			t.Errorf("%s is answered with %d %q %s, want %d %q %s", tt.event, got.status, got.header.Get("Content-Type"), got.body, tt.status, tt.kind, tt.want)
		}
	}
	if got := f.post(t, "/", "\xff\xfe", "Content-Type", "image/png"); got.body != `"//4="` {
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
		f := programOf(t, tt.script, "", func(s *setup) { s.StartTimeout = 500 * time.Millisecond })
		err := <-f.pool.Failed()
		var load *runtime.LoadError
		if !errors.As(err, &load) || err.Error() != tt.want {
			t.Errorf("a program that %s: %v, want the LoadError %s", name, err, tt.want)
		}
	}
}

func TestAWSProgramThatBreaksTheRules(t *testing.T) {
	f := programOf(t, `
ask("GET", "invocation/next")
ask("GET", "invocation/next")
`, "")
	if got := f.post(t, "/", `1`); got.status != 500 || !strings.Contains(got.body, "the program asked for an invocation before it had answered the last") {
		t.Errorf("answered %+v, want WorkerDied", got)
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
		got, err := programData(tt.kind, []byte(tt.body))
		if diff := cmp.Diff(tt.want, string(got)); diff != "" || err != nil {
			t.Errorf("payload(%q, %q): %v (-want, +got):\n%s", tt.kind, tt.body, err, diff)
		}
	}
	for kind, body := range map[string]string{"application/json": "{", "text/plain": "\xff", "text/x; charset=klingon": "x"} {
		if _, err := programData(kind, []byte(body)); err == nil || !strings.Contains(err.Error(), "announces") {
			t.Errorf("payload(%q, %q): error %v", kind, body, err)
		}
	}
}

// TestAWSShared: a program with several calls at once answers each by its id.
func TestAWSShared(t *testing.T) {
	f := programOf(t, `
import threading
held = threading.Barrier(3)
def loop():
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        r = api.getresponse()
        id, body = r.headers["Lambda-Runtime-Aws-Request-Id"], r.read()
        if json.loads(body) == "sleep": time.sleep(3600)
        held.wait()
        api.request("POST", "/2018-06-01/runtime/invocation/%s/response" % id, body)
        api.getresponse().read()
for _ in range(int(os.environ["AWS_LAMBDA_MAX_CONCURRENCY"])): threading.Thread(target=loop).start()
`, "", func(s *setup) {
		s.Exclusive, s.Concurrency, s.Timeout, s.timing.stop = false, 3, 3*time.Second, 100*time.Millisecond
	})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if got := f.post(t, "/", strconv.Itoa(i), "Content-Type", typeJSON); got.status != 200 || got.body != strconv.Itoa(i) {
				t.Errorf("call %d is answered %+v", i, got)
			}
		})
	}
	wg.Wait()
	if got := f.post(t, "/", `"sleep"`, "Content-Type", typeJSON); got.status != 504 {
		t.Errorf("a call that takes too long is answered %+v", got)
	}
	eventually(t, "a program that takes calls", func() bool { return f.pool.count(f.pool.accepting) == 1 })
}

func TestProgramEnvironment(t *testing.T) {
	cfg := &runtime.PoolConfig{Function: "f", Handler: "h", Protocol: runtime.ProtocolAWS, Workers: 2, Concurrency: 2, Exclusive: true}
	environment := func(environ ...string) map[string]string {
		set := map[string]string{}
		for _, e := range programEnvironment(cfg, environ, "127.0.0.1:9001") {
			name, value, _ := strings.Cut(e, "=")
			set[name] = value
		}
		return set
	}
	got := environment("HOSTNAME=pod-1")
	for name, want := range map[string]string{"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "LAMBDA_RUNTIME_DIR": "/lambda", "_HANDLER": "h", "TZ": ":UTC", "LANG": "C.UTF-8",
		"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if size, err := strconv.Atoi(got["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]); err != nil || size < 1 {
		t.Errorf("the memory size is %q", got["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
	}
	if !strings.HasSuffix(got["AWS_LAMBDA_LOG_STREAM_NAME"], "/[$LATEST]pod-1") {
		t.Errorf("the log stream is %q", got["AWS_LAMBDA_LOG_STREAM_NAME"])
	}
	for _, name := range []string{"AWS_LAMBDA_MAX_CONCURRENCY", "AWS_EXECUTION_ENV", "AWS_ACCESS_KEY_ID"} {
		if value, ok := got[name]; ok {
			t.Errorf("%s is set to %q", name, value)
		}
	}
	got = environment("AWS_REGION=eu-west-1", "TZ=Europe/Berlin", "no_proxy=example.com", "LAMBDA_LOG_FORMAT=text", "LAMBDA_LOG_LEVEL=warning")
	for name, want := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "TZ": "Europe/Berlin", "NO_PROXY": "example.com,127.0.0.1",
		"no_proxy": "example.com,127.0.0.1", "AWS_LAMBDA_LOG_FORMAT": "Text", "AWS_LAMBDA_LOG_LEVEL": "WARN"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	cfg.Exclusive, cfg.Concurrency = false, 20
	if got = environment(); got["AWS_LAMBDA_MAX_CONCURRENCY"] != "10" {
		t.Errorf("the concurrency is %q, want 10", got["AWS_LAMBDA_MAX_CONCURRENCY"])
	}
}

// TestClientContext: an event with a long attribute still reaches the program.
func TestClientContext(t *testing.T) {
	c := &programCall{Invocation: &runtime.Invocation{Event: map[string]any{"id": "1", "subject": strings.Repeat("é", 2000), "count": 3}, Traceparent: "t"}}
	if got, want := clientContext(c), `{"custom":{"count":"3","id":"1","traceparent":"t"}}`; got != want {
		t.Errorf("the context is %.200s, want %s", got, want)
	}
	if got := clientContext(&programCall{Invocation: &runtime.Invocation{}}); got != "" {
		t.Errorf("the context of nothing is %s", got)
	}
}
