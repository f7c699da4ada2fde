package front

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// listen serves a function whose worker serves HTTP.
func listen(t *testing.T, handler http.HandlerFunc, change ...func(*setup)) *function {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return serve(t, nil, append([]func(*setup){func(s *setup) {
		s.ready.Interface, s.ready.Address = protocol.InterfaceListener, server.Listener.Addr().String()
	}}, change...)...)
}

func TestListeners(t *testing.T) {
	f := listen(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-A", "1")
		w.Header().Add("X-A", "2")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.RequestURI, r.Host, r.Header.Get("Ce-Id"), r.Header.Get("Connection"), string(body)}, " "))
	})
	got := f.post(t, "/a%2Fb?x=%20&y", "body", "Ce-Specversion", "1.0", "Ce-Id", "7", "Connection", "x")
	want := "POST /a%2Fb?x=%20&y " + strings.TrimPrefix(f.URL, "http://") + " 7  body"
	if got.status != 201 || got.body != want || len(got.header["X-A"]) != 2 || got.header.Get("Set-Cookie") != "a=1" {
		t.Errorf("answered %+v, want %s", got, want)
	}
	f.free(t)
	if n := f.double(0).opened.Load(); n != 0 {
		t.Errorf("%d slots were opened, want none", n)
	}
}

func TestListenersThatDoNotAnswer(t *testing.T) {
	cancelled := make(chan struct{}, 1)
	f := listen(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/break":
			panic(http.ErrAbortHandler)
		case "/begun":
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		cancelled <- struct{}{}
	}, func(s *setup) { s.Timeout, s.timing.death = 300*time.Millisecond, 10*time.Millisecond })
	for _, tt := range []struct {
		path, body string
		status     int
		whole      bool
		waits      bool
	}{
		{"/abort", "begun", 200, false, false},
		{"/break", `"type":"WorkerDied"`, 500, true, false},
		{"/begun", "begun", 200, false, true},
		{"/late", `"type":"Timeout"`, 504, true, true},
	} {
		got := f.post(t, tt.path, "")
		if got.status != tt.status || !strings.Contains(got.body, tt.body) || tt.whole != (got.err == nil) {
			t.Errorf("%s is answered with %+v, want %d %s, whole: %t", tt.path, got, tt.status, tt.body, tt.whole)
		}
		if tt.waits {
			<-cancelled
		}
	}
	ctx, hangUp := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer hangUp()
	f.send(t, ctx, "/", nil)
	<-cancelled
	f.free(t)
}

func TestListenersOfOthers(t *testing.T) {
	f := serve(t, nil, func(s *setup) { s.ready.Interface, s.ready.Address = protocol.InterfaceListener, "192.0.2.1:80" })
	if err := <-f.pool.Failed(); err.Error() != `the worker listens on "192.0.2.1:80", expected an address and a port such as 127.0.0.1:41234` {
		t.Errorf("failed with %v", err)
	}
}

func TestApplications(t *testing.T) {
	f := serve(t, func(c *call) { c.result(c.RawQuery + " " + string(c.body)) }, func(s *setup) { s.ready.Interface = protocol.InterfaceASGI })
	got := f.post(t, "/?b=%41&a", "a=1", "Content-Type", runtime.TypeForm, "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t")
	if got.body != "b=%41&a a=1" || got.header.Get("Ce-Id") != "" {
		t.Errorf("answered %+v, want the request as sent and the reply as given", got)
	}
}
