package delivery

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

func anywhere(string, string, netip.Addr) error { return nil }

func anEvent() *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("order.placed")
	e.SetSource("/shop")
	e.SetExtension("knativebrokerttl", 255)
	e.SetExtension("knativearrivaltime", "2026-01-02T03:04:05Z")
	_ = e.SetData("application/json", json.RawMessage(`{"n":1}`))
	return &e
}

func addressable(t *testing.T, address string) duckv1.Addressable {
	t.Helper()
	parsed, err := apis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return duckv1.Addressable{URL: parsed}
}

func request(t *testing.T, address string) *Request {
	t.Helper()
	return &Request{Namespace: "team", To: addressable(t, address), Event: anEvent(), Timeout: 5 * time.Second, Reply: true}
}

const eventReply = `{"specversion":"1.0","id":"2","type":"order.paid","source":"/bank","data":{"ok":true}}`

// TestSend_RetryMatrix: which responses are delivered, retried or final, as Knative's
// specification has it.
func TestSend_RetryMatrix(t *testing.T) {
	t.Parallel()
	type answer struct {
		status int
		header map[string]string
		body   string
	}
	structured := map[string]string{"Content-Type": "application/cloudevents+json"}
	for name, tt := range map[string]struct {
		answer           answer
		delivered, retry bool
		status           int
		reply            string
		data             string
	}{
		"200":                            {answer: answer{status: 200}, delivered: true},
		"202":                            {answer: answer{status: 202}, delivered: true},
		"204":                            {answer: answer{status: 204}, delivered: true},
		"a plain body":                   {answer: answer{status: 200, body: "thanks"}, delivered: true},
		"a long plain body":              {answer: answer{status: 200, body: strings.Repeat("x", 4<<10)}, delivered: true},
		"a structured reply":             {answer: answer{200, structured, eventReply}, delivered: true, reply: "order.paid"},
		"a binary reply":                 {answer: answer{200, map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "2", "Ce-Type": "b", "Ce-Source": "/b"}, "data"}, delivered: true, reply: "b"},
		"a reply that the SDK panics on": {answer{200, structured, `{"specversion":"1.0","id":"1","type":"x","source":"/s","data_base64":5}`}, false, true, 502, "", "the reply is not a valid CloudEvent"},
		"a malformed reply":              {answer{200, structured, "{"}, false, true, 502, "", "the reply is not a valid CloudEvent"},
		"a reply without id":             {answer{200, map[string]string{"Ce-Specversion": "1.0", "Ce-Type": "b", "Ce-Source": "/b"}, ""}, false, true, 502, "", "not a valid CloudEvent"},
		"a batch":                        {answer{200, map[string]string{"Content-Type": "application/cloudevents-batch+json"}, "[]"}, false, true, 502, "", "batch"},
		"a reply over the limit":         {answer{200, structured, strings.Repeat(" ", 2<<10) + eventReply}, false, true, 502, "", "too large"},
		"301":                            {answer{301, map[string]string{"Location": "/elsewhere"}, ""}, false, false, 0, "", ""},
		"307":                            {answer{307, map[string]string{"Location": "/elsewhere"}, ""}, false, false, 0, "", ""},
		"400":                            {answer: answer{status: 400, body: "no"}, data: "no"},
		"401":                            {answer: answer{status: 401}},
		"403":                            {answer: answer{status: 403}},
		"404":                            {answer: answer{status: 404}, retry: true},
		"405":                            {answer: answer{status: 405}},
		"408":                            {answer: answer{status: 408}, retry: true},
		"409":                            {answer: answer{status: 409}, retry: true},
		"410":                            {answer: answer{status: 410}},
		"413":                            {answer: answer{status: 413}},
		"422":                            {answer: answer{status: 422}},
		"429":                            {answer: answer{status: 429}, retry: true},
		"500":                            {answer: answer{status: 500, body: strings.Repeat("x", 4<<10)}, retry: true, data: strings.Repeat("x", maxErrorData)},
		"501":                            {answer: answer{status: 501}, retry: true},
		"502":                            {answer: answer{status: 502}, retry: true},
		"503":                            {answer: answer{status: 503}, retry: true},
		"504":                            {answer: answer{status: 504}, retry: true},
		"a reply of a failed status":     {answer{500, structured, eventReply}, false, true, 0, "", "order.paid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				for k, v := range tt.answer.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tt.answer.status)
				_, _ = io.WriteString(w, tt.answer.body)
			}))
			defer server.Close()
			result := New(Options{Permit: anywhere, ReplyLimit: 1 << 10}).Send(t.Context(), request(t, server.URL))
			want := tt.status
			if want == 0 {
				want = tt.answer.status
			}
			if delivered := result.Err == nil; delivered != tt.delivered || result.Retry != tt.retry || result.Status != want {
				t.Errorf("delivered %t, retry %t, status %d (%v); want %t, %t, %d", delivered, result.Retry, result.Status, result.Err, tt.delivered, tt.retry, want)
			}
			if got := result.Reply; (got != nil) != (tt.reply != "") || got != nil && got.Type() != tt.reply {
				t.Errorf("reply is %v, want type %q", got, tt.reply)
			}
			if !strings.Contains(string(result.Data), tt.data) || len(result.Data) > maxErrorData {
				t.Errorf("data is %q, want %q", result.Data, tt.data)
			}
			if requests != 1 {
				t.Errorf("%d requests: a redirect is followed, or the client retries", requests)
			}
		})
	}
}

