package front

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// FuzzAnswers: whatever a worker answers, its client has a reply in time, a call is
// answered again, and nothing is left.
func FuzzAnswers(f *testing.F) {
	frame := func(header any, body string) []byte {
		head, err := protocol.AppendHead(nil, header, len(body))
		if err != nil {
			f.Fatal(err)
		}
		return append(head, body...)
	}
	more := frame(protocol.Answer{Kind: protocol.Result, ID: 1, More: true}, "body")
	f.Add(frame(protocol.Answer{Kind: protocol.Result, ID: 1}, "body"))
	f.Add(more)
	f.Add(append(more, frame(nil, "")...))
	f.Add(append(more, frame(protocol.Answer{Kind: protocol.Error, ID: 1}, "")...))
	f.Add(append(more, frame(protocol.Answer{Kind: protocol.Invoke, ID: 1}, "")...))
	f.Add(frame(protocol.Answer{Kind: protocol.Error, ID: 1, Status: 404, Headers: []protocol.Pair{{"\r\n", "\x00"}}}, ""))
	f.Add(frame(protocol.Answer{Kind: protocol.Result, ID: 7}, ""))
	f.Add([]byte("\x00\x20\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var first atomic.Bool
		function := serve(t, func(c *call) {
			if !first.Swap(true) {
				_, _ = c.conn.Write(answer)
				return
			}
			c.result("fine")
		}, func(s *setup) {
			s.Concurrency, s.Timeout, s.timing.overdue = 2, 20*time.Millisecond, 0
		})
		began := time.Now()
		if got := function.post(t, "/", ""); got.status == 0 || time.Since(began) > patience/2 {
			t.Errorf("answered %+v after %v", got, time.Since(began))
		}
		eventually(t, "a call that is answered", func() bool { return function.post(t, "/", "").body == "fine" })
	})
}
