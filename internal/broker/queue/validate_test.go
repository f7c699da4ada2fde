package queue

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestMessageValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		headers map[string]any
		err     string
	}{
		{"none", nil, ""},
		{"every type", map[string]any{"s": "x", "b": true, "i": int32(1), "l": int64(1), "f": 1.5, "t": time.Now(), "x": []byte{0}}, ""},
		{"64 KiB and what the plane adds", map[string]any{"a": strings.Repeat("a", 64<<10), "traceparent": strings.Repeat("b", 55)}, ""},
		{"too large together", map[string]any{"a": strings.Repeat("a", 50<<10), "b": strings.Repeat("b", 50<<10)}, "the limit is 98304"},
		{"a name that AMQP cuts off", map[string]any{strings.Repeat("n", 256): "x"}, "the limit is 255"},
		{"no name", map[string]any{"": "x"}, "empty"},
		{"a route of its own", map[string]any{"BCC": "victim"}, "reserved"},
		{"a visible route of its own", map[string]any{"CC": "victim"}, "reserved"},
		{"RabbitMQ's own", map[string]any{"x-delivery-count": int64(1)}, "reserved"},
		{"a type without a form", map[string]any{"n": 1}, "type int"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			check(t, (&Message{Headers: tt.headers}).Validate(), tt.err)
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("q", 256)
	handler := func() Consumer { return Consumer{Queue: "q", Prefetch: 1, Handler: nop} }
	without, none, many := handler(), handler(), handler()
	without.Handler, none.Prefetch, many.Prefetch = nil, 0, 1<<16
	for _, tt := range []struct {
		name string
		got  error
		err  string
	}{
		{"keys", ValidateKeys([]string{"a", "b", "c", "d"}), ""},
		{"no key", ValidateKeys(nil), "0 keys"},
		{"five keys", ValidateKeys([]string{"a", "b", "c", "d", "e"}), "5 keys"},
		{"a long key", ValidateKeys([]string{"a", long}), "the limit is 255"},
		{"a queue", (&Declaration{Name: "q"}).Validate(), ""},
		{"a queue of a long name", (&Declaration{Name: long}).Validate(), "256 bytes"},
		{"a queue of an unknown kind", (&Declaration{Name: "q", Kind: "mirrored"}).Validate(), "unknown"},
		{"a stream", (&Declaration{Name: "s", Kind: Stream, MaxAge: time.Hour, MaxBytes: 1}).Validate(), ""},
		{"a stream without bounds", (&Declaration{Name: "s", Kind: Stream}).Validate(), "expected a bound"},
		{"an ordered stream", (&Declaration{Name: "s", Kind: Stream, MaxAge: time.Hour, MaxBytes: 1, Ordered: true}).Validate(), "no order"},
		{"a queue with the bounds of a stream", (&Declaration{Name: "q", MaxAge: time.Hour}).Validate(), "only a stream"},
		{"a consumer without handler", without.Validate(), "no handler"},
		{"a consumer without prefetch", none.Validate(), "prefetch is 0"},
		{"a consumer of too much", many.Validate(), "prefetch is 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			check(t, tt.got, tt.err)
		})
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v; want one that contains %q", err, want)
	}
}

func nop(context.Context, Delivery) {}
