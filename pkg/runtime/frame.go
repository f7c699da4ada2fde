package runtime

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// MaxHeader is the longest header of a frame, in bytes.
const MaxHeader = 1 << 20

// Kinds of frames, see docs/worker-protocol.md.
const (
	// KindReady is a worker's first word: it has loaded the handler.
	KindReady = "ready"
	// KindFailed is a worker's last word: it could not load the handler.
	KindFailed = "failed"
	// KindInvoke asks a worker to call the handler.
	KindInvoke = "invoke"
	// KindResult is what the handler returned.
	KindResult = "result"
	// KindError is what the handler raised.
	KindError = "error"
)

// Header is a frame's head, as JSON on the wire. A field is there only in the
// kinds that its comment names.
type Header struct {
	// Kind of the frame.
	Kind string `json:"kind"`
	// ID of the invocation: invoke, and result and error that answer it.
	ID uint64 `json:"id,omitempty"`
	// Deadline of the invocation in milliseconds since 1970: invoke.
	Deadline int64 `json:"deadline,omitempty"`
	// Event holds the CloudEvent's attributes and extensions: invoke of an
	// event, and result where the handler returned one.
	Event map[string]any `json:"event,omitempty"`
	// ContentType of the body: invoke and result. Empty in a result says that
	// the handler returned nothing.
	ContentType string `json:"contentType,omitempty"`
	// Method, Path and Headers of the request: invoke.
	Method  string            `json:"method,omitempty"`
	Path    string            `json:"path,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Type, Message, Stack and Permanent of an error: error; Message also of
	// failed.
	Type      string `json:"type,omitempty"`
	Message   string `json:"message,omitempty"`
	Stack     string `json:"stack,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	// BadInput tells that the error is the request's: its body is not what its
	// content type says. error.
	BadInput bool `json:"badInput,omitempty"`
}

// WriteFrame writes a frame: the lengths of header and body as 32-bit
// big-endian numbers, the header as JSON, the body.
func WriteFrame(w *bufio.Writer, h *Header, body []byte) error {
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	var lengths [8]byte
	binary.BigEndian.PutUint32(lengths[:4], uint32(len(head))) //nolint:gosec // far below 4 GiB
	binary.BigEndian.PutUint32(lengths[4:], uint32(len(body))) //nolint:gosec // bounded by MaxBody
	for _, part := range [][]byte{lengths[:], head, body} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Flush()
}

// ReadFrame reads a frame whose body is at most maxBody bytes long.
func ReadFrame(r *bufio.Reader, maxBody int) (*Header, []byte, error) {
	var lengths [8]byte
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return nil, nil, err
	}
	head, body := binary.BigEndian.Uint32(lengths[:4]), binary.BigEndian.Uint32(lengths[4:])
	if head > MaxHeader || uint64(body) > uint64(maxBody) { //nolint:gosec // maxBody is positive
		return nil, nil, fmt.Errorf("a frame of %d and %d bytes is too long", head, body)
	}
	data := make([]byte, int(head)+int(body))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, nil, fmt.Errorf("a frame broke off: %w", err)
	}
	var h Header
	if err := json.Unmarshal(data[:head], &h); err != nil {
		return nil, nil, fmt.Errorf("a frame's header is no JSON: %w", err)
	}
	return &h, data[head:], nil
}
