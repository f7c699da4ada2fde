package front

import (
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/runtime/contract"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

const (
	typeText = "text/plain; charset=utf-8"
)

// answers are what a worker sends for the contract's vectors.
var answers = map[string]struct {
	answer protocol.Answer
	body   string
	chunks []string
	raise  bool // an error ends the chunks
}{
	"none":           {},
	"value":          {protocol.Answer{ContentType: typeJSON}, `{"a":1}`, nil, false},
	"text":           {protocol.Answer{ContentType: typeJSON}, `"a text"`, nil, false},
	"number":         {protocol.Answer{ContentType: typeJSON}, "1.5", nil, false},
	"false":          {protocol.Answer{ContentType: typeJSON}, "false", nil, false},
	"bytes":          {protocol.Answer{ContentType: "application/octet-stream"}, "\x00\x01", nil, false},
	"event":          {protocol.Answer{ContentType: typeJSON, Event: map[string]any{"type": "io.example.reply", "count": 3}}, `{"a":1}`, nil, false},
	"response":       {protocol.Answer{Status: 201, ContentType: typeJSON, Headers: []protocol.Pair{{"X-A", "1"}, {"X-A", "2"}}, Cookies: []string{"a=1", "b=2; HttpOnly"}}, `{"ok":true}`, nil, false},
	"redirect":       {protocol.Answer{Status: 302, Headers: []protocol.Pair{{"location", "/there"}}}, "", nil, false},
	"conflict":       {protocol.Answer{Status: 409, ContentType: typeJSON}, `{"why":"there is one"}`, nil, false},
	"busy":           {protocol.Answer{Status: 503, ContentType: typeJSON, Headers: []protocol.Pair{{"retry-after", "7"}}}, "[]", nil, false},
	"aws":            {protocol.Answer{Status: 418, Headers: []protocol.Pair{{"x-a", "1"}, {"content-type", "text/plain"}}, Cookies: []string{"a=1"}}, "tea", nil, false},
	"not-aws":        {protocol.Answer{ContentType: typeJSON}, `{"statusCode":418,"other":1}`, nil, false},
	"stream-bytes":   {protocol.Answer{ContentType: "application/octet-stream"}, "a", []string{"b"}, false},
	"stream-text":    {protocol.Answer{ContentType: typeText}, "", []string{"a", "b"}, false},
	"stream-values":  {protocol.Answer{ContentType: "application/x-ndjson"}, "", []string{"{\"a\":1}\n", "{\"a\":2}\n"}, false},
	"stream-fails":   {protocol.Answer{ContentType: typeText}, "", []string{"a"}, true},
	"error":          {protocol.Answer{Kind: protocol.Error, Type: "ExampleError", Message: "it failed"}, "", nil, false},
	"permanent":      {protocol.Answer{Kind: protocol.Error, Type: "ExampleError", Message: "it failed", Permanent: true}, "", nil, false},
	"http-error":     {protocol.Answer{Kind: protocol.Error, Type: "HTTPError", Message: "GET only", Status: 405, Headers: []protocol.Pair{{"allow", "GET"}}}, "", nil, false},
	"bad-status":     {protocol.Answer{Status: 99, ContentType: typeJSON}, "null", nil, false},
	"bad-header":     {protocol.Answer{Status: 200, Headers: []protocol.Pair{{"x-a", "a\nb"}}}, "", nil, false},
	"head":           {protocol.Answer{ContentType: typeJSON}, `"a text"`, nil, false},
	"no-content":     {protocol.Answer{Status: 204, ContentType: typeText}, "x", nil, false},
	"not-modified":   {protocol.Answer{Status: 304, ContentType: typeText, Headers: []protocol.Pair{{"etag", `"1"`}}}, "x", nil, false},
	"unserialisable": {protocol.Answer{Kind: protocol.Error, Type: "InvalidReply", Message: "the handler returned a value of type object that cannot be written as JSON"}, "", nil, false},
}

func TestContract(t *testing.T) {
	f := serve(t, func(c *call) {
		reply := answers[c.Path[1:]]
		answer, body := reply.answer, reply.body
		if answer.Kind == "" {
			answer.Kind, answer.More = protocol.Result, reply.chunks != nil
		}
		if c.Path == "/aws" && c.Event != nil { // data, like any value
			answer = protocol.Answer{Kind: protocol.Result, ContentType: typeJSON}
			body = `{"statusCode": 418, "headers": {"x-a": "1", "content-type": "text/plain"}, "cookies": ["a=1"], "body": "dGVh", "isBase64Encoded": true}`
		}
		c.answer(answer, body)
		for _, data := range reply.chunks {
			_ = c.chunk(data)
		}
		switch {
		case reply.raise:
			c.answer(protocol.Answer{Kind: protocol.Error, Type: "ExampleError", Message: "it failed"}, "")
		case answer.More:
			c.end()
		}
	})
	var decoded []string // by languages, which the double is not
	for _, v := range contract.Requests() {
		decoded = append(decoded, v.Name)
	}
	contract.Run(t, f.URL, decoded...)
	f.free(t)
}

// TestContractIsWhole: there is an answer for each vector.
func TestContractIsWhole(t *testing.T) {
	for _, v := range contract.Vectors() {
		if _, ok := answers[v.Name]; !ok {
			t.Errorf("there is no answer for %s", v.Name)
		}
	}
	if want := len(contract.Vectors()); len(answers) != want {
		t.Errorf("there are %d answers for %d vectors", len(answers), want)
	}
}
