package runtime

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// maxHeader is the longest header of a frame, in bytes.
const maxHeader = 1 << 20

// Kinds of frames, see docs/worker-protocol.md.
const (
	kindReady  = "ready"  // a worker has loaded the handler
	kindFailed = "failed" // a worker could not load it, and ends
	kindInvoke = "invoke" // asks a worker to call it
	kindResult = "result" // what it returned
	kindError  = "error"  // what it raised
)

// header is the head of a frame, JSON on the wire. docs/worker-protocol.md says
// which field belongs to which kind.
type header struct {
	Kind string `json:"kind"`
	ID   uint64 `json:"id,omitempty"`

	TimeoutMillis int64             `json:"timeout,omitempty"`
	Event         map[string]any    `json:"event,omitempty"`
	ContentType   string            `json:"contentType,omitempty"`
	Method        string            `json:"method,omitempty"`
	Path          string            `json:"path,omitempty"`
	Headers       map[string]string `json:"headers,omitempty"`
	Traceparent   string            `json:"traceparent,omitempty"`

	Type      string `json:"type,omitempty"`
	Message   string `json:"message,omitempty"`
	Stack     string `json:"stack,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	BadInput  bool   `json:"badInput,omitempty"`
	Last      bool   `json:"last,omitempty"`
}

// appendHead writes a frame but its body into buf: the lengths of header and
// body as 32-bit big-endian numbers, then the header. The body is written by
// the caller, who so need not copy it.
func appendHead(buf *bytes.Buffer, h *header, bodyLength int) error {
	start := buf.Len()
	buf.Write(make([]byte, 8))
	encoder := json.NewEncoder(buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(h); err != nil {
		return err
	}
	length := buf.Len() - start - 8
	if length > maxHeader {
		return fmt.Errorf("%w: attributes and headers of %d bytes, expected at most %d", ErrRequestTooLong, length, maxHeader)
	}
	lengths := buf.Bytes()[start:]
	binary.BigEndian.PutUint32(lengths, uint32(length))         //nolint:gosec // at most maxHeader
	binary.BigEndian.PutUint32(lengths[4:], uint32(bodyLength)) //nolint:gosec // at most what a body may have
	return nil
}

// readFrame reads a frame. A body longer than maxBody is skipped and makes an
// ErrReplyTooLong, after which the next frame can be read; no other error can be
// recovered from.
func readFrame(r *bufio.Reader, maxBody int) (*header, []byte, error) {
	var lengths [8]byte
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return nil, nil, err
	}
	headLength, bodyLength := int(binary.BigEndian.Uint32(lengths[:4])), int(binary.BigEndian.Uint32(lengths[4:]))
	if headLength > maxHeader {
		return nil, nil, fmt.Errorf("a frame's header says to be %d bytes long, more than %d", headLength, maxHeader)
	}
	head := make([]byte, headLength)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, brokenOff(err)
	}
	var h header
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, nil, fmt.Errorf("a frame's header is not the expected JSON: %w", err)
	}
	if bodyLength > maxBody {
		if _, err := io.CopyN(io.Discard, r, int64(bodyLength)); err != nil {
			return nil, nil, brokenOff(err)
		}
		return &h, nil, ReplyTooLong(bodyLength, maxBody)
	}
	body := make([]byte, bodyLength)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, nil, brokenOff(err)
	}
	return &h, body, nil
}

// ReplyTooLong says that a reply is longer than it may be. It is an ErrReplyTooLong.
func ReplyTooLong(length, most int) error {
	return fmt.Errorf("%w: the handler returned %d bytes, expected at most %d", ErrReplyTooLong, length, most)
}

func brokenOff(err error) error {
	if err == io.EOF { //nolint:errorlint // io.ReadFull and io.CopyN return it bare
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("a frame broke off: %w", err)
}
