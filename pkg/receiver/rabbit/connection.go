package rabbit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

const (
	dialTimeout = 5 * time.Second
	heartbeat   = 10 * time.Second
	defaultPort = "5672"
)

// Broker is a connection to RabbitMQ that is made when it is needed, again
// whenever it broke, and anew when its credentials have changed.
type Broker struct {
	// dir holds the keys of the connection's Secret as files.
	dir string

	mu       sync.Mutex
	uri      string
	conn     *amqp.Connection
	channels []*confirming            // idle, of conn
	held     map[string]chan struct{} // locks of this process; closed when they are given back
}

// New returns a Broker that reads its connection from the files of a Secret, as
// the RabbitMQ cluster operator writes it: connection_string, or host, port,
// username and password; ca.crt where TLS needs one.
func New(dir string) *Broker { return &Broker{dir: dir, held: map[string]chan struct{}{}} }

// URI of the connection. The error says what to do where there is none.
func (b *Broker) URI() (string, error) {
	values := map[string]string{}
	for _, key := range []string{"connection_string", "host", "port", "username", "password"} {
		text, err := os.ReadFile(filepath.Join(b.dir, key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		values[key] = strings.TrimSpace(string(text))
	}
	if values["connection_string"] != "" {
		return values["connection_string"], nil
	}
	if values["host"] == "" {
		return "", errors.New("no connection is configured: make a Secret knative-lambda-rabbitmq in the operator's namespace with host, port, username and password, or connection_string")
	}
	if values["port"] == "" {
		values["port"] = defaultPort
	}
	u := url.URL{Scheme: "amqp", Host: net.JoinHostPort(values["host"], values["port"]), Path: "/"}
	if values["username"] != "" {
		u.User = url.UserPassword(values["username"], values["password"])
	}
	return u.String(), nil
}

// connection that works.
func (b *Broker) connection(ctx context.Context) (*amqp.Connection, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	uri, err := b.URI()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	if b.conn != nil && !b.conn.IsClosed() && b.uri == uri {
		return b.conn, nil
	}
	if b.conn != nil {
		_ = b.conn.Close() // what is in flight on it is answered with an error
	}
	b.conn, b.channels = nil, nil
	tlsConfig, err := b.tls()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	conn, err := amqp.DialConfig(uri, amqp.Config{Heartbeat: heartbeat, TLSClientConfig: tlsConfig, Properties: amqp.Table{"connection_name": "knative-lambda-receiver"},
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			// The handshake too; the library lifts it afterwards.
			return conn, conn.SetDeadline(time.Now().Add(dialTimeout))
		}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	b.uri, b.conn = uri, conn
	return conn, nil
}

func (b *Broker) tls() (*tls.Config, error) {
	ca, err := os.ReadFile(filepath.Join(b.dir, "ca.crt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("ca.crt: expected certificates in PEM")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// channel opens a channel of a connection that works.
func (b *Broker) channel(ctx context.Context) (*amqp.Channel, error) {
	conn, err := b.connection(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	return ch, nil
}

// Close ends the connection.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil || b.conn.IsClosed() {
		return nil
	}
	return b.conn.Close()
}
