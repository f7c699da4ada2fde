package ceio

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func TestEscape(t *testing.T) {
	h := http.Header{"Ce-Subject": {"Café menu 100%"}, "Ce-Id": {`a"b`}, "Ce-Type": {"plain-1.0/x"}, "X-Other": {"é %"}}
	Escape(h)
	want := http.Header{"Ce-Subject": {"Caf%C3%A9%20menu%20100%25"}, "Ce-Id": {"a%22b"}, "Ce-Type": {"plain-1.0/x"}, "X-Other": {"é %"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

// TestAttributesOfHeaders: values are decoded as the HTTP binding has it.
func TestAttributesOfHeaders(t *testing.T) {
	for value, want := range map[string]string{
		"Caf%C3%A9%20menu%20100%25": "Café menu 100%",
		"Café":                      "Café",
		"100%":                      "100%",
		"%zz %41":                   "%zz %41",
		`"quoted \"x\" %41"`:        `quoted "x" A`,
		`"`:                         `"`,
		"a+b":                       "a+b",
	} {
		m := cehttp.NewMessage(http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Ce-Subject": {value}, "Ce-Ext": {value}}, nil)
		e, err := Read(t.Context(), m)
		if err != nil || e.Subject() != want || e.Extensions()["ext"] != want {
			t.Errorf("%s is read as %q and %q, %v, want %q", value, e.Subject(), e.Extensions()["ext"], err, want)
		}
	}
	m := cehttp.NewMessage(http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/a%20b"}, "Ce-Type": {"t"}, "Ce-Fc-Code": {"1"}}, nil)
	if _, err := Read(t.Context(), m); err == nil || !strings.Contains(err.Error(), `attribute "fc-code": expected a name of lower-case letters and digits`) {
		t.Errorf("a bad name is %v", err)
	}
}

func TestNumbersOfAttributes(t *testing.T) {
	for value, want := range map[string]any{"3": int32(3), "-2147483648": int32(-2147483648), "true": true, `"1.5"`: "1.5"} {
		e, err := Unmarshal([]byte(with(`,"ext":` + value)))
		if err != nil || e.Extensions()["ext"] != want {
			t.Errorf("%s is read as %v, %v, want %v", value, e, err, want)
		}
	}
	for member, name := range map[string]string{`"ext":1.5`: "ext", `"ext":-0.25`: "ext", `"ext":1099511627776`: "ext", `"ext":[1]`: "ext", `"ext":{}`: "ext", `"id":5.5`: "id", `"bad_name":"x"`: "bad_name"} {
		for form, read := range map[string]func(string) error{
			"Unmarshal": func(text string) error { _, err := Unmarshal([]byte(text)); return err },
			"Read":      func(text string) error { _, err := Read(t.Context(), structured(strings.NewReader(text))); return err },
		} {
			if err := read(with("," + member)); err == nil || !strings.Contains(err.Error(), `attribute "`+name+`": expected`) {
				t.Errorf("%s of %s: %v, want an error that names %s", form, member, err, name)
			}
		}
	}
}

// TestText: JSON is UTF-8, with or without a byte order mark.
func TestText(t *testing.T) {
	if e, err := Unmarshal([]byte("\xef\xbb\xbf" + with(""))); err != nil || e.ID() != "1" {
		t.Errorf("a byte order mark is %v", err)
	}
	for _, text := range []string{"\xff\xfe{\x00}\x00", with(",\"ext\":\"\xff\"")} {
		if _, err := Unmarshal([]byte(text)); err == nil || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%q is %v, want an error that names UTF-8", text, err)
		}
	}
}
