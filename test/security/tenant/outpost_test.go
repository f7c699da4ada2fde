//go:build e2e

package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// outpostCode sends requests from a tenant's own pod. A request is sent once and
// its answer returned; with "hold", so many connections send the beginning of a request
// and stay open, and the answer is how many of them still were at the end.
const outpostCode = `import select, socket, time, urllib.error, urllib.parse, urllib.request

class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None

def send(e):
    request = urllib.request.Request(e["url"], method=e.get("method", "POST"), headers=e.get("headers", {}), data=e.get("body", "").encode() or None)
    began = time.monotonic()
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay).open(request, timeout=e.get("timeout", 20)) as r:
            answer = {"status": r.status, "body": r.read(1 << 20).decode("utf-8", "replace")}
    except urllib.error.HTTPError as r:
        answer = {"status": r.code, "body": r.read(1 << 20).decode("utf-8", "replace")}
    except OSError as err:
        answer = {"status": 0, "body": str(err)}
    return {**answer, "seconds": time.monotonic() - began}

def hold(e):
    to = urllib.parse.urlsplit(e["url"])
    lines = ["POST " + (to.path or "/") + " HTTP/1.1", "Host: " + to.hostname] + [k + ": " + v for k, v in e["headers"].items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    end, conns, refused = time.monotonic() + e["seconds"], [], 0
    for _ in range(e["hold"]):
        try:
            conn = socket.create_connection((to.hostname, to.port or 80), timeout=2)
            conn.sendall(head + b" " * e["begin"])
            conns.append(conn)
        except OSError:
            refused += 1
    time.sleep(max(0, end - time.monotonic()))
    closed = len(select.select(conns, [], [], 0)[0])
    for conn in conns:
        conn.close()
    return {"open": len(conns) - closed, "refused": refused}

def handler(event, context):
    return hold(event) if "hold" in event else send(event)
`

// outpostName is the name of the function.
const outpostName = "outpost"

// order to an outpost.
type order struct {
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	// Hold is how many connections to open, each of which sends Begin bytes of a body and
	// stays open for Seconds.
	Hold    int `json:"hold,omitempty"`
	Begin   int `json:"begin"`
	Seconds int `json:"seconds,omitempty"`
}

// report of an outpost: the answer to a request, with how long it took, or how many
// connections were open at the end and how many were never made.
type report struct {
	Status        int
	Body          string
	Seconds       float64
	Open, Refused int
}

// outpost is a function of the tenant's that attacks from its pod.
func outpost(ctx context.Context, t *testing.T, a *test.Tenant, change ...func(*v1alpha1.LambdaFunctionSpec)) func(context.Context, order) report {
	t.Helper()
	f := ready(ctx, t, a, python(a, outpostName, outpostCode, append(change, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Runtime.Timeout = v1alpha1.NewDuration(time.Minute)
		s.Scaling.MinReplicas = ptr.Int32(1)
	})...))
	return func(ctx context.Context, o order) (r report) {
		t.Helper()
		body, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		err = test.Retry(test.Takeover, func() error {
			answer, err := a.Call(ctx, f.Status.URL, string(body))
			if err == nil && answer.Status == http.StatusOK {
				return json.Unmarshal([]byte(answer.Body), &r)
			}
			return fmt.Errorf("the outpost in %s answers %v: %w", a.Namespace, answer, err)
		})
		if err != nil {
			t.Error(err)
		}
		return r
	}
}

const receiverURL = "http://knative-lambda-receiver." + operatorNamespace + ".svc"

// posted is an order to post an event in the structured mode.
func posted(t *testing.T, url string, e event.Event) order {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return order{URL: url, Headers: map[string]string{"Content-Type": event.ApplicationCloudEventsJSON}, Body: string(body)}
}

func newEvent(id, eventType, source string, data any) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType(eventType)
	e.SetSource(source)
	e.SetTime(time.Now())
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		panic(err)
	}
	return e
}
