package contract

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// awsProgram is the language of programs for AWS Lambda, with payloads.
func awsProgram(t *testing.T, change ...func(*settings)) *function {
	t.Helper()
	t.Setenv("TEST_HTTP", "1")
	for _, l := range languages {
		if l.name == "provided" {
			return start(t, l, append(change, func(s *settings) { s.HTTPEvent = "aws-v2" })...)
		}
	}
	t.Fatal("there are no programs")
	return nil
}

func TestAWSRequests(t *testing.T) {
	f := awsProgram(t)
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		want                     map[string]any // without what is new each time
		header                   map[string]any
	}{
		{"text", "POST", "/a%20b/c?x=1&x=2&y=%C3%A9", `{"a":1}`, []string{"Content-Type", "application/json", "X-A", "1", "Cookie", "a=1; b=2"},
			map[string]any{"version": "2.0", "rawPath": "/a%20b/c", "rawQueryString": "x=1&x=2&y=%C3%A9", "cookies": []any{"a=1", "b=2"},
				"queryStringParameters": map[string]any{"x": "1,2", "y": "é"}, "body": `{"a":1}`, "isBase64Encoded": false},
			map[string]any{"content-type": "application/json", "x-a": "1", "cookie": nil}},
		{"form", "PUT", "/", "a=1", []string{"Content-Type", "application/x-www-form-urlencoded"},
			map[string]any{"version": "2.0", "rawPath": "/", "rawQueryString": "", "body": "YT0x", "isBase64Encoded": true},
			map[string]any{"content-type": "application/x-www-form-urlencoded"}},
		{"no body", "GET", "/", "", nil, map[string]any{"version": "2.0", "rawPath": "/", "rawQueryString": "", "isBase64Encoded": false}, map[string]any{"content-type": nil}},
		{"not the text it says", "POST", "/", "\xff", []string{"Content-Type", "text/plain"},
			map[string]any{"version": "2.0", "rawPath": "/", "rawQueryString": "", "body": "/w==", "isBase64Encoded": true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := f.request(t, tt.method, tt.path, tt.body, tt.headers...)
			request, _ := got.value().(map[string]any)
			headers, _ := request["headers"].(map[string]any)
			about, _ := request["requestContext"].(map[string]any)
			delete(request, "headers")
			delete(request, "requestContext")
			if diff := cmp.Diff(tt.want, request); diff != "" || got.status != 201 {
				t.Errorf("answered %d (-want, +got):\n%s", got.status, diff)
			}
			for name, value := range tt.header {
				if headers[name] != value {
					t.Errorf("the header %s is %v, want %v", name, headers[name], value)
				}
			}
			path, _, _ := strings.Cut(tt.path, "?")
			request, _ = about["http"].(map[string]any)
			delete(request, "userAgent")
			if diff := cmp.Diff(map[string]any{"method": tt.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}, request); diff != "" {
				t.Error(diff)
			}
			if id := got.header.Get("X-Request-Id"); id == "" || about["requestId"] != id || about["domainName"] != "127.0.0.1" {
				t.Errorf("the context is %v, the request's id %s", about, id)
			}
			if at, _ := about["timeEpoch"].(float64); time.Since(time.UnixMilli(int64(at))) > time.Minute {
				t.Errorf("the time is %v", about["timeEpoch"])
			}
			if diff := cmp.Diff([]string{"a=1", "b=2"}, got.header.Values("Set-Cookie")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAWSReplies(t *testing.T) {
	f := awsProgram(t)
	for path, want := range map[string]struct {
		status            int
		contentType, body string
	}{
		"/value":              {200, "application/json", `{"a":1}`},
		"/own":                {202, "application/json", "taken"},
		"/bytes":              {200, "image/png", "\x00\x01"},
		"/wrong":              {500, "application/json", `{"type":"InvalidReply","message":"the handler returned a reply with statusCode that is not of the shape of AWS Lambda: json: cannot unmarshal object into Go struct field proxyReply.body of type string","permanent":false}`},
		"/fail":               {500, "application/json", `{"type":"ValueError","message":"it: failed","permanent":false}`},
		"/stream":             {206, "text/html", "first last"},
		"/stream-fails-first": {500, "application/json", `{"type":"errorString","message":"too late","permanent":false}`},
	} {
		got := f.request(t, "POST", path, "")
		if got.status != want.status || got.header.Get("Content-Type") != want.contentType || string(got.body) != want.body {
			t.Errorf("%s is answered %d %q %s, want %+v", path, got.status, got.header.Get("Content-Type"), got.body, want)
		}
	}
	// A CloudEvent is the data itself, and its answer is collected.
	if got := f.sendEvent(t, `{"rawPath":"/stream"}`); got.status != 206 || string(got.body) != "first last" || got.header.Get("Ce-Type") != "io.knative.lambda.response.success" {
		t.Errorf("an event is answered %d %v %s", got.status, got.header, got.body)
	}
	if got := f.sendEvent(t, `{"rawPath":"/bytes"}`); !json.Valid(got.body) || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("an event is answered %v %s", got.header, got.body)
	}
}

// TestAWSStreams: pieces arrive when they are made, and errors abort.
func TestAWSStreams(t *testing.T) {
	f := awsProgram(t, func(s *settings) { s.timeout = 2 * time.Second })
	until := filepath.Join(t.TempDir(), "until")
	response, err := http.Post(f.URL+"/stream?until="+until, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	piece := make([]byte, 100)
	if n, err := response.Body.Read(piece); err != nil || string(piece[:n]) != "first " {
		t.Errorf("the first piece is %q, %v", piece[:n], err)
	}
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "last" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	for _, path := range []string{"/stream-fails", "/slow"} {
		response, err := http.Post(f.URL+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != "first " {
			t.Errorf("%s is answered %q, %v, want an abort", path, body, err)
		}
	}
	for range 6 { // clients that go away leave the program free
		response, err := http.Post(f.URL+"/large", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if got := f.request(t, "POST", "/value", ""); got.status != 200 {
		t.Errorf("the next call is answered %d %s", got.status, got.body)
	}
}
