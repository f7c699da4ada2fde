package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// frame is a frame on the wire.
func frame(t testing.TB, header any, body string) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, header, []byte(body)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestWire(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header any
		body   string
		want   string
	}{
		{"without a body", map[string]any{"kind": "pong"}, "", "\x00\x00\x00\x10\x00\x00\x00\x00{\"kind\":\"pong\"}\n"},
		{"with a body", map[string]any{"a": "<é>"}, "xyz", "\x00\x00\x00\x0d\x00\x00\x00\x03{\"a\":\"<é>\"}\nxyz"},
		{"a chunk", nil, "xyz", "\x00\x00\x00\x00\x00\x00\x00\x03xyz"},
		{"the end of a body", nil, "", "\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(frame(t, tt.header, tt.body)); got != tt.want {
				t.Errorf("wrote %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReader(t *testing.T) {
	wire := bytes.Join([][]byte{frame(t, Control{Kind: Ping, ID: 7}, "skipped"), frame(t, nil, "chunk"), frame(t, nil, ""), frame(t, Call{Kind: Invoke, ID: 1, More: true}, "read")}, nil)
	for name, from := range map[string]io.Reader{"at once": bytes.NewReader(wire), "by byte": iotest.OneByteReader(bytes.NewReader(wire)), "with the end": iotest.DataErrReader(bytes.NewReader(wire))} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(from)
			var ping Control
			if header, size, err := r.Next(); err != nil || json.Unmarshal(header, &ping) != nil || ping.ID != 7 || size != 7 {
				t.Fatalf("the first frame is %q, %d, %v", header, size, err)
			}
			for _, want := range []string{"chunk", ""} {
				header, size, err := r.Next()
				body, bodyErr := r.Body(10)
				if err != nil || bodyErr != nil || len(header) != 0 || size != len(want) || string(body) != want {
					t.Fatalf("read the chunk %q %q, %d, %v, %v, want %q", header, body, size, err, bodyErr, want)
				}
			}
			var call Call
			if header, _, err := r.Next(); err != nil || json.Unmarshal(header, &call) != nil || !call.More || r.Idle() {
				t.Fatalf("the last frame is %q, %v", header, err)
			}
			if body, err := io.ReadAll(r); err != nil || string(body) != "read" || !r.Idle() {
				t.Fatalf("the last body is %q, %v", body, err)
			}
			if _, _, err := r.Next(); err != io.EOF { //nolint:errorlint // it must be bare
				t.Errorf("the end is %v, want EOF", err)
			}
		})
	}
}

func TestReaderAfterWhatIsTooLong(t *testing.T) {
	long := append([]byte("\x00\x10\x00\x01\x00\x00\x00\x02"), bytes.Repeat([]byte("x"), MaxHeader+1+2)...)
	r := NewReader(bytes.NewReader(bytes.Join([][]byte{long, frame(t, nil, "123456"), frame(t, nil, "last")}, nil)))
	if _, _, err := r.Next(); !errors.Is(err, ErrHeaderTooLong) {
		t.Fatalf("a long header: %v, want ErrHeaderTooLong", err)
	}
	if _, size, err := r.Next(); err != nil || size != 6 {
		t.Fatalf("the frame after it: %d, %v", size, err)
	}
	if _, err := r.Body(5); !errors.Is(err, ErrBodyTooLong) || err.Error() != "a frame's body is too long: 6 bytes, expected at most 5" {
		t.Fatalf("a long body: %v, want ErrBodyTooLong", err)
	}
	_, _, err := r.Next()
	if body, bodyErr := r.Body(5); err != nil || bodyErr != nil || string(body) != "last" {
		t.Errorf("the frame after it: %q, %v, %v", body, err, bodyErr)
	}
}

func TestReaderOfBrokenFrames(t *testing.T) {
	for name, wire := range map[string]string{"lengths": "\x00\x00", "header": "\x00\x00\x00\x05\x00\x00\x00\x00{}", "no header": "\x00\x00\x00\x05\x00\x00\x00\x00",
		"body": "\x00\x00\x00\x00\x00\x00\x00\x03{}", "no body": "\x00\x00\x00\x00\x00\x00\x00\x03", "long header": "\xff\xff\xff\xff\x00\x00\x00\x00{}"} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(strings.NewReader(wire))
			_, _, err := r.Next()
			if err == nil {
				_, err = r.Body(10)
			}
			if err != io.ErrUnexpectedEOF { //nolint:errorlint // it must be bare
				t.Errorf("%v, want an unexpected EOF", err)
			}
		})
	}
}

