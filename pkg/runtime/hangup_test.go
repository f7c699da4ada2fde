package runtime

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func patientServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Listener = patientListener{s.Listener}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// TestPatientConnections: who waits is never taken for one who has hung up, however
// the end of the request falls together with the end of the delay.
func TestPatientConnections(t *testing.T) {
	s := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		pause, err := time.ParseDuration(r.URL.Query().Get("pause"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
			http.Error(w, r.Context().Err().Error(), http.StatusInternalServerError)
		}
	})
	var connections atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				connections.Add(1)
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}}}
			defer client.CloseIdleConnections()
			for j := range 60 {
				pause := []time.Duration{0, hangUpDelay - time.Duration(j)*20*time.Microsecond, hangUpDelay + time.Duration(j)*10*time.Microsecond, 2 * hangUpDelay}[j%4]
				response, err := client.Post(s.URL+"?pause="+pause.String(), "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Errorf("after %v answered %d", pause, response.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	if n := connections.Load(); n != 16 {
		t.Errorf("%d connections were opened for 16 clients: some were closed in between", n)
	}
}

func TestPatientConnectionsNoticeHangUps(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	s := patientServer(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(gone)
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: f\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-began
	conn.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("nobody has noticed that the client has hung up")
	}
}

func TestPatientConnectionsKeepDeadlines(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := patientListener{listener}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	timesOut := func(what string, size int) {
		t.Helper()
		if _, err := conn.Read(make([]byte, size)); err == nil || !err.(net.Error).Timeout() { //nolint:errorlint // of net
			t.Errorf("%s: %v, want a timeout", what, err)
		}
	}
	for _, size := range []int{1, 2} {
		for what, deadline := range map[string]time.Time{"a deadline": time.Now().Add(30 * time.Millisecond), "one that is over": time.Unix(1, 0)} {
			if err := conn.SetReadDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			timesOut(what, size)
		}
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	for i := range got {
		if _, err := conn.Read(got[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "abc" {
		t.Errorf("read %q, want all that was sent", got)
	}
}
