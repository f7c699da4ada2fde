package protocol

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// prefix is the length of a frame's two lengths.
const prefix = 8

// ErrHeaderTooLong says that a frame's header is longer than MaxHeader.
var ErrHeaderTooLong = errors.New("a frame's header is too long")

// ErrBodyTooLong says that a frame's body is longer than its reader allows.
var ErrBodyTooLong = errors.New("a frame's body is too long")

// AppendHead appends a frame without its body: the lengths of header and body as
// 32-bit big-endian numbers, and the header as JSON. A nil header makes a chunk.
func AppendHead(buf []byte, header any, bodyLength int) ([]byte, error) {
	start := len(buf)
	buf = append(buf, make([]byte, prefix)...)
	if header != nil {
		out := bytes.NewBuffer(buf)
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(header); err != nil {
			return buf[:start], err
		}
		buf = out.Bytes()
	}
	length := len(buf) - start - prefix
	if length > MaxHeader {
		return buf[:start], fmt.Errorf("%w: %d bytes, expected at most %d", ErrHeaderTooLong, length, MaxHeader)
	}
	binary.BigEndian.PutUint32(buf[start:], uint32(length))       //nolint:gosec // at most MaxHeader
	binary.BigEndian.PutUint32(buf[start+4:], uint32(bodyLength)) //nolint:gosec // bodies are bounded far below
	return buf, nil
}

// Write writes a frame, in one system call where w is a connection.
func Write(w io.Writer, header any, body []byte) error {
	head, err := AppendHead(nil, header, len(body))
	if err != nil {
		return err
	}
	frame := net.Buffers{head, body}
	_, err = frame.WriteTo(w)
	return err
}

// WriteChunks writes data as chunks of at most MaxChunk bytes. It writes none for no
// data: an empty chunk ends a body, see WriteEnd.
func WriteChunks(w io.Writer, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), MaxChunk)
		if err := Write(w, nil, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// WriteEnd writes the empty chunk, which ends a body.
func WriteEnd(w io.Writer) error { return Write(w, nil, nil) }

// Reader reads frames one after another, as a tar.Reader reads files. After an error
// of the connection that is not its end, such as a deadline, reading goes on where it
// stopped.
type Reader struct {
	r      *bufio.Reader
	begun  bool   // the lengths have been read
	header []byte // as far as it has been read
	head   int    // bytes of the header that are still to be read
	body   int    // bytes of the body that are still to be read
	skip   bool   // the header is too long
}

// NewReader returns a Reader of frames from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 16<<10)} }

// Reset discards all state and reads from r.
func (r *Reader) Reset(from io.Reader) {
	r.r.Reset(from)
	*r = Reader{r: r.r, header: r.header[:0]}
}

// Idle reports whether the last frame has been read and nothing after it has arrived.
func (r *Reader) Idle() bool { return !r.begun && r.body == 0 && r.r.Buffered() == 0 }

// Next skips what is left of the last frame and reads the header of the next one,
// which is valid until the next call; it is empty for a chunk. size is the length of
// the body. The error is io.EOF between two frames, and io.ErrUnexpectedEOF within
// one. Only after ErrHeaderTooLong, too, the next frame can be read.
func (r *Reader) Next() (header []byte, size int, err error) {
	if !r.begun {
		if err := r.begin(); err != nil {
			return nil, 0, err
		}
	}
	for r.head > 0 {
		if err := r.readHeader(); err != nil {
			return nil, 0, within(err)
		}
	}
	r.begun = false
	if r.skip {
		return nil, r.body, fmt.Errorf("%w: expected at most %d bytes", ErrHeaderTooLong, MaxHeader)
	}
	return r.header, r.body, nil
}

// begin reads the lengths of the next frame.
func (r *Reader) begin() error {
	for r.body > 0 {
		n, err := r.r.Discard(min(r.body, 1<<20))
		if r.body -= n; err != nil {
			return within(err)
		}
	}
	lengths, err := r.r.Peek(prefix)
	if err == io.EOF && len(lengths) > 0 {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	r.head, r.body = int(binary.BigEndian.Uint32(lengths)), int(binary.BigEndian.Uint32(lengths[4:]))
	r.begun, r.skip, r.header = true, r.head > MaxHeader, r.header[:0]
	_, err = r.r.Discard(prefix)
	return err
}

// readHeader reads, or skips, what has arrived of the header.
func (r *Reader) readHeader() error {
	if r.skip {
		n, err := r.r.Discard(min(r.head, 1<<20))
		r.head -= n
		return err
	}
	// No more is allocated than has arrived, whatever the length says.
	if _, err := r.r.Peek(1); err != nil {
		return err
	}
	there, err := r.r.Peek(min(r.head, r.r.Buffered()))
	if err != nil {
		return err
	}
	r.header = append(r.header, there...)
	r.head -= len(there)
	_, err = r.r.Discard(len(there))
	return err
}

// Read reads from the body of the frame; it returns io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.body == 0 || r.begun {
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(len(p), r.body)])
	if r.body -= n; r.body > 0 {
		return n, within(err)
	}
	return n, nil
}

// Body reads the whole body of the frame. One longer than most bytes is skipped, and
// the error is ErrBodyTooLong.
func (r *Reader) Body(most int) ([]byte, error) {
	if r.body > most {
		return nil, fmt.Errorf("%w: %d bytes, expected at most %d", ErrBodyTooLong, r.body, most)
	}
	body := make([]byte, r.body)
	_, err := io.ReadFull(r, body)
	return body, within(err)
}

func within(err error) error {
	if err == io.EOF { //nolint:errorlint // readers return it bare
		return io.ErrUnexpectedEOF
	}
	return err
}