// interrupted fails before each byte, as a connection whose deadline is over.
type interrupted struct {
	from io.Reader
	fail bool
}

func (i *interrupted) Read(p []byte) (int, error) {
	if i.fail = !i.fail; i.fail {
		return 0, os.ErrDeadlineExceeded
	}
	return i.from.Read(p[:1])
}

func TestReaderGoesOnAfterADeadline(t *testing.T) {
	r := NewReader(&interrupted{from: bytes.NewReader(bytes.Join([][]byte{frame(t, Control{Kind: Pong, ID: 9}, "skipped"), frame(t, nil, "body")}, nil))})
	next := func() (header []byte, size int) {
		for {
			header, size, err := r.Next()
			if err == nil {
				return header, size
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
	}
	var pong Control
	if header, _ := next(); json.Unmarshal(header, &pong) != nil || pong.ID != 9 {
		t.Errorf("read the header %q", header)
	}
	if header, size := next(); len(header) > 0 || size != 4 {
		t.Errorf("read %q and a body of %d bytes, want a chunk of 4", header, size)
	}
}

func TestChunks(t *testing.T) {
	var buf bytes.Buffer
	data := strings.Repeat("0123456789abcdef", MaxChunk/16) + "rest"
	if err := errors.Join(WriteChunks(&buf, []byte(data)), WriteChunks(&buf, nil), WriteEnd(&buf)); err != nil {
		t.Fatal(err)
	}
	r := NewReader(&buf)
	var sizes []int
	var got []byte
	for {
		_, size, err := r.Next()
		if err != nil {
			break
		}
		body, _ := r.Body(MaxChunk)
		sizes, got = append(sizes, size), append(got, body...)
	}
	if len(sizes) != 3 || sizes[0] != MaxChunk || sizes[1] != 4 || sizes[2] != 0 || string(got) != data {
		t.Errorf("wrote chunks of %v, want %d, 4 and 0", sizes, MaxChunk)
	}
}

func TestHeadersThatCannotBeWritten(t *testing.T) {
	if _, err := AppendHead(nil, Answer{Kind: Error, Message: strings.Repeat("x", MaxHeader)}, 0); !errors.Is(err, ErrHeaderTooLong) {
		t.Errorf("a long header: %v, want ErrHeaderTooLong", err)
	}
	if _, err := AppendHead(nil, make(chan int), 0); err == nil {
		t.Error("a header that has no JSON is written")
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		text   string
		length int
		want   string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"日本", 5, "日"}, {"\x80\x80", 1, ""}} {
		if got := Cut(tt.text, tt.length); got != tt.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.text, tt.length, got, tt.want)
		}
	}
}

// FuzzReader: whatever arrives, a reader ends, holds no more than has arrived, and
// reads again what it is written back as.
func FuzzReader(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame(f, Control{Kind: Ready, Protocol: Version}, ""))
	f.Add(append(frame(f, Answer{Kind: Result, ID: 3, More: true}, "first"), frame(f, nil, "")...))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x10\x00\x01\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := NewReader(iotest.OneByteReader(bytes.NewReader(wire)))
		read := 0
		for {
			header, size, err := r.Next()
			if errors.Is(err, ErrHeaderTooLong) {
				continue
			} else if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF { //nolint:errorlint // they must be bare
					t.Fatal(err)
				}
				return
			}
			head := bytes.Clone(header)
			body, err := io.ReadAll(io.LimitReader(r, 1<<20))
			if read += prefix + len(head) + len(body); read > len(wire) {
				t.Fatalf("read %d bytes of %d", read, len(wire))
			}
			if err != nil || len(body) != size {
				return
			}
			again, err := AppendHead(nil, rawHeader(head), size)
			if len(head) > 0 && !json.Valid(head) {
				continue
			}
			copied := NewReader(bytes.NewReader(append(again, body...)))
			if _, got, nextErr := copied.Next(); err != nil || nextErr != nil || got != size {
				t.Fatalf("wrote %q, %v, and read a body of %d bytes, %v, want %d", again, err, got, nextErr, size)
			}
		}
	})
}

// rawHeader is nil for a chunk.
func rawHeader(head []byte) any {
	if len(head) == 0 {
		return nil
	}
	return json.RawMessage(head)
}
