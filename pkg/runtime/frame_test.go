package runtime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func frame(t testing.TB, h *header, body string) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := appendHead(&buf, h, len(body)); err != nil {
		t.Fatal(err)
	}
	buf.WriteString(body)
	return buf.Bytes()
}

func TestFramesRoundTrip(t *testing.T) {
	want := &header{Kind: kindInvoke, ID: 7, TimeoutMillis: 1500, Event: map[string]any{"id": "1", "ext": "<é>", "n": 1.0}, ContentType: "text/plain",
		Method: "POST", Path: "/a?b", Headers: map[string]string{"host": "h"}, Traceparent: "00-1-2-01"}
	r := bufio.NewReader(bytes.NewReader(append(frame(t, want, "body"), frame(t, &header{Kind: kindReady}, "")...)))
	got, body, err := readFrame(r, 100)
	if diff := cmp.Diff(want, got); err != nil || string(body) != "body" || diff != "" {
		t.Errorf("read %q, %v (-want, +got):\n%s", body, err, diff)
	}
	if second, _, err := readFrame(r, 100); err != nil || second.Kind != kindReady {
		t.Errorf("the second frame is %v, %v", second, err)
	}
	if _, _, err := readFrame(r, 100); err != io.EOF { //nolint:errorlint // it must be bare
		t.Errorf("the end is %v, expected EOF", err)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want string
	}{
		{"half a length", "\x00\x00", "unexpected EOF"},
		{"long header", "\xff\xff\xff\xff\x00\x00\x00\x00", "a frame's header says to be 4294967295 bytes long, more than 1048576"},
		{"header broken off", "\x00\x00\x00\x05\x00\x00\x00\x00{}", "a frame broke off: unexpected EOF"},
		{"header missing", "\x00\x00\x00\x05\x00\x00\x00\x00", "a frame broke off: unexpected EOF"},
		{"body missing", "\x00\x00\x00\x02\x00\x00\x00\x03{}", "a frame broke off: unexpected EOF"},
		{"long body missing", "\x00\x00\x00\x02\x00\x00\xff\xff{}", "a frame broke off: unexpected EOF"},
		{"no JSON", "\x00\x00\x00\x02\x00\x00\x00\x00{]", "a frame's header is not the expected JSON: invalid character ']' looking for beginning of object key string"},
		{"wrong type", "\x00\x00\x00\x0a\x00\x00\x00\x00{\"kind\":3}", "a frame's header is not the expected JSON: json: cannot unmarshal number into Go struct field header.kind of type string"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := readFrame(bufio.NewReader(strings.NewReader(tt.in)), 100)
			if err == nil || err.Error() != tt.want {
				t.Errorf("%v, expected %s", err, tt.want)
			}
		})
	}
}

func TestLongBodiesAreSkipped(t *testing.T) {
	r := bufio.NewReader(bytes.NewReader(append(frame(t, &header{Kind: kindResult, ID: 1}, strings.Repeat("x", 101)), frame(t, &header{Kind: kindResult, ID: 2}, "ok")...)))
	if h, _, err := readFrame(r, 100); !errors.Is(err, ErrReplyTooLong) || h.ID != 1 {
		t.Errorf("%v, %v, expected ErrReplyTooLong", h, err)
	}
	if h, body, err := readFrame(r, 100); err != nil || h.ID != 2 || string(body) != "ok" {
		t.Errorf("the next frame is %v %q, %v", h, body, err)
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	err := appendHead(&bytes.Buffer{}, &header{Path: strings.Repeat("x", maxHeader)}, 0)
	if !errors.Is(err, ErrRequestTooLong) {
		t.Errorf("%v, expected ErrRequestTooLong", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frame(f, &header{Kind: kindReady}, ""))
	f.Add(frame(f, &header{Kind: kindResult, ID: 1, Event: map[string]any{"id": "1"}}, "body"))
	f.Add([]byte("\x00\x00\x00\x02\x00\x00\xff\xff{}"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	const maxBody = 1000
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			h, body, err := readFrame(r, maxBody)
			if errors.Is(err, ErrReplyTooLong) {
				continue
			}
			if err != nil {
				return
			}
			if len(body) > maxBody {
				t.Fatalf("a body of %d bytes came through", len(body))
			}
			// What was read can be written, and is then read as the same.
			again, _, err := readFrame(bufio.NewReader(bytes.NewReader(frame(t, h, string(body)))), maxBody)
			if diff := cmp.Diff(h, again); err != nil || diff != "" {
				t.Fatalf("%v (-first, +again):\n%s", err, diff)
			}
		}
	})
}
