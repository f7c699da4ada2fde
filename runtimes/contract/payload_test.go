package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPayloads: handlers of each language can get plain requests as AWS Lambda has them.
func TestPayloads(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l, func(s *settings) { s.HTTPEvent = "aws-v2" })
		got := f.request(t, "PUT", "/a/b?x=1", `{"n":1}`, "Content-Type", "application/json", "Cookie", "c=1")
		result, _ := got.value().(map[string]any)
		payload, _ := result["value"].(map[string]any)
		about, _ := payload["requestContext"].(map[string]any)
		request, _ := about["http"].(map[string]any)
		delete(payload, "requestContext")
		delete(payload, "headers")
		want := map[string]any{"version": "2.0", "routeKey": "$default", "rawPath": "/a/b", "rawQueryString": "x=1", "cookies": []any{"c=1"},
			"queryStringParameters": map[string]any{"x": "1"}, "body": `{"n":1}`, "isBase64Encoded": false}
		if diff := cmp.Diff(want, payload); diff != "" || request["method"] != "PUT" {
			t.Errorf("answered %d %s (-want, +got):\n%s", got.status, got.body, diff)
		}
		if got := f.sendEvent(t, `{"a": 1}`); got.status != 200 {
			t.Errorf("an event is answered %d %s", got.status, got.body)
		}
	})
}
