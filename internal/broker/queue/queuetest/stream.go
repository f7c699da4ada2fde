package queuetest

import (
	"errors"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

var streamTests = []test{
	{"EachConsumerGetsAll", testStream},
	{"ReplaysWhatIsYoungEnough", testStreamReplay},
	{"StreamIsDeclaredAgain", testStreamDeclared},
}

func (f *fixture) stream() string {
	return f.declare(queue.Declaration{Name: f.unique("s"), Kind: queue.Stream, MaxAge: time.Hour, MaxBytes: 100 << 20})
}

func (f *fixture) read(name string, replay time.Duration) *consumer {
	return f.consumeAs(queue.Consumer{Queue: name, Scope: "stream", Prefetch: 10, Replay: replay})
}

func testStream(f *fixture) {
	s := f.stream()
	f.put(s, "1", "2")
	one, other := f.read(s, time.Hour), f.read(s, time.Hour)
	for _, c := range []*consumer{one, other} {
		for _, text := range []string{"1", "2"} {
			d := c.next(text)
			if n := len(d.Message().Headers); n != 1 {
				f.t.Errorf("headers %v; want only the message's own", d.Message().Headers)
			}
			if age := time.Since(d.Sent()); age < 0 || age > time.Minute {
				f.t.Errorf("the message was sent %s ago", age)
			}
			f.must(d.Ack())
		}
	}
	f.put(s, "3")
	f.must(one.next("3").Ack())
	f.must(other.next("3").Ack())
	other.none()
	f.must(one.c.Close())
	later := f.read(s, time.Hour)
	for _, text := range []string{"1", "2", "3"} {
		f.must(later.next(text).Ack())
	}
}

// testStreamReplay: RabbitMQ counts in seconds, and finds the start of a chunk of messages,
// so that some may be older.
func testStreamReplay(f *fixture) {
	s := f.stream()
	f.put(s, "old")
	time.Sleep(2500 * time.Millisecond)
	c := f.read(s, time.Second).works()
	c.none()
	f.put(s, "new")
	f.must(c.next("new").Ack())
}

func testStreamDeclared(f *fixture) {
	s := f.stream()
	f.must(f.e.Declare(f.ctx(), queue.Declaration{Name: s, Kind: queue.Stream, MaxAge: time.Hour, MaxBytes: 100 << 20}))
	if err := f.e.Declare(f.ctx(), queue.Declaration{Name: s}); !errors.Is(err, queue.ErrConflict) {
		f.t.Errorf("Declare() of a queue = %v, want %v", err, queue.ErrConflict)
	}
}
