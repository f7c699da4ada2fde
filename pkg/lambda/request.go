package lambda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const (
	typeMultipart = "multipart/form-data"
	// maxParts bounds the parts of a form.
	maxParts = 1000
)

var (
	requestType = reflect.TypeFor[*http.Request]()
	readerType  = reflect.TypeFor[io.Reader]()
)

// RequestFrom returns a copy of the HTTP request of the handler with that context: its method,
// URL, headers, cookies, and its body as it is, or the data of the CloudEvent. Each copy has a
// body, a form and parts of its own to read, unless the handler takes the body as it arrives.
func RequestFrom(ctx context.Context) *http.Request {
	in := FromContext(ctx).invocation
	if in.Request() == nil {
		return (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
	}
	r := in.Request().Clone(ctx)
	switch {
	case in.Stream != nil:
		r.Body = io.NopCloser(in.Stream)
	case len(in.Body) > 0: // copied, because it is used again
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(slices.Clone(in.Body))), int64(len(in.Body))
	default:
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return r
}

// bodyReader is the body as it arrives, or the data of the CloudEvent.
func bodyReader(in *runtime.Invocation) io.Reader {
	if in.Stream != nil {
		return in.Stream
	}
	return bytes.NewReader(slices.Clone(in.Body))
}

// File is a file of a form, for handlers that take any.
type File struct {
	Filename    string
	ContentType string
	Content     []byte
}

// decodeForm makes a text of each name, and a list where one occurs several times.
func decodeForm(body string) map[string]any {
	values, _ := url.ParseQuery(body) // without the pairs that are malformed
	fields := make(map[string]any, len(values))
	for name, all := range values {
		if fields[name] = all; len(all) == 1 {
			fields[name] = all[0]
		}
	}
	return fields
}

// decodeMultipart makes a text or a File of each name, and a list where one occurs several times.
func decodeMultipart(body []byte, boundary string) (map[string]any, error) {
	if boundary == "" {
		return nil, badMultipart(errors.New("the content type has no boundary"))
	}
	all := map[string][]any{}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n == maxParts {
			err = fmt.Errorf("expected at most %d parts", maxParts)
		}
		if err == nil && part.FormName() == "" {
			err = fmt.Errorf("a part has the Content-Disposition %.100q, expected form-data with a name", part.Header.Get("Content-Disposition"))
		}
		if err != nil {
			return nil, badMultipart(err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, badMultipart(err)
		}
		all[part.FormName()] = append(all[part.FormName()], field(part, content))
	}
	fields := make(map[string]any, len(all))
	for name, values := range all {
		if fields[name] = values; len(values) == 1 {
			fields[name] = values[0]
		}
	}
	return fields, nil
}

func field(part *multipart.Part, content []byte) any {
	if part.FileName() == "" && utf8.Valid(content) {
		return string(content)
	}
	return File{Filename: part.FileName(), ContentType: part.Header.Get("Content-Type"), Content: content}
}

func badMultipart(err error) error {
	return badInput("the body is not the %s that its content type announces: %v", typeMultipart, err)
}
