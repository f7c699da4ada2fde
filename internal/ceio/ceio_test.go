package ceio

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func with(members string) string {
	return `{"specversion":"1.0","id":"1","type":"x","source":"/s"` + members + `}`
}

// malformed events, of which the SDK panics on the first.
var malformed = map[string]string{
	"data_base64 of one digit": with(`,"data_base64":5`),
	"data_base64 of a number":  with(`,"data_base64":12345`),
	"data_base64 of null":      with(`,"data_base64":null`),
	"no id":                    `{"specversion":"1.0","type":"x","source":"/s"}`,
	"no object":                `5`,
	"nothing":                  ``,
	"a truncated object":       `{"specversion":"1.0","data_base64":"`,
}

func structured(body io.Reader) *cehttp.Message {
	return cehttp.NewMessage(http.Header{"Content-Type": {"application/cloudevents+json"}}, io.NopCloser(body))
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for name, text := range malformed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if e, err := Unmarshal([]byte(text)); err == nil || e != nil {
				t.Errorf("Unmarshal() = %v, %v, want an error", e, err)
			}
			if e, err := Read(t.Context(), structured(strings.NewReader(text))); err == nil || e != nil {
				t.Errorf("Read() = %v, %v, want an error", e, err)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	text := with(`,"data_base64":"aGk="`)
	e, err := Read(t.Context(), structured(strings.NewReader(text)))
	if err != nil || string(e.Data()) != "hi" || e.ID() != "1" {
		t.Errorf("Read() = %v, %v", e, err)
	}
	if e, err = Unmarshal([]byte(text)); err != nil || string(e.Data()) != "hi" {
		t.Errorf("Unmarshal() = %v, %v", e, err)
	}
	failure := errors.New("the connection broke")
	if _, err := Read(t.Context(), structured(iotest.ErrReader(failure))); !errors.Is(err, failure) {
		t.Errorf("err = %v, want the error of the body", err)
	}
}

// FuzzUnmarshal: no text stops the process, and what is read is valid.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range malformed {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if e, err := Unmarshal(text); err == nil && e.Validate() != nil {
			t.Errorf("%q was read, but is not valid", text)
		}
	})
}

// TestSetBody: the bytes stay as they are, in the JSON format as well.
func TestSetBody(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		contentType, body, want string
		base64                  bool
	}{
		"JSON":           {"application/json", `{"a":1}`, "application/json", false},
		"broken JSON":    {"application/problem+json", `{"a":`, "application/problem+json", true},
		"text":           {"text/plain; charset=utf-8", "é", "text/plain; charset=utf-8", false},
		"bytes":          {"image/png", "\xff\x00", "image/png", true},
		"no type":        {"", "x", "application/octet-stream", false},
		"a type of none": {"no type", "x", "application/octet-stream", false},
	} {
		e := event.New()
		e.SetID("1")
		e.SetType("t")
		e.SetSource("/s")
		SetBody(&e, tt.contentType, []byte(tt.body))
		if e.DataContentType() != tt.want || e.DataBase64 != tt.base64 {
			t.Errorf("%s: content type %q, base64 %v", name, e.DataContentType(), e.DataBase64)
		}
		text, err := e.MarshalJSON()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := Unmarshal(text); err != nil || string(again.Data()) != tt.body {
			t.Errorf("%s: %s becomes %v, %v", name, text, again, err)
		}
	}
}
