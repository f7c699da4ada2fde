package runtime

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

const (
	// acceptEncoding are the encodings of bodies that are decoded for handlers.
	acceptEncoding = "gzip, deflate, br, zstd"
	// maxEncodings of one body.
	maxEncodings = 3
	// maxWindow of zstd, in bytes, which is allocated whatever the body's length is. RFC
	// 9659 lets senders use no more.
	maxWindow = 8 << 20
)

// decoders by the encodings' names.
var decoders = map[string]func(io.Reader) (io.Reader, error){
	"gzip":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"x-gzip":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"deflate": inflate,
	"br":      func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }, //nolint:unparam // as the others
	"zstd": func(r io.Reader) (io.Reader, error) {
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	},
}

// inflate reads the zlib format, which is what deflate means, and the bare one that some
// clients send.
func inflate(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(2)
	if err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(buffered)
	}
	return flate.NewReader(buffered), nil
}

// encodingError says that a body is not what its Content-Encoding announces.
type encodingError struct {
	encoding string
	err      error
}

func (e *encodingError) Error() string {
	return fmt.Sprintf("the body is not the %s that its Content-Encoding announces: %v", e.encoding, e.err)
}

func (e *encodingError) Unwrap() error { return e.err }

// decodedBody is the body of a request without one of its encodings.
type decodedBody struct {
	io.ReadCloser        // as it was sent
	encoding      string // its name
	decoder       io.Reader
}

// Read implements io.Reader.
func (b *decodedBody) Read(p []byte) (int, error) {
	if b.decoder == nil {
		decoder, err := decoders[b.encoding](b.ReadCloser)
		if err != nil {
			return 0, b.failure(err)
		}
		b.decoder = decoder
	}
	n, err := b.decoder.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, b.failure(err)
}

func (b *decodedBody) failure(err error) error {
	var tooLarge *http.MaxBytesError
	var inner *encodingError
	if errors.As(err, &tooLarge) || errors.As(err, &inner) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it breaks off")
	}
	return &encodingError{b.encoding, err}
}

// Close implements io.Closer.
func (b *decodedBody) Close() error {
	if d, ok := b.decoder.(*zstd.Decoder); ok {
		d.Close()
	}
	return b.ReadCloser.Close()
}

// decodeBody takes the encodings off a body. Their names and its length, which is that
// of the body as it was sent, leave the header.
func decodeBody(r *http.Request) *problem {
	values := r.Header["Content-Encoding"]
	if len(values) == 0 { // as most
		return nil
	}
	names := strings.FieldsFunc(strings.ToLower(strings.Join(values, ",")), func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	names = slices.DeleteFunc(names, func(name string) bool { return name == "identity" })
	for _, name := range names {
		if decoders[name] == nil || len(names) > maxEncodings {
			p := badRequest(http.StatusUnsupportedMediaType,
				fmt.Sprintf("Content-Encoding: expected at most %d of %s, got %.100q", maxEncodings, acceptEncoding, strings.Join(values, ", ")))
			p.header = http.Header{"Accept-Encoding": {acceptEncoding}}
			return p
		}
	}
	r.Header.Del("Content-Encoding")
	if len(names) == 0 || r.ContentLength == 0 {
		return nil
	}
	r.Header.Del("Content-Length")
	r.ContentLength = -1
	for _, name := range slices.Backward(names) {
		r.Body = &decodedBody{ReadCloser: r.Body, encoding: name}
	}
	return nil
}
