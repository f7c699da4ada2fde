package runtime

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// ownHeaders of a reply are the server's to write.
var ownHeaders = map[string]bool{"Connection": true, "Content-Length": true, "Content-Type": true, "Date": true, "Keep-Alive": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true}

// checkHeader says what of a result cannot be an HTTP reply.
func checkHeader(result *Result) *problem {
	if s := result.Status; s != 0 && (s < 200 || s > 599) {
		return invalidReply(fmt.Sprintf("the handler returned the status %d, expected one from 200 to 599", s))
	}
	lines, size := 0, 0
	for name, values := range result.Header {
		for _, value := range values {
			if !config.IsToken(name) || strings.ContainsAny(value, "\r\n\x00") {
				return invalidReply(fmt.Sprintf("the handler returned the header %.100q: %.100q, expected a name of letters, digits and - and a value without line breaks", name, value))
			}
			lines, size = lines+1, size+len(name)+len(value)
		}
	}
	if strings.ContainsAny(result.ContentType, "\r\n\x00") {
		return invalidReply(fmt.Sprintf("the handler returned the content type %.100q, expected one without line breaks", result.ContentType))
	}
	if lines > protocol.MaxReplyLines || size > protocol.MaxReplyHeaders {
		return invalidReply(fmt.Sprintf("the handler returned %d headers of %d bytes, expected at most %d of %d", lines, size, protocol.MaxReplyLines, protocol.MaxReplyHeaders))
	}
	return nil
}

// copyHeader copies the headers that a handler may set.
func (s *Server) copyHeader(to, from http.Header) {
	for name, values := range from {
		if !ownHeaders[name] && (s.cfg.CORS == nil || !isCORS(name)) {
			to[name] = append(to[name], values...)
		}
	}
}

// collect reads a streamed result for a reply that is sent as a whole.
func (s *Server) collect(result *Result) *problem {
	if result.Stream == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(result.Stream, int64(s.cfg.MaxBody)+1))
	if err == nil && len(body) > s.cfg.MaxBody {
		err = fmt.Errorf("%w: the handler returned more than %d bytes", ErrReplyTooLong, s.cfg.MaxBody)
	}
	if err != nil {
		return problemOf(err, s.cfg.ErrorStack)
	}
	if result.Body = body; result.ContentType == typeLines {
		result.Body, result.ContentType = list(body), typeJSON
	}
	return nil
}

// typeLines is what values are streamed as: one a line, in JSON.
const typeLines = "application/x-ndjson"

// list makes a JSON list of the lines.
func list(lines []byte) []byte {
	values := bytes.Split(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n"))
	return slices.Concat([]byte("["), bytes.Join(values, []byte(",")), []byte("]"))
}

// writePlain answers a plain request.
func (x *exchange) writePlain(result *Result) {
	h := x.w.Header() // by keys in their canonical form, which Set would look for
	x.server.copyHeader(h, result.Header)
	h["Content-Type"] = nil // nothing is guessed
	if result.ContentType != "" {
		h["Content-Type"] = []string{result.ContentType}
	}
	status, empty := result.Status, result.Stream == nil && len(result.Body) == 0
	if status == 0 && result.ContentType == "" && empty {
		status = http.StatusNoContent
	}
	status = cmp.Or(status, http.StatusOK)
	switch head := x.req.Method == http.MethodHead; {
	case !hasBody(status):
		h["Content-Type"] = nil
		x.w.WriteHeader(status)
	case head && (empty || result.Stream != nil): // applications leave the body out, and know its length
		if length, err := strconv.ParseUint(result.Header.Get("Content-Length"), 10, 63); err == nil {
			h["Content-Length"] = []string{strconv.FormatUint(length, 10)}
		}
		x.w.WriteHeader(status)
	case result.Stream != nil:
		x.stream(result, status)
	default:
		h["Content-Length"] = []string{strconv.Itoa(len(result.Body))}
		x.w.WriteHeader(status)
		_, _ = x.w.Write(result.Body) // the client may have closed its connection
	}
}

// hasBody reports whether a reply of that status has one.
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// pieces are buffers for streamed replies.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// stream passes a reply on as it arrives. One that fails after its head aborts the
// connection: the client must not take it for whole.
func (x *exchange) stream(result *Result, status int) {
	control := http.NewResponseController(x.w)
	_ = control.SetWriteDeadline(result.Deadline) // for a client that does not read
	x.w.WriteHeader(status)
	err := control.Flush()
	piece := pieces.Get().(*[32 << 10]byte)
	defer pieces.Put(piece)
	for err == nil {
		var n int
		n, err = result.Stream.Read(piece[:])
		if n > 0 {
			if _, failed := x.w.Write(piece[:n]); failed != nil {
				err = disconnected{failed}
			} else if failed := control.Flush(); failed != nil {
				err = disconnected{failed}
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		x.abort(err)
	}
	if t, ok := result.Stream.(Trailers); ok {
		for name, values := range t.Trailers() {
			x.w.Header()[http.TrailerPrefix+name] = values
		}
	}
	_ = control.SetWriteDeadline(time.Time{})
}

// disconnected is the error of a client's connection.
type disconnected struct{ error }

// Unwrap returns the connection's own error.
func (d disconnected) Unwrap() error { return d.error }

// abort ends a reply whose head has been sent, without its end.
func (x *exchange) abort(err error) {
	x.aborted(err)
	panic(http.ErrAbortHandler)
}

// aborted counts such a reply.
func (x *exchange) aborted(err error) {
	p := problemOf(err, false)
	reason := "invalid"
	var raised *HandlerError
	var client disconnected
	switch {
	case errors.As(err, &raised):
		reason = "error"
	case errors.Is(err, ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		reason, p.outcome = "timeout", outcomeTimeout
	case errors.Is(err, ErrWorkerDied), errors.Is(err, ErrWorkerBlocked):
		reason = "worker_died"
	case errors.As(err, &client), x.ctx.Err() != nil:
		reason, p.outcome = "disconnected", outcomeCancelled
	}
	slog.WarnContext(x.ctx, "a streamed reply was aborted", "reason", reason, "error", protocol.Cut(err.Error(), protocol.MaxMessage))
	x.server.telemetry.streamAborted(x.ctx, reason)
	x.count(p.outcome, p)
}

// bodyStream is a request's body that another goroutine reads, until it is closed.
type bodyStream struct {
	body    io.Reader
	control *http.ResponseController
	closed  atomic.Bool
	mu      sync.Mutex // held by Read
}

func newBodyStream(w http.ResponseWriter, r *http.Request) *bodyStream {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // else the reply waits for the request's end
	return &bodyStream{body: r.Body, control: control}
}

// Read implements io.Reader.
func (b *bodyStream) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, errors.New("the request has been answered")
	}
	return b.body.Read(p)
}

// close returns when no Read is under way.
func (b *bodyStream) close() {
	b.closed.Store(true)
	for !b.mu.TryLock() {
		_ = b.control.SetReadDeadline(time.Unix(1, 0)) // Read waits for the client
		time.Sleep(time.Millisecond)
	}
	b.mu.Unlock()
}
