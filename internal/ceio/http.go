package ceio

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// prefix of headers that are attributes.
const prefix = "Ce-"

// Escape encodes the attributes in a header as the HTTP binding of CloudEvents wants it,
// which the SDK does not do: values have printable ASCII only, and no spaces. It is
// called once for what the SDK has written.
func Escape(h http.Header) {
	for name, values := range h {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for i, value := range values {
			values[i] = escape(value)
		}
	}
}

// WriteRequest writes an event to a request, with the mode that ctx has, and its attributes
// as Escape encodes them.
func WriteRequest(ctx context.Context, message binding.Message, r *http.Request) error {
	if err := cehttp.WriteRequest(ctx, message, r); err != nil {
		return err
	}
	Escape(r.Header)
	return nil
}

func escape(value string) string {
	if !strings.ContainsFunc(value, reserved) {
		return value
	}
	var out strings.Builder
	for i := range len(value) {
		if c := value[i]; reserved(rune(c)) {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

func reserved(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

// unescape decodes the value of a header. Older senders quote it; what is not valid
// percent-encoding stays as it is.
func unescape(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = unquote(value[1 : len(value)-1])
	}
	if !strings.Contains(value, "%") {
		return value
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

func unquote(value string) string {
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		out.WriteByte(value[i])
	}
	return out.String()
}

// unescapeAttributes decodes an event that was read from a header as it is.
func unescapeAttributes(e *event.Event) {
	for _, attribute := range []struct {
		value string
		set   func(string)
	}{{e.ID(), e.SetID}, {e.Type(), e.SetType}, {e.Source(), e.SetSource}, {e.Subject(), e.SetSubject}, {e.DataSchema(), e.SetDataSchema}} {
		if decoded := unescape(attribute.value); decoded != attribute.value {
			attribute.set(decoded)
		}
	}
	for name, value := range e.Extensions() {
		if text, ok := value.(string); ok {
			e.SetExtension(name, unescape(text))
		}
	}
}

// checkHeader refuses names that attributes cannot have.
func checkHeader(h http.Header) error {
	for name := range h {
		if attribute, ok := strings.CutPrefix(name, prefix); ok {
			if err := checkName(strings.ToLower(attribute)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return fmt.Errorf("attribute %.100q: expected a name of lower-case letters and digits", name)
	}
	return nil
}
