package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// form is a multipart form with the field a twice, the file f and bytes that are no text.
func form(t *testing.T) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, part := range [][2]string{{"a", "1"}, {"a", "é"}, {"b", "\xff"}} {
		if err := w.WriteField(part[0], part[1]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.CreateFormFile("f", "dir/x.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "content"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// TestRequestFrom: handlers have all of the request, and each copy has a body of its own.
func TestRequestFrom(t *testing.T) {
	server := serve(t, func(ctx context.Context, data any) (string, error) {
		r := RequestFrom(ctx)
		cookie, err := r.Cookie("c")
		if err != nil {
			return "", err
		}
		file, header, err := r.FormFile("f")
		if err != nil {
			return "", err
		}
		content, err := io.ReadAll(file)
		if err != nil {
			return "", err
		}
		raw, err := io.ReadAll(RequestFrom(ctx).Body)
		return fmt.Sprint(r.Method, r.URL.EscapedPath(), r.URL.Query()["q"], r.Header.Values("X-A"), cookie.Value, r.Form["a"], header.Filename, string(content),
			int64(len(raw)) == r.ContentLength, len(data.(map[string]any))), err
	})
	body, contentType := form(t)
	response := ask(t, http.MethodPut, server.URL+"/a%20b?q=1&q=2", body, "Content-Type", contentType, "X-A", "1", "X-A", "2", "Cookie", "c=3")
	answered(t, response, http.StatusOK, `"PUT/a%20b[1 2] [1 2]3[1 é]x.txtcontenttrue 3"`)
}

func TestRequestOutsideOfAnInvocation(t *testing.T) {
	r := RequestFrom(t.Context())
	if err := r.ParseForm(); err != nil || r.Method != http.MethodGet || r.URL.Path != "/" || r.Header == nil || r.Context() != t.Context() {
		t.Errorf("the request is %+v, %v", r, err)
	}
}

func TestRequestOfAnEvent(t *testing.T) {
	server := serve(t, func(r *http.Request) (string, error) {
		data, err := io.ReadAll(r.Body)
		return r.Header.Get("X-A") + string(data), err
	})
	event := []string{"Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t", "Ce-Specversion", "1.0", "X-A", "1"}
	answered(t, ask(t, http.MethodPost, server.URL, "data", append(event, "Content-Type", "text/plain")...), http.StatusOK, `"1data"`)
	answered(t, ask(t, http.MethodPost, server.URL, "", event...), http.StatusOK, `"1"`)
}

func TestMultipartForms(t *testing.T) {
	var got map[string]any
	server := serve(t, func(data any) { got, _ = data.(map[string]any) })
	body, contentType := form(t)
	answered(t, ask(t, http.MethodPost, server.URL, body, "Content-Type", contentType), http.StatusNoContent, "")
	want := map[string]any{"a": []any{"1", "é"}, "b": File{Content: []byte("\xff")}, "f": File{Filename: "x.txt", ContentType: "application/octet-stream", Content: []byte("content")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	unnamed := strings.ReplaceAll(body, `name="a"`, "")
	many := strings.Repeat("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n", maxParts+1) + "--b--\r\n"
	for _, tt := range []struct{ contentType, body, want string }{
		{contentType, body[:len(body)-10], "the body is not the multipart/form-data that its content type announces: "},
		{contentType, unnamed, `the body is not the multipart/form-data that its content type announces: a part has the Content-Disposition "form-data;", expected form-data with a name`},
		{"multipart/form-data", body, "the body is not the multipart/form-data that its content type announces: the content type has no boundary"},
		{"multipart/form-data; boundary=b", many, "the body is not the multipart/form-data that its content type announces: expected at most 1000 parts"},
	} {
		response := ask(t, http.MethodPost, server.URL, tt.body, "Content-Type", tt.contentType)
		var problem struct{ Message string }
		if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || response.StatusCode != http.StatusBadRequest || !strings.HasPrefix(problem.Message, tt.want) {
			t.Errorf("answered %d %s, %v, want %s", response.StatusCode, problem.Message, err, tt.want)
		}
	}
}

// TestBodiesAsTheyArrive: handlers that take a reader or a request get the first byte before there
// is a second, and more than a body may have.
func TestBodiesAsTheyArrive(t *testing.T) {
	for name, handler := range map[string]func(chan<- string) any{
		"reader": func(first chan<- string) any { return func(r io.Reader) (int64, error) { return count(r, first) } },
		"request": func(first chan<- string) any {
			return func(_ context.Context, r *http.Request) (int64, error) { return count(r.Body, first) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := make(chan string, 1)
			server := serve(t, handler(first))
			r, w := io.Pipe()
			go func() {
				_, _ = io.WriteString(w, "a")
				if got := <-first; got != "a" {
					w.CloseWithError(fmt.Errorf("the first byte is %q", got))
				}
				_, _ = w.Write(make([]byte, 2<<20))
				w.Close()
			}()
			response, err := http.Post(server.URL, "application/octet-stream", r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answered(t, answer{response}, http.StatusOK, "2097153")
		})
	}
}

func count(r io.Reader, first chan<- string) (int64, error) {
	b := make([]byte, 1)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, err
	}
	first <- string(b)
	n, err := io.Copy(io.Discard, r)
	return n + 1, err
}
