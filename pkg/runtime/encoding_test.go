package runtime

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// encoders by the names of encodings.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"X-Gzip":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		e, err := zstd.NewWriter(w)
		if err != nil {
			panic(err)
		}
		return e
	},
	"bare": func(w io.Writer) io.WriteCloser {
		e, err := flate.NewWriter(w, 9)
		if err != nil {
			panic(err)
		}
		return e
	},
}

// encoded is the text with an encoding.
func encoded(t *testing.T, encoding, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := encoders[encoding](&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// received is what readRequest makes of a request with that body.
func received(t *testing.T, traits Traits, body string, headers ...string) (*request, *problem) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	r.Header.Set("Content-Length", "1")
	return readRequest(httptest.NewRecorder(), r, 1000, traits)
}

func TestContentEncoding(t *testing.T) {
	const text = `{"a": "some text"}`
	for _, tt := range []struct{ name, body, header string }{
		{"gzip", encoded(t, "gzip", text), "gzip"},
		{"gzip, another name", encoded(t, "gzip", text), "X-Gzip"},
		{"deflate", encoded(t, "deflate", text), "deflate"},
		{"deflate without a head", encoded(t, "bare", text), "deflate"},
		{"brotli", encoded(t, "br", text), "br"},
		{"zstd", encoded(t, "zstd", text), "zstd"},
		{"two", encoded(t, "gzip", encoded(t, "br", text)), "br, identity, gzip"},
		{"identity", text, "identity"},
	} {
		for form, headers := range map[string][]string{
			"plain": {"Content-Type", "application/json"},
			"event": {"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t"},
		} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				req, p := received(t, Traits{}, tt.body, append(headers, "Content-Encoding", tt.header)...)
				if p != nil || string(req.Body) != text {
					t.Fatalf("the body is %q, %+v", req.Body, p)
				}
				if h := req.Headers(); h["content-encoding"] != "" || h["content-length"] != "" && tt.name != "identity" {
					t.Errorf("the headers are %v", h)
				}
			})
		}
	}
	if req, p := received(t, Traits{Raw: true}, "as sent", "Content-Encoding", "gzip"); p != nil || string(req.Body) != "as sent" || req.Headers()["content-encoding"] != "gzip" {
		t.Errorf("an app gets %q, %v, %v", req.Body, req.Headers(), p)
	}
	if req, p := received(t, Traits{}, "", "Content-Encoding", "gzip"); p != nil || len(req.Body) > 0 {
		t.Errorf("no body is %q, %+v", req.Body, p)
	}
	req, p := received(t, Traits{Streams: true}, encoded(t, "gzip", strings.Repeat("x", 5000)), "Content-Encoding", "gzip")
	if p != nil {
		t.Fatalf("%+v", p)
	}
	if body, err := io.ReadAll(req.Stream); err != nil || len(body) != 5000 {
		t.Errorf("a stream has %d bytes, %v, want 5000", len(body), err)
	}
}

func TestContentEncodingRefuses(t *testing.T) {
	bomb := strings.Repeat("\x00", 4<<20)
	window := func(size int) string {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(size), zstd.WithSingleSegment(false))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // more than one block, so that the frame has a window
			_, _ = w.Write(make([]byte, 1<<20))
			_ = w.Flush()
		}
		_ = w.Close()
		return b.String()
	}
	for _, tt := range []struct {
		name, encoding, body string
		status               int
		message              string
	}{
		{"unknown", "compress", "x", 415, `Content-Encoding: expected at most 3 of gzip, deflate, br, zstd, got "compress"`},
		{"many", "gzip, gzip, gzip, gzip", "x", 415, "expected at most 3"},
		{"gzip bomb", "gzip", encoded(t, "gzip", bomb)[:900], 413, "longer than 1000 bytes"},
		{"br bomb", "br", encoded(t, "br", bomb), 413, "longer than 1000 bytes"},
		{"zstd bomb", "zstd", encoded(t, "zstd", bomb), 413, "longer than 1000 bytes"},
		{"two bombs", "gzip, gzip", encoded(t, "gzip", encoded(t, "gzip", bomb)), 413, "longer than 1000 bytes"},
		{"long as sent", "gzip", strings.Repeat("x", 1001), 413, "longer than 1000 bytes"},
		{"zstd window", "zstd", window(16 << 20)[:1000], 400, "window size exceeded"},
		{"not gzip", "gzip", "some text", 400, "the body is not the gzip that its Content-Encoding announces"},
		{"gzip that breaks off", "gzip", encoded(t, "gzip", "some text")[:20], 400, "it breaks off"},
		{"not zstd", "zstd", "some text", 400, "the body is not the zstd"},
		{"not br", "br", "some text", 400, "the body is not the br"},
		{"not deflate", "deflate", "some text", 400, "the body is not the deflate"},
	} {
		for form, headers := range map[string][]string{
			"plain": {"Content-Type", "application/json"},
			"event": {"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t"},
		} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				_, p := received(t, Traits{}, tt.body, append(headers, "Content-Encoding", tt.encoding)...)
				if p == nil || p.status != tt.status || !strings.Contains(p.data.Message, tt.message) {
					t.Fatalf("got %+v, want %d %q", p, tt.status, tt.message)
				}
				if p.status == 415 && p.header.Get("Accept-Encoding") != acceptEncoding {
					t.Errorf("the headers are %v", p.header)
				}
			})
		}
	}
}
