package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

type order struct {
	Name   string `json:"name"`
	Amount int    `json:"amount"`
}

func invoker(t *testing.T, handler any) *Invoker {
	t.Helper()
	i, err := NewInvoker(handler, runtime.Limits{Timeout: time.Minute, Concurrency: 100}, "f", "ns", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func jsonBody(body string) *runtime.Invocation {
	return &runtime.Invocation{ContentType: "application/json", Body: []byte(body)}
}

func TestShapesOfHandlers(t *testing.T) {
	const body = `{"name": "Ada", "amount": 3}`
	for name, tt := range map[string]struct {
		handler any
		want    string
	}{
		"nothing":               {func() {}, ""},
		"context":               {func(ctx context.Context) string { return FromContext(ctx).FunctionName }, `"f"`},
		"value":                 {func(o order) order { return o }, `{"name":"Ada","amount":3}`},
		"pointer":               {func(o *order) *order { return o }, `{"name":"Ada","amount":3}`},
		"both":                  {func(_ context.Context, o order) (string, error) { return o.Name, nil }, `"Ada"`},
		"error only":            {func(order) error { return nil }, ""},
		"map":                   {func(m map[string]any) any { return m["name"] }, `"Ada"`},
		"bytes":                 {func(b []byte) int { return len(b) }, "28"},
		"raw JSON":              {func(r json.RawMessage) json.RawMessage { return r }, `{"name":"Ada","amount":3}`},
		"nil pointer":           {func() *order { return nil }, ""},
		"nil map":               {func() map[string]int { return nil }, ""},
		"HTML is not escaped":   {func() string { return "<a&b>" }, `"<a&b>"`},
		"method":                {order{Name: "x"}.hello, `"hello x"`},
		"data without an event": {func(o order) (order, error) { return o, nil }, `{"name":"Ada","amount":3}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := invoker(t, tt.handler).Invoke(t.Context(), jsonBody(body))
			if err != nil || string(got.Body) != tt.want {
				t.Errorf("returned %+v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func (o order) hello() string { return "hello " + o.Name }

// TestDecoding: JSON is UTF-8, curl's default type may have it, and the path has no query.
func TestDecoding(t *testing.T) {
	for _, tt := range []struct {
		contentType, body string
		want              string
		fails             bool
	}{
		{"application/json", "\xef\xbb\xbf{\"a\":1}", `{"a":1}`, false},
		{"application/json", "\"\xff\"", "", true},
		{"application/json", "NaN", "", true},
		{runtime.TypeForm, `{"a":1}`, `{"a":1}`, false},
		{runtime.TypeForm, `a=1&b=2&b=3`, `{"a":"1","b":["2","3"]}`, false},
	} {
		result, err := invoker(t, func(v any) any { return v }).Invoke(t.Context(), &runtime.Invocation{ContentType: tt.contentType, Body: []byte(tt.body)})
		var raised *runtime.HandlerError
		if tt.fails != errors.As(err, &raised) || tt.fails && !raised.BadInput || !tt.fails && string(result.Body) != tt.want {
			t.Errorf("%s %q: %v, %v, want %s", tt.contentType, tt.body, result, err, tt.want)
		}
	}
	result, err := invoker(t, func(ctx context.Context) string {
		c := FromContext(ctx)
		return c.Path + " " + c.Query().Get("x")
	}).Invoke(t.Context(), &runtime.Invocation{Path: "/a%20b?x=%31"})
	if err != nil || string(result.Body) != `"/a%20b 1"` {
		t.Errorf("the path is %s, %v", result.Body, err)
	}
}

// TestProxyReplies: values of the shape of AWS Lambda are replies to plain requests only.
func TestProxyReplies(t *testing.T) {
	i := invoker(t, func() any {
		return map[string]any{"statusCode": 201, "headers": map[string]string{"X-A": "1"}, "body": "made"}
	})
	plain, err := i.Invoke(t.Context(), &runtime.Invocation{})
	if err != nil || plain.Status != 201 || plain.Header.Get("X-A") != "1" || string(plain.Body) != "made" {
		t.Errorf("a plain request is answered %+v, %v", plain, err)
	}
	event, err := i.Invoke(t.Context(), &runtime.Invocation{Event: map[string]any{"id": "1"}})
	if err != nil || event.Status != 0 || event.ContentType != "application/json" {
		t.Errorf("an event is answered %+v, %v", event, err)
	}
	if _, err := invoker(t, func() any { return map[string]any{"statusCode": 201, "body": 1} }).Invoke(t.Context(), &runtime.Invocation{}); err == nil {
		t.Error("a body that is no text is a reply")
	}
}

func TestWrongShapes(t *testing.T) {
	for _, handler := range []any{nil, 3, (func())(nil), func(int, int) {}, func(context.Context, int, int) {}, func(...int) {},
		func() (int, int) { return 1, 2 }, func() (error, error) { return nil, nil }, func() (int, error, error) { return 1, nil, nil }} {
		if _, err := NewInvoker(handler, runtime.Limits{Timeout: time.Minute}, "", "", slog.Default()); err == nil || !strings.Contains(err.Error(), "expected func([context.Context], [T]) ([R], [error])") {
			t.Errorf("%T: error %v", handler, err)
		}
	}
}

func TestEvents(t *testing.T) {
	e := NewEvent("io.example.order")
	e.SetID("1")
	e.SetSource("/s")
	if err := e.SetData("application/json", order{"Ada", 3}); err != nil {
		t.Fatal(err)
	}
	in := &runtime.Invocation{CloudEvent: &e, Event: runtime.Attributes(&e), ContentType: "application/json", Body: e.Data()}
	for name, handler := range map[string]any{
		"value":   func(e Event) (Event, error) { e.SetType("reply"); return e, nil },
		"pointer": func(_ context.Context, e *Event) (*Event, error) { c := e.Clone(); c.SetType("reply"); return &c, nil },
	} {
		got, err := invoker(t, handler).Invoke(t.Context(), in)
		if err != nil || got.Event["type"] != "reply" || got.Event["id"] != "1" || string(got.Body) != `{"name":"Ada","amount":3}` {
			t.Errorf("%s: returned %+v, %v", name, got, err)
		}
	}
	checkBadInput(t, func(Event) {}, jsonBody(`{}`), "the request is no CloudEvent, which the handler takes")
}

func checkBadInput(t *testing.T, handler any, in *runtime.Invocation, want string) {
	t.Helper()
	_, err := invoker(t, handler).Invoke(t.Context(), in)
	var raised *runtime.HandlerError
	if !errors.As(err, &raised) || !raised.BadInput || !strings.HasPrefix(raised.Message, want) {
		t.Errorf("error %v, want bad input with %q", err, want)
	}
}

func TestBadInput(t *testing.T) {
	takes := func(order) {}
	checkBadInput(t, takes, jsonBody(`{`), "the body is not the JSON that its content type application/json announces: ")
	checkBadInput(t, takes, jsonBody(`{"amount": "many"}`), "the body is not what the handler takes, lambda.order: json: cannot unmarshal string into Go struct field order.amount")
	checkBadInput(t, takes, &runtime.Invocation{Body: []byte("x")}, "the body is not the JSON that the handler takes: ")
	checkBadInput(t, takes, &runtime.Invocation{ContentType: "image/png", Body: []byte("x")}, "the handler takes lambda.order, which is read from JSON; the content type is image/png")
	checkBadInput(t, func(string) {}, jsonBody(`1`), "the body is not what the handler takes, string: ")
	checkBadInput(t, func(string) {}, &runtime.Invocation{ContentType: "text/plain; charset=koi8-r", Body: []byte("x")}, "the body is not the text that its content type text/plain; charset=koi8-r announces: the charset koi8-r is unknown")
}

func TestBodiesAreNotShared(t *testing.T) {
	kept := make(chan []byte, 1)
	i := invoker(t, func(b []byte) { kept <- b })
	in := jsonBody(`abc`)
	if _, err := i.Invoke(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	copy(in.Body, "xyz") // as the next request does
	if got := string(<-kept); got != "abc" {
		t.Errorf("the handler's data became %s", got)
	}
}

type own struct{ error }

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err       error
		kind      string
		permanent bool
	}{
		"plain":             {errors.New("x"), "error", false},
		"wrapped":           {fmt.Errorf("x: %w", errors.New("y")), "error", false},
		"own type":          {fmt.Errorf("x: %w", &own{errors.New("y")}), "own", false},
		"permanent":         {Permanent(errors.New("x")), "PermanentError", true},
		"wrapped permanent": {fmt.Errorf("x: %w", Permanent(errors.New("y"))), "PermanentError", true},
	} {
		_, err := invoker(t, func() error { return tt.err }).Invoke(t.Context(), jsonBody(``))
		var raised *runtime.HandlerError
		if !errors.As(err, &raised) || raised.Type != tt.kind || raised.Permanent != tt.permanent || raised.Message != tt.err.Error() {
			t.Errorf("%s: raised %+v", name, err)
		}
	}
}

func TestTheContextEnds(t *testing.T) {
	i := invoker(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	i.limits.Timeout = 10 * time.Millisecond
	if _, err := i.Invoke(t.Context(), jsonBody(``)); !errors.Is(err, runtime.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
	var raised *runtime.HandlerError
	i.limits.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.Invoke(ctx, jsonBody(``)); !errors.As(err, &raised) || raised.Message != context.Canceled.Error() {
		t.Errorf("error %v, want that the client has gone", err)
	}
}

// TestHandlersThatTakeTooLong: the caller is answered at the timeout, whether or not
// the handler heeds its context, and once.
func TestHandlersThatTakeTooLong(t *testing.T) {
	until := make(chan struct{})
	cfg := &runtime.Config{MaxBody: 1024, EventSource: "/test"}
	telemetry, err := runtime.StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for name, handler := range map[string]any{
		"deaf":     func(context.Context) error { <-until; return nil },
		"obedient": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		i := invoker(t, handler)
		i.limits.Timeout = 50 * time.Millisecond
		server := httptest.NewServer(runtime.NewServer(cfg, i, telemetry))
		response, err := http.Post(server.URL, "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if want := `{"type":"Timeout","message":"the handler took too long: more than 50ms (spec.runtime.timeout)","permanent":false}`; err != nil || response.StatusCode != http.StatusGatewayTimeout || string(body) != want {
			t.Errorf("%s: answered %d %s, %v", name, response.StatusCode, body, err)
		}
		if name == "deaf" {
			close(until)
		}
		server.Close()
	}
}

func TestContextOutsideOfAnInvocation(t *testing.T) {
	c := FromContext(t.Context())
	c.Logger().Debug("works")
	if c.ID != "" || len(c.Extensions()) != 0 || c.TraceID() != "" || c.RemainingTime() != 0 {
		t.Errorf("the context is %+v", c)
	}
}

func TestTheContextOutlivesNothing(t *testing.T) {
	kept := make(chan context.Context, 2)
	i := invoker(t, func(ctx context.Context) error { kept <- ctx; return ctx.Err() })
	if _, err := i.Invoke(t.Context(), jsonBody(``)); err != nil {
		t.Fatal(err)
	}
	unasked := invoker(t, func(ctx context.Context) { kept <- ctx })
	if _, err := unasked.Invoke(t.Context(), jsonBody(``)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx := <-kept
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) < 30*time.Second || FromContext(ctx).FunctionName != "f" {
			t.Errorf("the deadline is %v, %t", deadline, ok)
		}
		select {
		case <-ctx.Done():
		default:
			t.Error("the context of an invocation that has ended goes on")
		}
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("its error is %v, want Canceled", ctx.Err())
		}
	}
}
