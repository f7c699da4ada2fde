package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

var publishTests = []test{
	{"PublishRoutesByEachKey", testRouting},
	{"PublishStoresOneCopyPerQueue", testOneCopy},
	{"PublishUnrouted", testUnrouted},
	{"PublishManyAtOnce", testConcurrent},
	{"PublishRefusesWhatCannotBeStored", testRefusals},
	{"PublishEndsWithItsContext", testEndedContext},
	{"PutWithoutQueue", testPutWithoutQueue},
	{"FullQueueRefuses", testFull},
	{"MessagesStayWhole", testWhole},
}

func testRouting(f *fixture) {
	keys := []string{f.unique("k"), f.unique("k"), f.unique("k"), f.unique("k")}
	var queues []string
	for _, key := range keys {
		queues = append(queues, f.queue(key))
	}
	other := f.queue(f.unique("k"))
	f.must(f.e.Publish(f.ctx(), keys, message("all")))
	f.must(f.e.Publish(f.ctx(), keys[2:3], message("third")))
	for i, q := range queues {
		c := f.consume(q, 10)
		f.must(c.next("all").Ack())
		if i == 2 {
			f.must(c.next("third").Ack())
		}
		c.none()
	}
	f.holds(other, 0)
}

func testOneCopy(f *fixture) {
	keys := []string{f.unique("k"), f.unique("k"), f.unique("k")}
	q := f.queue(keys...)
	f.must(f.e.Publish(f.ctx(), append(keys, f.unique("unbound")), message("one")))
	c := f.consume(q, 10)
	d := c.next("one")
	if _, ok := d.Message().Headers["BCC"]; ok || len(d.Message().Headers) != 1 {
		f.t.Errorf("headers = %v; want only the message's own", d.Message().Headers)
	}
	c.none()
}

func testUnrouted(f *fixture) {
	if err := f.e.Publish(f.ctx(), []string{f.unique("k"), f.unique("k")}, message("x")); !errors.Is(err, queue.ErrUnrouted) {
		f.t.Errorf("Publish() = %v; want ErrUnrouted", err)
	}
}

