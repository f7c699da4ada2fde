package front

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

func TestForms(t *testing.T) {
	const boundary = "multipart/form-data; boundary=b"
	crlf := strings.NewReplacer("\n", "\r\n")
	for _, tt := range []struct {
		name, contentType, body string
		form                    string
		parts                   string
		err                     string
	}{
		{"fields", runtime.TypeForm, "a=1&b=x+y%21&a=2&c", "[[a 1] [b x y!] [a 2] [c ]]", "[]", ""},
		{"with a charset", runtime.TypeForm + "; charset=utf-8", "a=%C3%A9", "[[a é]]", "[]", ""},
		{"JSON, as curl sends it", runtime.TypeForm, ` {"a": 1}`, "[]", "[]", ""},
		{"no JSON", runtime.TypeForm, `{"a": 1`, `[[{"a": 1 ]]`, "[]", ""},
		{"nothing", runtime.TypeForm, "", "[]", "[]", ""},
		{"long", runtime.TypeForm, strings.Repeat("x", maxForm+1), "[]", "[]", "InvalidRequest: the form is longer than 262144 bytes: send it as multipart/form-data"},
		{"another type", "text/plain", "a=1", "[]", "[]", ""},
		{"no type", ";;", "a=1", "[]", "[]", ""},
		{"parts", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=\"a\"\n\n1\n--b\nContent-Disposition: form-data; name=f; filename=\"C:\\\\d\\\\x.txt\"\nContent-Type: text/csv\n\nx\ny\n--b--\n"),
			"[[a 1]]", "[{f x.txt text/csv 148 4}]", ""},
		{"an empty part", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=a\n\n\n--b--"), "[[a ]]", "[]", ""},
		{"an empty part without a line", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=a\n\n--b--"), "[[a ]]", "[]", ""},
		{"a preamble and padding", boundary, crlf.Replace("hello\n--b \t\ncontent-disposition: form-data; name=a\n\n1\n--b--bye"), "[[a 1]]", "[]", ""},
		{"no parts", boundary, "--b--", "[]", "[]", ""},
		{"bytes", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=a\n\n\xff\n--b--"), "[]", "[{a   47 1}]", ""},
		{"no file chosen", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=a; filename=\"\"\n\n\n--b--"), "[]", "[{a   60 0}]", ""},
		{"no boundary", typeMultipart, "", "[]", "[]", "the content type has no boundary"},
		{"no end", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=a\n\n1"), "[]", "[]", "it does not end with its boundary"},
		{"an empty body", boundary, "", "[]", "[]", "it does not end with its boundary"},
		{"no header", boundary, crlf.Replace("--b\n\n1\n--b--"), "[]", "[]", `a part has the Content-Disposition "", expected form-data with a name`},
		{"no content", boundary, crlf.Replace("--b\nContent-Disposition: form-data; name=a"), "[]", "[]", "a part has no end of its header"},
		{"a longer boundary", boundary, crlf.Replace("--bc\n"), "[]", "[]", `"c" follows a boundary`},
		{"many parts", boundary, strings.Repeat(crlf.Replace("--b\nContent-Disposition: form-data; name=a; filename=f\n\n1\n"), maxParts+1) + "--b--", "", "", "expected at most 1000 parts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &protocol.Call{ContentType: tt.contentType}
			err := readForm(c, []byte(tt.body))
			if tt.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("%v, want %s", err, tt.err)
			}
			if err == nil && (fmt.Sprint(c.Form) != tt.form || fmt.Sprint(c.Parts) != tt.parts) {
				t.Errorf("fields %v and parts %v, want %s and %s", c.Form, c.Parts, tt.form, tt.parts)
			}
		})
	}
}

func TestFormCalls(t *testing.T) {
	f := serve(t, func(c *call) {
		text := fmt.Sprint(c.Form)
		for _, p := range c.Parts {
			text += " " + p.Filename + ":" + string(c.body[p.Offset:p.Offset+p.Length])
		}
		c.result(text)
	})
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	_ = w.WriteField("a", "1")
	_ = w.WriteField("long", strings.Repeat("x", maxField+1))
	file, _ := w.CreateFormFile("f", "a.bin")
	_, _ = file.Write([]byte("\x00\r\n--"))
	_ = w.Close()
	if got := f.post(t, "/", body.String(), "Content-Type", w.FormDataContentType()); got.body != "[[a 1]] :"+strings.Repeat("x", maxField+1)+" a.bin:\x00\r\n--" {
		t.Errorf("answered %.200v", got)
	}
	if got := f.post(t, "/", "broken", "Content-Type", "multipart/form-data; boundary=b"); got.status != http.StatusBadRequest || !strings.Contains(got.body, `"type":"InvalidRequest"`) {
		t.Errorf("answered %+v, want 400", got)
	}
	if got := f.post(t, "/", strings.Repeat("x", maxForm+1), "Content-Type", runtime.TypeForm); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("answered %+v, want 413", got)
	}
}

// FuzzMultipart: parts are those that Go's own reader finds, within the body.
func FuzzMultipart(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--"))
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=a; filename=f\r\n\r\n\r\n--b\r\nContent-Disposition: form-data; name=c\r\n\r\n--b--"))
	f.Add([]byte("x\r\n--b\t\r\n\r\n1\r\n--b--"))
	f.Fuzz(func(t *testing.T, body []byte) {
		breaks := bytes.Count(body, []byte("\r\n"))
		if bytes.Count(body, []byte("\n")) != breaks || bytes.Count(body, []byte("\r")) != breaks {
			return // Go's reader accepts other line breaks, too
		}
		c := &protocol.Call{}
		if readMultipart(c, body, "b") != nil {
			return
		}
		fields, files := 0, 0
		r := multipart.NewReader(bytes.NewReader(body), "b")
		for {
			part, err := r.NextRawPart()
			if err != nil {
				if err != io.EOF { //nolint:errorlint // it is bare
					return // stricter in headers
				}
				break
			}
			content, err := io.ReadAll(part)
			if err != nil {
				return
			}
			if fields < len(c.Form) && c.Form[fields][1] == string(content) {
				fields++
				continue
			}
			if files >= len(c.Parts) || string(body[c.Parts[files].Offset:c.Parts[files].Offset+c.Parts[files].Length]) != string(content) {
				t.Fatalf("the content %q is neither the field nor the file that follows in %v and %v", content, c.Form, c.Parts)
			}
			files++
		}
		if fields != len(c.Form) || files != len(c.Parts) {
			t.Errorf("found %v and %v, want %d and %d", c.Form, c.Parts, fields, files)
		}
	})
}
