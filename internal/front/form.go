package front

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/textproto"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

const (
	typeMultipart = "multipart/form-data"
	// maxForm bounds forms that are passed as fields, in bytes: a call's header holds them.
	maxForm = 256 << 10
	// maxField bounds text fields of multipart forms that are; longer ones stay parts.
	maxField = 16 << 10
	maxParts = 1000
)

// readForm takes a form apart, for handlers that do not read requests themselves.
func readForm(c *protocol.Call, body []byte) error {
	if !strings.Contains(strings.ToLower(c.ContentType), "form") {
		return nil // as most
	}
	media, parameters, err := mime.ParseMediaType(c.ContentType)
	if err != nil {
		return nil //nolint:nilerr // it is for the handler to read, as any other type
	}
	switch media {
	case runtime.TypeForm:
		if runtime.HoldsJSON(body) {
			return nil
		}
		if len(body) > maxForm {
			return &runtime.HandlerError{Type: "InvalidRequest", BadInput: true, Status: 413,
				Message: fmt.Sprintf("the form is longer than %d bytes: send it as multipart/form-data", maxForm)}
		}
		c.Form = query(string(body))
	case typeMultipart:
		if err := readMultipart(c, body, parameters["boundary"]); err != nil {
			return &runtime.HandlerError{Type: "InvalidRequest", BadInput: true, Message: "the body is not the multipart/form-data that its content type announces: " + err.Error()}
		}
	}
	return nil
}

var errNoEnd = errors.New("it does not end with its boundary")

// readMultipart finds the parts of a body. Their content is not copied: a call names
// where it is.
func readMultipart(c *protocol.Call, body []byte, boundary string) error {
	if boundary == "" {
		return errors.New("the content type has no boundary")
	}
	delimiter := []byte("\r\n--" + boundary)
	at := 0
	if !bytes.HasPrefix(body, delimiter[2:]) {
		if at = bytes.Index(body, delimiter); at < 0 {
			return errNoEnd
		}
		at += 2
	}
	at += len(delimiter) - 2
	for size := 0; ; {
		line, rest, found := bytes.Cut(body[at:], []byte("\r\n"))
		switch padding := bytes.TrimRight(line, " \t"); {
		case bytes.HasPrefix(line, []byte("--")):
			return nil
		case !found:
			return errNoEnd
		case len(padding) > 0:
			return fmt.Errorf("%.100q follows a boundary", line)
		}
		header, content, found := cutHeader(rest)
		if !found {
			return errors.New("a part has no end of its header")
		}
		length := bytes.Index(body[len(body)-len(content)-2:], delimiter) - 2 // an empty part has one line break
		if length < -2 {
			return errNoEnd
		}
		part := protocol.Part{Offset: len(body) - len(content), Length: max(0, length)}
		if err := addPart(c, header, part, content[:part.Length]); err != nil {
			return err
		}
		if size += len(header); size > maxForm || len(c.Parts)+len(c.Form) > maxParts {
			return fmt.Errorf("expected at most %d parts, whose headers have at most %d bytes", maxParts, maxForm)
		}
		at = part.Offset + length + len(delimiter)
	}
}

// cutHeader cuts a part into its header and content; found is false for one that has
// no content.
func cutHeader(part []byte) (header, content []byte, found bool) {
	if content, found = bytes.CutPrefix(part, []byte("\r\n")); found {
		return nil, content, true
	}
	return bytes.Cut(part, []byte("\r\n\r\n"))
}

// addPart adds a part as a field or as a file.
func addPart(c *protocol.Call, header []byte, part protocol.Part, content []byte) error {
	fields := textproto.MIMEHeader{}
	for line := range strings.SplitSeq(string(header), "\r\n") {
		if strings.ContainsAny(line, "\r\n") {
			return errors.New("a part's header has a line that does not end with CR LF")
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields.Set(name, strings.TrimSpace(value))
		}
	}
	disposition, parameters, err := mime.ParseMediaType(fields.Get("Content-Disposition"))
	if err != nil || disposition != "form-data" {
		return fmt.Errorf("a part has the Content-Disposition %.100q, expected form-data with a name", fields.Get("Content-Disposition"))
	}
	part.Name, part.ContentType = parameters["name"], fields.Get("Content-Type")
	filename, isFile := parameters["filename"]
	if !isFile && len(content) <= maxField && utf8.Valid(content) && len(c.Form)*maxField < 2*maxForm {
		c.Form = append(c.Form, protocol.Pair{part.Name, string(content)})
		return nil
	}
	if isFile && filename != "" {
		part.Filename = path.Base(strings.ReplaceAll(filename, `\`, "/"))
	}
	c.Parts = append(c.Parts, part)
	return nil
}
