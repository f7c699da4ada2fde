// Package amqptest gives tests a virtual host of their own on the RabbitMQ that
// LAMBDA_RABBITMQ_URL and LAMBDA_RABBITMQ_MANAGEMENT_URL name.
package amqptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

const (
	callTimeout = time.Minute
	// policyDelay is how long after its answer a policy may take to be in force.
	policyDelay = 200 * time.Millisecond
)

// VirtualHost of RabbitMQ.
type VirtualHost struct {
	Name string
	// Host and Port of AMQP.
	Host, Port string
	// Username and Password have every right in the virtual host.
	Username, Password string

	management string
}

// New makes a virtual host, and deletes it when the test ends. It skips the test if
// there is no RabbitMQ.
func New(t testing.TB) *VirtualHost {
	t.Helper()
	v := Open(t)
	v.Create(t)
	t.Cleanup(func() { v.Must(t, http.MethodDelete, "/api/vhosts/"+v.Name, nil, nil) })
	return v
}

// Open names a virtual host that does not exist yet. It skips the test if there is no
// RabbitMQ.
func Open(t testing.TB) *VirtualHost {
	t.Helper()
	text, management := os.Getenv("LAMBDA_RABBITMQ_URL"), os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL")
	if text == "" || management == "" {
		t.Skip("LAMBDA_RABBITMQ_URL or LAMBDA_RABBITMQ_MANAGEMENT_URL: missing")
	}
	uri, err := amqp091.ParseURI(text)
	if err != nil {
		t.Fatal("LAMBDA_RABBITMQ_URL: expected amqp://user:password@host:port/")
	}
	return &VirtualHost{
		Name: fmt.Sprintf("lambda-test-%d", time.Now().UnixNano()), Host: uri.Host, Port: fmt.Sprint(uri.Port),
		Username: uri.Username, Password: uri.Password, management: management,
	}
}

// Create the virtual host, or create it again.
func (v *VirtualHost) Create(t testing.TB) {
	t.Helper()
	v.Must(t, http.MethodPut, "/api/vhosts/"+v.Name, map[string]any{"description": t.Name()}, nil)
	v.Must(t, http.MethodPut, "/api/permissions/"+v.Name+"/"+url.PathEscape(v.Username),
		map[string]any{"configure": ".*", "write": ".*", "read": ".*"}, nil)
}

// Delete the virtual host with all that is in it.
func (v *VirtualHost) Delete() error {
	return v.Call(http.MethodDelete, "/api/vhosts/"+v.Name, nil, nil)
}

// URL of the virtual host for AMQP.
func (v *VirtualHost) URL() string {
	u := url.URL{Scheme: "amqp", User: url.UserPassword(v.Username, v.Password), Host: net.JoinHostPort(v.Host, v.Port), Path: "/" + v.Name}
	return u.String()
}

// Management is the URL of the management API.
func (v *VirtualHost) Management() string { return v.management }

// Secret returns a folder with the files of a Secret that leads to the virtual host.
// Files given replace them.
func (v *VirtualHost) Secret(t testing.TB, files map[string]string) string {
	t.Helper()
	all := map[string]string{"host": v.Host, "port": v.Port, "username": v.Username, "password": v.Password, "vhost": v.Name}
	for name, text := range files {
		all[name] = text
	}
	dir := t.TempDir()
	WriteSecret(t, dir, all)
	return dir
}

// WriteSecret writes files of a Secret.
func WriteSecret(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Limit a queue to a number of messages.
func (v *VirtualHost) Limit(queue string, messages int) error {
	err := v.Call(http.MethodPut, "/api/policies/"+v.Name+"/"+queue, map[string]any{
		"pattern": "^" + strings.ReplaceAll(queue, ".", `\.`) + "$", "definition": map[string]any{"max-length": messages}, "apply-to": "queues",
	}, nil)
	time.Sleep(policyDelay)
	return err
}

// Must call the management API.
func (v *VirtualHost) Must(t testing.TB, method, path string, in, out any) {
	t.Helper()
	if err := v.Call(method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

// Call the management API with in as JSON, and read its answer into out, unless it is
// nil.
func (v *VirtualHost) Call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, v.management+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.SetBasicAuth(v.Username, v.Password)
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