// TestSend_WhenNoAnswer_Retries: connections that are refused, cut or silent.
func TestSend_WhenNoAnswer_Retries(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer cut.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer silent.Close()
	for name, address := range map[string]string{"refused": closed.URL, "cut": cut.URL, "silent": silent.URL} {
		r := request(t, address)
		r.Timeout = 200 * time.Millisecond
		result := New(Options{Permit: anywhere}).Send(t.Context(), r)
		if result.Err == nil || !result.Retry || result.Status != NoAnswer || result.ErrorCode() != 500 || len(result.Data) == 0 {
			t.Errorf("%s: %+v; want no answer, retried, code 500", name, result)
		}
	}
}

// TestSend_Request: what a subscriber gets.
func TestSend_Request(t *testing.T) {
	t.Parallel()
	structured := eventingduckv1.DeliveryFormatJson
	audience := "subscriber"
	for name, tt := range map[string]struct {
		change func(*Request)
		check  func(h http.Header, body string) error
	}{
		"binary": {func(*Request) {}, func(h http.Header, body string) error {
			for k, v := range map[string]string{"Ce-Id": "1", "Ce-Type": "order.placed", "Ce-Source": "/shop", "Content-Type": "application/json", "Kn-Namespace": "team",
				"Prefer": "reply", "Ce-Knativebrokerttl": "", "Ce-Knativearrivaltime": "2026-01-02T03:04:05Z", "Authorization": "", "Accept-Encoding": ""} {
				if got := h.Get(k); got != v {
					return fmt.Errorf("%s is %q, want %q", k, got, v)
				}
			}
			if body != `{"n":1}` || h.Get("Content-Length") != "7" {
				return fmt.Errorf("body is %q of length %s", body, h.Get("Content-Length"))
			}
			return nil
		}},
		"structured": {func(r *Request) { r.Format = &structured }, func(h http.Header, body string) error {
			if h.Get("Content-Type") != "application/cloudevents+json" || !strings.Contains(body, `"id":"1"`) || strings.Contains(body, "ttl") {
				return fmt.Errorf("%s: %s", h.Get("Content-Type"), body)
			}
			return nil
		}},
		"dead letter sink": {func(r *Request) { r.Reply = false }, func(h http.Header, _ string) error {
			if h.Get("Prefer") != "" {
				return errors.New("a dead letter sink is asked for a reply")
			}
			return nil
		}},
		"token": {func(r *Request) { r.ServiceAccount, r.To.Audience = "sender", &audience }, func(h http.Header, _ string) error {
			if got := h.Get("Authorization"); got != "Bearer team/sender for subscriber" {
				return errors.New(got)
			}
			return nil
		}},
		"password": {func(r *Request) { r.To.URL.User = url.UserPassword("user", "password") }, func(h http.Header, _ string) error {
			if got := h.Get("Authorization"); got != "Basic dXNlcjpwYXNzd29yZA==" {
				return errors.New(got)
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var header http.Header
			var body []byte
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				header = r.Header
				header.Set("Content-Length", fmt.Sprint(r.ContentLength))
				body, _ = io.ReadAll(r.Body)
			}))
			defer server.Close()
			r := request(t, server.URL)
			tt.change(r)
			if result := New(Options{Permit: anywhere, Tokens: tokens{}}).Send(t.Context(), r); result.Err != nil {
				t.Fatal(result.Err)
			}
			if err := tt.check(header, string(body)); err != nil {
				t.Error(err)
			}
			if r.Event.Extensions()["knativebrokerttl"] == nil {
				t.Error("the caller's event has lost its TTL")
			}
		})
	}
}