// testConcurrent: of many publishes at once, each gets the outcome of its own message.
func testConcurrent(f *fixture) {
	key, unbound, missing := f.unique("k"), f.unique("k"), f.unique("missing")
	q := f.queue(key)
	const each = 100
	var wg sync.WaitGroup
	errs := make(chan error, 3*each)
	expect := func(got, want error) {
		if !errors.Is(got, want) {
			errs <- fmt.Errorf("error %w; want %w", got, want)
		}
	}
	for i := range each {
		wg.Go(func() { expect(f.e.Publish(f.ctx(), []string{key}, message(fmt.Sprint(i))), nil) })
		wg.Go(func() { expect(f.e.Publish(f.ctx(), []string{unbound}, message("unrouted")), queue.ErrUnrouted) })
		wg.Go(func() { expect(f.e.Put(f.ctx(), missing, message("no queue")), queue.ErrNoQueue) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		f.t.Error(err)
	}
	f.holds(q, each)
}

func testRefusals(f *fixture) {
	q := f.queue()
	long := strings.Repeat("n", queue.MaxName+1)
	for name, err := range map[string]error{
		"no key":          f.e.Publish(f.ctx(), nil, message("x")),
		"a long key":      f.e.Publish(f.ctx(), []string{long}, message("x")),
		"a long name":     f.e.Put(f.ctx(), long, message("x")),
		"a long header":   f.e.Put(f.ctx(), q, &queue.Message{Headers: map[string]any{long: "x"}}),
		"BCC":             f.e.Put(f.ctx(), q, &queue.Message{Headers: map[string]any{"BCC": "x"}}),
		"headers":         f.e.Put(f.ctx(), q, &queue.Message{Headers: map[string]any{"a": strings.Repeat("x", queue.MaxHeaders)}}),
		"type":            f.e.Put(f.ctx(), q, &queue.Message{Headers: map[string]any{"a": []string{"x"}}}),
		"a long queue":    f.e.Declare(f.ctx(), queue.Declaration{Name: long}),
		"a long binding":  f.e.Bind(f.ctx(), q, long),
		"without handler": second(f.e.Consume(f.ctx(), queue.Consumer{Queue: q, Prefetch: 1})),
	} {
		if err == nil || errors.Is(err, queue.ErrUnavailable) {
			f.t.Errorf("%s: error %v; want a refusal", name, err)
		}
	}
	f.put(q, "still works")
	f.holds(q, 1)
}

func second[T any](_ T, err error) error { return err }

func testEndedContext(f *fixture) {
	q := f.queue()
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	if err := f.e.Put(ctx, q, message("x")); !errors.Is(err, queue.ErrUnavailable) {
		f.t.Errorf("Put() = %v; want ErrUnavailable", err)
	}
}

func testPutWithoutQueue(f *fixture) {
	if err := f.e.Put(f.ctx(), f.unique("missing"), message("x")); !errors.Is(err, queue.ErrNoQueue) {
		f.t.Errorf("Put() = %v; want ErrNoQueue", err)
	}
}

func testFull(f *fixture) {
	limiter, ok := f.e.(Limiter)
	if !ok {
		f.t.Skip("the engine limits no queues")
	}
	const limit, slack = 10, 100 // RabbitMQ takes some more until it notices
	key := f.unique("k")
	q, other := f.queue(key), f.queue(key)
	f.must(limiter.Limit(f.ctx(), q, limit))
	stored := 0
	var err error
	for ; err == nil && stored <= limit+slack; stored++ {
		err = f.e.Put(f.ctx(), q, message("x"))
	}
	if stored--; !errors.Is(err, queue.ErrFull) || stored < limit {
		f.t.Fatalf("after %d messages: %v; want ErrFull after %d", stored, err, limit)
	}
	if err := f.e.Publish(f.ctx(), []string{key}, message("both")); !errors.Is(err, queue.ErrFull) {
		f.t.Errorf("Publish() = %v; want ErrFull", err)
	}
	f.holds(other, 1)
	c := f.consume(q, limit)
	for range stored {
		f.must(c.any().Ack())
	}
	f.eventually("the queue accepts messages again", func() bool { return f.e.Put(f.ctx(), q, message("again")) == nil })
	f.must(c.next("again").Ack())
}

// testWhole: what is stored comes back as it was, whatever its size and bytes.
func testWhole(f *fixture) {
	q := f.queue()
	c := f.consume(q, 1)
	many := map[string]any{}
	for i := range 64 {
		many[fmt.Sprintf("attribute%d", i)] = strings.Repeat("é", 500)
	}
	for name, m := range map[string]*queue.Message{
		"empty":            {},
		"no headers":       {Body: []byte("x")},
		"id of 300 bytes":  {Headers: map[string]any{"id": strings.Repeat("i", 300), "type": strings.Repeat("t", 300)}},
		"64 KiB in one":    {Headers: map[string]any{"a": strings.Repeat("a", 64<<10-1)}},
		"64 KiB in many":   {Headers: many},
		"1 MiB of body":    {Body: bytes.Repeat([]byte{0, 1, 0xce, 0xff}, 1<<18)},
		"binary":           {Headers: map[string]any{"b": []byte{0, 0xff, 0xce}, "empty": []byte{}}, Body: []byte{0, 0xff}},
		"not ASCII":        {Headers: map[string]any{"subject": "Zażółć 漢字 🦔\x00\n", "größe": "€", "bad": "\xff\xfe"}, Body: []byte("ü")},
		"every type":       {Headers: map[string]any{"s": "", "t": true, "f": false, "i": int32(math.MinInt32), "l": int64(math.MaxInt64), "d": 1.5}},
		"a time":           {Headers: map[string]any{"time": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		"names of headers": {Headers: map[string]any{strings.Repeat("n", queue.MaxName): "x", "content-type": "text/plain", "message-id": "m"}},
	} {
		if err := f.e.Put(f.ctx(), q, m); err != nil {
			f.t.Errorf("%s: %v", name, err)
			continue
		}
		d := c.any()
		got := d.Message()
		if len(got.Headers)+len(m.Headers) > 0 && !reflect.DeepEqual(got.Headers, m.Headers) {
			f.t.Errorf("%s: headers %.200v; want %.200v", name, got.Headers, m.Headers)
		}
		if !bytes.Equal(got.Body, m.Body) {
			f.t.Errorf("%s: a body of %d bytes; want %d", name, len(got.Body), len(m.Body))
		}
		f.must(d.Ack())
	}
}
