package amqp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue/queuetest"
)

// rabbit is a virtual host of a test's own.
type rabbit struct {
	uri        amqp.URI
	management string
	vhost      string
}

var (
	sharedOnce sync.Once
	shared     *rabbit
)

// TestMain deletes the virtual host that tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.call(http.MethodDelete, "/api/vhosts/"+shared.vhost, nil, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// theRabbit returns the virtual host that tests share. It skips a test without a
// RabbitMQ.
func theRabbit(t testing.TB) *rabbit {
	t.Helper()
	text, management := os.Getenv("LAMBDA_RABBITMQ_URL"), os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL")
	if text == "" || management == "" {
		t.Skip("LAMBDA_RABBITMQ_URL or LAMBDA_RABBITMQ_MANAGEMENT_URL: missing")
	}
	sharedOnce.Do(func() {
		uri, err := amqp.ParseURI(text)
		if err != nil {
			t.Fatal(err)
		}
		r := &rabbit{uri: uri, management: management, vhost: fmt.Sprintf("lambda-amqp-%d", time.Now().UnixNano())}
		r.must(t, http.MethodPut, "/api/vhosts/"+r.vhost, map[string]any{"description": "tests of internal/broker/amqp"}, nil)
		r.must(t, http.MethodPut, "/api/permissions/"+r.vhost+"/"+url.PathEscape(uri.Username), permissions(".*"), nil)
		shared = r
	})
	if shared == nil {
		t.Fatal("the virtual host could not be made")
	}
	return shared
}

func permissions(pattern string) map[string]any {
	return map[string]any{"configure": pattern, "write": pattern, "read": pattern}
}

func (r *rabbit) must(t testing.TB, method, path string, in, out any) {
	t.Helper()
	if err := r.call(method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

// call the management API.
func (r *rabbit) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.management+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.SetBasicAuth(r.uri.Username, r.uri.Password)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// secret writes the files of a Secret for an address.
func (r *rabbit) secret(t testing.TB, host, port, username, password string) string {
	t.Helper()
	dir := t.TempDir()
	writeSecret(t, dir, map[string]string{"host": host, "port": port, "username": username, "password": password, "vhost": r.vhost})
	return dir
}

func writeSecret(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// engine connects directly.
func (r *rabbit) engine(t testing.TB, change ...func(*Options)) *Engine {
	t.Helper()
	return r.engineAt(t, r.uri.Host, fmt.Sprint(r.uri.Port), change...)
}

func (r *rabbit) engineAt(t testing.TB, host, port string, change ...func(*Options)) *Engine {
	t.Helper()
	o := Options{Credentials: r.secret(t, host, port, r.uri.Username, r.uri.Password), Name: t.Name()}
	for _, f := range change {
		f(&o)
	}
	e := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return e
}

// limited is an Engine whose queues policies limit.
type limited struct {
	*Engine

	r *rabbit
}

var _ queuetest.Limiter = limited{}

// Limit implements queuetest.Limiter.
func (l limited) Limit(_ context.Context, queue string, messages int) error {
	err := l.r.call(http.MethodPut, "/api/policies/"+l.r.vhost+"/"+queue, map[string]any{
		"pattern": "^" + strings.ReplaceAll(queue, ".", `\.`) + "$", "definition": map[string]any{"max-length": messages}, "apply-to": "queues",
	}, nil)
	time.Sleep(200 * time.Millisecond) // a policy is in force after its answer
	return err
}

func TestConformance(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	queuetest.Run(t, func(t *testing.T) queuetest.Engine {
		t.Helper()
		return limited{Engine: r.engine(t), r: r}
	})
}
