package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

const (
	key     = "sk-of-the-program"
	traceID = "0af7651916cd43dd8448eb211c80319c"
	asked   = `{"stream":true,"messages":[{"role":"user","content":"hello there"}]}`
	// soon is when what does not come is missed.
	soon = 30 * time.Second
)

// TestMain is the program itself where it is told so: then a signal can end it.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUNS_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// freePort that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// program runs with a provider and a collector of traces.
func program(ctx context.Context, t *testing.T, provider, collector string) (run *exec.Cmd, said *bytes.Buffer, url, metrics string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.json")
	settings := fmt.Sprintf(`{"name":"bruno","namespace":"team","modelProxy":{"provider":"openai-compatible","endpoint":%q,"model":"m"}}`, provider)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	port, metricsPort := freePort(t), freePort(t)
	said = &bytes.Buffer{}
	run = exec.CommandContext(ctx, os.Args[0])
	run.Env = append(os.Environ(), "TEST_RUNS_THE_PROGRAM=1", "LAMBDA_AGENT_CONFIG="+file, "LAMBDA_MODEL_KEY="+key, "LAMBDA_LOG_LEVEL=debug",
		"LAMBDA_MODEL_PROXY_PORT="+strconv.Itoa(port), "LAMBDA_METRICS_PORT="+strconv.Itoa(metricsPort), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector)
	run.Stdout, run.Stderr = said, said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	return run, said, fmt.Sprintf("http://127.0.0.1:%d", port), fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort)
}

// await polls until it holds.
func await(ctx context.Context, t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not come", what)
		case <-tick.C:
		}
	}
}

// get an answer on a connection of its own.
func get(ctx context.Context, method, url, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
	return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
}

func healthy(ctx context.Context, url string) bool {
	response, err := get(ctx, http.MethodGet, url+"/healthz", "")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// collected is what a collector of traces was sent.
type collected struct {
	mu   sync.Mutex
	text []byte
}

func (c *collected) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, body...)
}

// TestDrain: at SIGTERM the program is no longer ready and takes no new call; a stream
// that runs comes to its end, its span is not lost, and the program ends as it should.
// Its key is in nothing that it says.
func TestDrain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	m := &modelserver.Server{Gate: make(chan struct{})}
	provider := httptest.NewServer(m)
	defer provider.Close()
	traces := &collected{}
	collector := httptest.NewServer(traces)
	defer collector.Close()
	run, said, url, metrics := program(ctx, t, provider.URL, collector.URL)
	await(ctx, t, "readiness", func() bool { return healthy(ctx, url) })

	response, err := get(ctx, http.MethodPost, url+"/v1/chat/completions", asked)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stream := bufio.NewReader(response.Body)
	if first, err := stream.ReadString('\n'); err != nil || !strings.Contains(first, `"m "`) {
		t.Fatalf("the first chunk is %q, %v", first, err)
	}
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "the end of readiness", func() bool { return !healthy(ctx, url) })
	if refused, err := get(ctx, http.MethodPost, url+"/v1/chat/completions", asked); err == nil {
		refused.Body.Close()
		t.Errorf("a call after the end of readiness was answered %s", refused.Status)
	}
	if calls := m.Calls().Total; calls != 1 {
		t.Errorf("the provider had %d calls, want the one that runs", calls)
	}
	told, err := get(ctx, http.MethodGet, metrics, "")
	if err != nil {
		t.Fatalf("metrics while a call runs: %v", err)
	}
	measured, _ := io.ReadAll(told.Body)
	told.Body.Close()
	close(m.Gate)
	rest, err := io.ReadAll(stream)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") || !strings.Contains(string(rest), `"there"`) {
		t.Errorf("the rest of the stream is %q, %v", rest, err)
	}
	if err := run.Wait(); err != nil {
		t.Errorf("the program ended with %v: %s", err, said)
	}
	id, _ := hex.DecodeString(traceID)
	for _, want := range []string{string(id), "chat m", "gen_ai.provider.name", "openai_compatible", "gen_ai.usage.output_tokens"} {
		if !bytes.Contains(traces.text, []byte(want)) {
			t.Errorf("%q is in no span that was sent", want)
		}
	}
	for where, text := range map[string]string{"logs": said.String(), "spans": string(traces.text), "metrics": string(measured)} {
		if strings.Contains(text, key) {
			t.Errorf("the key is in the %s: %s", where, text)
		}
	}
	if !strings.Contains(said.String(), "a model was called") {
		t.Errorf("at level debug the log says %s", said)
	}
}

// TestBadConfiguration: what is wrong is said, and the program does not run.
func TestBadConfiguration(t *testing.T) {
	run, said, _, _ := program(t.Context(), t, "ftp://provider", "")
	if err := run.Wait(); err == nil || !strings.Contains(said.String(), `expected an endpoint that begins with http:// or https://, got "ftp://provider"`) {
		t.Errorf("the program ended with %v: %s", err, said)
	}
}
