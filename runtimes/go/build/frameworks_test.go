package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// frameworks is a function's module with applications of web frameworks.
const frameworks = "testdata/frameworks"

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFrameworks: their applications are handlers as they are; they answer, stream, and are
// aborted at the timeout.
func TestFrameworks(t *testing.T) {
	source := files(t, frameworks)
	for _, handler := range []string{"mux.Serve", "chi.Router", "echo.App", "gin.Engine"} {
		t.Run(handler, func(t *testing.T) {
			program, said, err := makeProgram(t, handler, source)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			p := run(t, program, "LAMBDA_TIMEOUT=1s")
			defer p.stop(t)
			response, err := http.Get(p.url + "/hello/Ada")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			name, _, _ := strings.Cut(handler, ".")
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusAccepted || string(body) != "Hello Ada" || response.Header.Get("X-Framework") != name {
				t.Errorf("answered %d %v %s, %v", response.StatusCode, response.Header, body, err)
			}
			response, err = http.Get(p.url + "/none")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusNotFound {
				t.Errorf("a path without a route is answered %d", response.StatusCode)
			}
			checkStream(t, p.url+"/stream")
		})
	}
}

// checkStream reads a stream whose first piece arrives at once and that ends at the timeout.
func checkStream(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first " || time.Since(start) > 900*time.Millisecond {
		t.Errorf("the first piece is %q after %v, %v", first, time.Since(start), err)
	}
	if _, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestHandlersThatNeverReturn end the program once they are as many as there may be calls.
func TestHandlersThatNeverReturn(t *testing.T) {
	t.Parallel()
	program, said, err := makeProgram(t, "Handler", map[string]string{"handler.go": "package function\n\nfunc Handler(in any) any {\n\tif in == nil {\n\t\tselect {}\n\t}\n\tpanic(in)\n}\n"})
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	p := run(t, program, "LAMBDA_TIMEOUT=1s", "LAMBDA_CONCURRENCY=2", "LAMBDA_DRAIN_TIMEOUT=1m")
	for body, want := range map[string]string{
		`"x"`: `500 {"type":"panic","message":"x","permanent":false}`,
		`"y"`: `500 {"type":"panic","message":"y","permanent":false}`,
	} {
		if got := post(t, p.url, body); got != want {
			t.Errorf("answered %s, want %s", got, want)
		}
	}
	for range 2 {
		if got := post(t, p.url, ""); !strings.HasPrefix(got, "504 ") {
			t.Errorf("answered %s", got)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(30 * time.Second): // ten until they count, one more for the end of those that drain
		_ = p.cmd.Process.Kill()
		err = <-ended
	}
	var exit *exec.ExitError
	const want = "as many calls as spec.scaling.concurrency allows went on after their timeout: the handler has to return when its context ends\n"
	if text := p.cmd.Stderr.(*bytes.Buffer).String(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasSuffix(text, want) {
		t.Errorf("the program ended with %v and said\n%s", err, text)
	}
}

func post(t *testing.T, url, body string) string {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, text)
}
