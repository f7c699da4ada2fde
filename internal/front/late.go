package front

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// abandon answers the client of a call that has not ended. The slot awaits its end.
func (x *exchange) abandon() error {
	err, reason := context.Canceled, protocol.ReasonDisconnect
	if !time.Now().Before(x.deadline) {
		err, reason = runtime.TimedOut(x.pool.cfg.Timeout), protocol.ReasonTimeout
	}
	_ = x.slot.conn.SetReadDeadline(x.deadline) // fails only where the connection is closed
	x.cancel(reason)
	if len(x.unsent) > 0 {
		x.sides.Add(1)
		x.pool.running.Go(func() {
			if x.write(x.unsent) {
				x.sideEnded()
			}
		})
	}
	x.pool.answered()
	if reason == protocol.ReasonTimeout {
		x.expire()
	}
	x.pool.running.Go(x.awaitEnd)
	return err
}

func (x *exchange) cancel(reason string) {
	x.slot.worker.send(protocol.Control{Kind: protocol.Cancel, Slot: x.slot.number, ID: x.id, Reason: reason})
}

// expire counts the call as one that is past its timeout.
func (x *exchange) expire() {
	_ = x.slot.conn.SetDeadline(time.Time{}) // fails only where the connection is closed
	x.pool.expired(x)
}

// awaitEnd drops the answer of a call that is no longer awaited.
func (x *exchange) awaitEnd() {
	for {
		a, size, err := x.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Now().Before(x.deadline) { // an interrupt that came late
				_ = x.slot.conn.SetReadDeadline(x.deadline)
				continue
			}
			x.cancel(protocol.ReasonTimeout)
			x.expire()
		case errors.Is(err, protocol.ErrHeaderTooLong):
			x.keepReader()
			x.sideEnded()
			return
		case err != nil:
			x.slot.worker.death()
			return
		case a == nil && size == 0 && x.begun, a != nil && (a.Kind != protocol.Result || !a.More):
			x.keepReader()
			x.sideEnded()
			return
		case a != nil:
			x.begun = true
		}
	}
}

// write writes all of data, however long the worker takes to read it. It reports
// false where the worker has ended.
func (x *exchange) write(data []byte) bool {
	for {
		n, err := x.slot.conn.Write(data)
		if data = data[n:]; err == nil {
			return true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		if !time.Now().Before(x.deadline) {
			x.pool.expired(x)
		}
		if x.slot.conn.SetWriteDeadline(time.Time{}) != nil {
			return false
		}
	}
}

// sendBody sends a streamed body. Its reader is closed when the client's request has
// been answered.
func (x *exchange) sendBody(body io.Reader) {
	piece := make([]byte, protocol.MaxChunk)
	for {
		n, err := body.Read(piece)
		if n > 0 && !x.writeFrame(nil, piece[:n]) {
			return
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			if !x.writeFrame(nil, nil) {
				return
			}
		default:
			if !x.writeFrame(protocol.Answer{Kind: protocol.Error, ID: x.id, Type: "RequestAborted", Message: protocol.Cut(err.Error(), protocol.MaxMessage)}, nil) {
				return
			}
		}
		x.sideEnded()
		return
	}
}

func (x *exchange) writeFrame(header any, body []byte) bool {
	head, err := protocol.AppendHead(nil, header, len(body))
	if err != nil { // of strings and numbers
		panic(err)
	}
	frame := net.Buffers{head, body}
	if _, err = frame.WriteTo(x.slot.conn); err == nil {
		return true
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	return x.write(slices.Concat(frame...))
}

// Read implements io.Reader for a streamed result: it returns what has arrived, and
// waits only where nothing has.
func (x *exchange) Read(p []byte) (int, error) {
	for {
		if x.done {
			return 0, io.EOF
		}
		n, err := x.frames.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil && err != io.EOF { //nolint:errorlint // the end of a frame, which is bare
			return 0, x.broken(err)
		}
		a, size, err := x.next()
		switch {
		case errors.Is(err, protocol.ErrHeaderTooLong):
			return 0, x.tooLong(err)
		case err != nil:
			return 0, x.broken(err)
		case a == nil && size > 0:
			continue
		case a == nil:
			x.finish()
			return 0, io.EOF
		case a.Kind == protocol.End:
			x.trailers = a.Trailers
			x.finish()
			return 0, io.EOF
		case a.Kind == protocol.Error:
			x.finish()
			return 0, raised(a)
		}
		return 0, x.broken(x.violation("it sent " + string(a.Kind) + " within a streamed result"))
	}
}

// Close implements io.Closer: it cancels a result that has not ended.
func (x *exchange) Close() error {
	if !x.done {
		_ = x.broken(os.ErrDeadlineExceeded)
	}
	return nil
}

// Trailers implements runtime.Trailers.
func (x *exchange) Trailers() http.Header { return headerOf(x.trailers) }
