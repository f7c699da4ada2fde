package amqp

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  amqp.URI
		err   string
	}{
		{
			"whole", map[string]string{"host": "rabbit", "port": "5673\n", "username": "u", "password": "p@ss/%", "vhost": "a/b"},
			amqp.URI{Scheme: "amqp", Host: "rabbit", Port: 5673, Username: "u", Password: "p@ss/%", Vhost: "a/b"}, "",
		},
		{"defaults", map[string]string{"host": "rabbit"}, amqp.URI{Scheme: "amqp", Host: "rabbit", Port: 5672, Username: "guest", Password: "guest", Vhost: "/"}, ""},
		{
			"IPv6 with TLS", map[string]string{"host": "fd00::1", "username": "u", "password": "p", "ca.crt": "x"},
			amqp.URI{Scheme: "amqps", Host: "fd00::1", Port: 5671, Username: "u", Password: "p", Vhost: "/"}, "",
		},
		{"the port of TLS", map[string]string{"host": "rabbit", "port": "5671"}, amqp.URI{Scheme: "amqps", Host: "rabbit", Port: 5671, Username: "guest", Password: "guest", Vhost: "/"}, ""},
		{"TLS", map[string]string{"host": "rabbit", "tls": "true"}, amqp.URI{Scheme: "amqps", Host: "rabbit", Port: 5671, Username: "guest", Password: "guest", Vhost: "/"}, ""},
		{
			"a connection string", map[string]string{"host": "rabbit", "connection_string": "amqps://u:p@other/v\n"},
			amqp.URI{Scheme: "amqps", Host: "other", Port: 5671, Username: "u", Password: "p", Vhost: "v"}, "",
		},
		{
			"a connection string that names files", map[string]string{"connection_string": "amqps://u:p@other/v?cacertfile=/etc/shadow", "vhost": "w"},
			amqp.URI{Scheme: "amqps", Host: "other", Port: 5671, Username: "u", Password: "p", Vhost: "w"}, "",
		},
		{"none", nil, amqp.URI{}, "the Secret needs"},
		{"another scheme", map[string]string{"connection_string": "http://u:secret@other/"}, amqp.URI{}, "expected amqp[s]://"},
		{"tls is true, the string is not", map[string]string{"connection_string": "amqp://u:secret@other/", "tls": "true"}, amqp.URI{}, "key connection_string: expected amqps://, because tls is true"},
		{"a CA, the string has no TLS", map[string]string{"connection_string": "amqp://u:secret@other/", "ca.crt": "x"}, amqp.URI{}, "key connection_string: expected amqps://, because ca.crt is set"},
		{"a string without a user", map[string]string{"connection_string": "amqp://other/"}, amqp.URI{}, "key connection_string: expected a user and a password"},
		{"a string without a password", map[string]string{"connection_string": "amqp://u:@other/"}, amqp.URI{}, "key connection_string: expected a user and a password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			amqptest.WriteSecret(t, dir, tt.files)
			c, err := ReadCredentials(dir)
			must(t, err)
			got, err := c.URI()
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("URI() = %v; want an error that contains %q", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error contains the password: %v", err)
			}
			if err == nil && (got.Scheme != tt.want.Scheme || got.Host != tt.want.Host || got.Port != tt.want.Port ||
				got.Username != tt.want.Username || got.Password != tt.want.Password || got.Vhost != tt.want.Vhost || got.CACertFile != "") {
				t.Errorf("URI() = %+v; want %+v", got, tt.want)
			}
		})
	}
}

// TestAway: without a RabbitMQ nothing waits longer than its context, and all says why.
func TestAway(t *testing.T) {
	t.Parallel()
	refused := errors.New("dialing this address is refused")
	dir := t.TempDir()
	amqptest.WriteSecret(t, dir, map[string]string{"host": "10.0.0.1"})
	e := New(Options{Credentials: dir, Dial: func(_ context.Context, _, hostPort string) (net.Conn, error) {
		if hostPort != "10.0.0.1:5672" {
			t.Errorf("dialed %s", hostPort)
		}
		return nil, refused
	}})
	c, err := e.Consume(t.Context(), queue.Consumer{Queue: "q", Prefetch: 1, Handler: func(context.Context, queue.Delivery) {}})
	must(t, err)
	eventually(t, "the first attempt fails", func() bool { return errors.Is(e.Ready(), refused) })
	_, inspect := e.Inspect(t.Context(), "q")
	for name, err := range map[string]error{
		"Put": e.Put(t.Context(), "q", &queue.Message{}), "Declare": e.Declare(t.Context(), queue.Declaration{Name: "q"}), "Inspect": inspect, "Err": c.Err(),
	} {
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s() = %v; want ErrUnavailable", name, err)
		}
	}
	began := time.Now()
	must(t, c.Cancel(t.Context()))
	must(t, e.Close(t.Context()))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close() took %s", took)
	}
	if err := e.Put(t.Context(), "q", &queue.Message{}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put() after Close() = %v; want ErrUnavailable", err)
	}
	if _, err := e.Consume(t.Context(), queue.Consumer{Queue: "q", Prefetch: 1, Handler: func(context.Context, queue.Delivery) {}}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Consume() after Close() = %v; want ErrUnavailable", err)
	}
}

// TestSilentServer: a server that accepts a connection and says nothing holds up no
// caller, and not the end.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	host, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	amqptest.WriteSecret(t, dir, map[string]string{"host": host, "port": port})
	e := New(Options{Credentials: dir, Timeout: 30 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Put(ctx, "q", &queue.Message{}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put() = %v; want ErrUnavailable", err)
	}
	began := time.Now()
	must(t, e.Close(t.Context()))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close() took %s", took)
	}
}

// TestRefusal: RabbitMQ answers 403 for credentials, and 530 for a virtual host.
func TestRefusal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{amqp.ErrCredentials, true},
		{amqp.ErrVhost, true},
		{&amqp.Error{Code: amqp.AccessRefused, Server: true}, true},
		{&amqp.Error{Code: amqp.NotAllowed, Server: true}, true},
		{&amqp.Error{Code: amqp.ConnectionForced, Server: true}, false},
		{amqp.ErrClosed, false},
	} {
		if got := errors.Is(refusal(tt.err), queue.ErrRefused); got != tt.want {
			t.Errorf("%v is a refusal: %t, want %t", tt.err, got, tt.want)
		}
	}
}
