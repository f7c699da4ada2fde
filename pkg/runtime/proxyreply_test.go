package runtime

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestProxyReply(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		payload     bool
		want        *Result
		fails       bool
	}{
		{"a value", `{"a":1}`, true, nil, false},
		{"no object", `["statusCode"]`, true, nil, false},
		{"no whole number", `{"statusCode":200.5}`, true, nil, false},
		{"text as status", `{"statusCode":"200"}`, true, nil, false},
		{"status", `{"statusCode":204}`, false, &Result{Status: 204}, false},
		{"another key", `{"statusCode":200,"other":1}`, false, nil, false},
		{"another key, to a payload", `{"statusCode":200,"other":1}`, true, &Result{Status: 200}, false},
		{"all keys", `{"statusCode":418,"statusDescription":"tea","headers":{"x-a":"1","x-b":2,"x-c":true,"x-d":null,"content-type":"text/plain"},"multiValueHeaders":{"X-A":["3","4"]},"cookies":["a=1","b=2"],"body":"dGVh","isBase64Encoded":true}`, false,
			&Result{Status: 418, ContentType: "text/plain", Header: http.Header{"X-A": {"3", "4"}, "X-B": {"2"}, "X-C": {"true"}, "Set-Cookie": {"a=1", "b=2"}}, Body: []byte("tea")}, false},
		{"body without content type", `{"statusCode":200,"body":"{}"}`, false, &Result{Status: 200, ContentType: "application/json", Body: []byte("{}")}, false},
		{"nulls", `{"statusCode":200,"headers":null,"multiValueHeaders":null,"cookies":null,"body":null}`, false, &Result{Status: 200}, false},
		{"body that is no text", `{"statusCode":200,"body":{}}`, false, nil, true},
		{"body that is not base64", `{"statusCode":200,"body":"=","isBase64Encoded":true}`, false, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ProxyReply([]byte(tt.value), tt.payload)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" || tt.fails != (err != nil) {
				t.Errorf("%v (-want, +got):\n%s", err, diff)
			}
		})
	}
}