type tokens struct{}

func (tokens) GetJWT(account types.NamespacedName, audience string) (string, error) {
	return account.String() + " for " + audience, nil
}

// TestSend_EndlessReply: a reply without end costs no more than the limit.
func TestSend_EndlessReply(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		chunk := make([]byte, 64<<10)
		for {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	for _, contentType := range []string{"text/plain", "application/cloudevents+json"} {
		r := request(t, server.URL+"?type="+url.QueryEscape(contentType))
		result := New(Options{Permit: anywhere, ReplyLimit: 1 << 20}).Send(t.Context(), r)
		if delivered := result.Err == nil; delivered != (contentType == "text/plain") {
			t.Errorf("%s: %v", contentType, result.Err)
		}
	}
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were read", n)
	}
}

// TestSend_Trust: one namespace's CA certificates and connections are not another's.
func TestSend_Trust(t *testing.T) {
	t.Parallel()
	var protocol atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol.Store(r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	caCerts := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	var mu sync.Mutex
	dialled := map[string]int{}
	c := New(Options{Permit: func(namespace, _ string, _ netip.Addr) error {
		mu.Lock()
		defer mu.Unlock()
		dialled[namespace]++
		if namespace == "hostile" {
			return errors.New("not permitted")
		}
		return nil
	}})
	send := func(namespace string, caCerts *string) error {
		r := request(t, server.URL)
		r.Namespace, r.To.CACerts = namespace, caCerts
		return c.Send(t.Context(), r).Err
	}
	for range 3 {
		if err := send("team", &caCerts); err != nil {
			t.Fatal(err)
		}
	}
	if got := protocol.Load(); got != "HTTP/2.0" {
		t.Errorf("the protocol is %v, want HTTP/2.0", got)
	}
	if err := send("team", nil); err == nil {
		t.Error("the CA certificates of one destination are trusted for another")
	}
	if err := send("hostile", &caCerts); err == nil {
		t.Error("a connection that one namespace may have is used by another")
	}
	if dialled["team"] != 2 {
		t.Errorf("dialled %d times, want one connection for each trust", dialled["team"])
	}
	nonsense := "nonsense"
	if err := send("other", &nonsense); err == nil {
		t.Error("CA certificates that are none are accepted")
	}
	c.transports.now = func() time.Time { return time.Now().Add(time.Hour) }
	if err := send("team", &caCerts); err != nil {
		t.Error(err)
	}
	if len(c.transports.all) != 1 {
		t.Errorf("%d transports are kept, want the one in use", len(c.transports.all))
	}
}

func TestSend_WhenCanceled_Ends(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if result := New(Options{Permit: anywhere}).Send(ctx, request(t, server.URL)); !errors.Is(result.Err, context.DeadlineExceeded) {
		t.Errorf("Send = %v, want the context's error", result.Err)
	}
}

// TestKeepBody: a body that is no event is kept up to a bound, if that is asked for.
func TestKeepBody(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		keep    int64
		body    string
		kept    string
		omitted bool
	}{
		"not asked for": {0, "done", "", false},
		"within":        {4, "done", "done", false},
		"too long":      {3, "done", "", true},
		"none":          {4, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(tt.body))}
			r := New(Options{}).judge(t.Context(), &Request{Reply: true, KeepBody: tt.keep}, response)
			if r.Err != nil || string(r.Body) != tt.kept || r.Omitted != tt.omitted {
				t.Errorf("%+v, want %q, omitted %v", r, tt.kept, tt.omitted)
			}
		})
	}
	broken := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))}
	if r := New(Options{}).judge(t.Context(), &Request{KeepBody: 4}, broken); r.Err == nil || !r.Retry {
		t.Errorf("a body that cannot be read: %+v, want a failure to try again", r)
	}
}
