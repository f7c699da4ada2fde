package amqp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestBlocked: while RabbitMQ accepts no messages, none is sent, and acknowledgements
// get through.
func TestBlocked(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, p := r.engine(t), newProxy(t, r)
	e := r.engineAt(t, "127.0.0.1", p.port())
	q := aQueue(t, direct, false)
	c := consume(t, e, q, 1)
	put(t, e, q, "1")
	d := c.next(t, "1")
	p.blocked("low on memory")
	eventually(t, "the engine is blocked", e.Blocked)
	for name, err := range map[string]error{"Ready": e.Ready(), "Put": e.Put(t.Context(), q, &queue.Message{}), "Publish": e.Publish(t.Context(), []string{"k"}, &queue.Message{})} {
		if !errors.Is(err, queue.ErrBlocked) || !strings.Contains(err.Error(), "low on memory") {
			t.Errorf("%s() = %v; want ErrBlocked with RabbitMQ's reason", name, err)
		}
	}
	must(t, d.Ack())
	put(t, direct, q, "2")
	must(t, c.next(t, "2").Ack())
	p.unblocked()
	eventually(t, "the engine is ready", func() bool { return e.Ready() == nil && !e.Blocked() })
	put(t, e, q, "3")
	must(t, c.next(t, "3").Ack())
	if n := e.Connections(); n != 2 {
		t.Errorf("%d connections; want 2", n)
	}
}

// TestBlockedWhileWriting: callers whose message waits for a socket that RabbitMQ no
// longer reads do not wait until their context ends.
func TestBlockedWhileWriting(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, p := r.engine(t), newProxy(t, r)
	e := r.engineAt(t, "127.0.0.1", p.port())
	q := aQueue(t, direct, false)
	put(t, e, q, "1")
	if _, err := e.Inspect(t.Context(), q); err != nil { // both connections are in use
		t.Fatal(err)
	}
	p.stall(true, false)
	var wg sync.WaitGroup
	var mu sync.Mutex
	blocked := 0
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 40 {
		wg.Go(func() {
			if err := e.Put(ctx, q, &queue.Message{Body: make([]byte, 1<<20)}); errors.Is(err, queue.ErrBlocked) {
				mu.Lock()
				defer mu.Unlock()
				blocked++
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	p.blocked("low on disk")
	eventually(t, "most callers return", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return blocked >= 30
	})
	if ctx.Err() != nil {
		t.Error("the callers waited for their context")
	}
	p.resume()
	wg.Wait()
}

// TestExchangeMissing: publishing says so, and works once the exchange is declared.
func TestExchangeMissing(t *testing.T) {
	t.Parallel()
	r := own(t)
	e := r.engine(t)
	q := aQueue(t, e, false)
	err := e.Publish(t.Context(), []string{"k"}, &queue.Message{})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), queue.Exchange) {
		t.Errorf("Publish() = %v; want ErrUnavailable with the name of the exchange", err)
	}
	if err := e.Bind(t.Context(), q, "k"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Bind() = %v; want ErrUnavailable", err)
	}
	must(t, e.DeclareExchange(t.Context()))
	must(t, e.Bind(t.Context(), q, "k"))
	must(t, e.Publish(t.Context(), []string{"k"}, &queue.Message{Body: []byte("1")}))
	must(t, consume(t, e, q, 1).next(t, "1").Ack())
}

// TestVirtualHostLost and made again: everything works after it was declared again.
func TestVirtualHostLost(t *testing.T) {
	t.Parallel()
	r := own(t)
	e := r.engine(t)
	q := aQueue(t, e, false)
	c := consume(t, e, q, 1)
	put(t, e, q, "1")
	must(t, c.next(t, "1").Ack())
	must(t, r.Delete())
	eventually(t, "the engine is not ready", func() bool { return errors.Is(e.Ready(), queue.ErrUnavailable) })
	if err := e.Put(t.Context(), q, &queue.Message{}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put() = %v; want ErrUnavailable", err)
	}
	r.Create(t)
	eventually(t, "the engine is ready", func() bool { return e.Ready() == nil })
	eventually(t, "the consumer misses its queue", func() bool { return errors.Is(c.c.Err(), queue.ErrNoQueue) })
	must(t, e.Declare(t.Context(), queue.Declaration{Name: q}))
	put(t, e, q, "2")
	must(t, c.next(t, "2").Ack())
}

// TestRotation: new connections take over; what is in hand is acknowledged on the old
// ones, which end then; nothing fails meanwhile.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, before, after := r.engine(t), newProxy(t, r), newProxy(t, r)
	dir := r.Secret(t, map[string]string{"host": "127.0.0.1", "port": before.port()})
	e := r.engine(t, quick, func(o *Options) { o.Credentials = dir })
	unordered, ordered := aQueue(t, direct, false), aQueue(t, direct, true)
	many, one := consume(t, e, unordered, 5), consume(t, e, ordered, 1)
	put(t, direct, unordered, "1", "2", "3")
	put(t, direct, ordered, "1", "2", "3")
	first, second, third := many.next(t, "1"), many.next(t, "2"), many.next(t, "3")
	must(t, second.Ack())
	head := one.next(t, "1")

	amqptest.WriteSecret(t, dir, map[string]string{"password": "wrong"})
	time.Sleep(5 * quickRotation)
	put(t, e, unordered, "4") // the old credentials' connections stay
	four := many.next(t, "4")

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	published := 0
	wg.Go(func() {
		for ; ctx.Err() == nil; published++ {
			if err := e.Put(context.WithoutCancel(ctx), unordered, &queue.Message{Body: []byte("during")}); err != nil {
				t.Errorf("Put() = %v", err)
			}
		}
	})
	amqptest.WriteSecret(t, dir, map[string]string{"password": r.Password, "port": after.port()})
	eventually(t, "new connections", func() bool { return after.connections() == 2 })
	state, err := direct.Inspect(t.Context(), ordered)
	if err != nil || state.Messages != 2 {
		t.Errorf("ordered queue: %+v, %v; want the message in hand and 2 that wait", state, err)
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	wg.Wait()
	for _, d := range []handed{first, third, four} {
		if d.ctx.Err() != nil {
			t.Errorf("a delivery was given up: %v", context.Cause(d.ctx))
		}
		must(t, d.Ack())
	}
	for range published {
		must(t, many.next(t, "during").Ack())
	}
	if len(one.deliveries) > 0 {
		t.Error("a message of the ordered queue was delivered beside the one in hand")
	}
	must(t, head.Ack())
	for _, text := range []string{"2", "3"} {
		d := one.next(t, text)
		if d.Redelivered() {
			t.Errorf("message %s was redelivered", text)
		}
		must(t, d.Ack())
	}
	must(t, errors.Join(many.c.Err(), one.c.Err()))
	eventually(t, "the old connections end", func() bool { return before.connections() == 0 && e.Connections() == 2 })
	if seen := drain(t, direct, unordered); len(seen) != 0 {
		t.Errorf("the queue holds %v; want nothing", seen)
	}
}

const quickRotation = 50 * time.Millisecond

// TestTLS: amqps with the certificate authority of the Secret, and no other.
func TestTLS(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	certificate, ca := authority(t)
	p := newTLSProxy(t, r, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	_, stranger := authority(t)
	direct := r.engine(t)
	q := aQueue(t, direct, false)
	for name, files := range map[string]map[string]string{
		"host":              {"ca.crt": ca, "host": "127.0.0.1", "port": p.port(), "username": r.Username, "password": r.Password, "vhost": r.Name},
		"connection string": {"ca.crt": ca, "connection_string": "amqps://" + url.UserPassword(r.Username, r.Password).String() + "@127.0.0.1:" + p.port() + "/" + r.Name},
	} {
		dir := t.TempDir()
		amqptest.WriteSecret(t, dir, files)
		e := r.engine(t, func(o *Options) { o.Credentials = dir })
		eventually(t, name+": the engine is ready", func() bool { return e.Ready() == nil })
		put(t, e, q, name)
		must(t, consume(t, e, q, 1).next(t, name).Ack())
		bounded := r.engine(t, func(o *Options) { o.Credentials, o.MaxMessage = dir, 1<<10 })
		eventually(t, name+": an engine that bounds messages is ready", func() bool { return bounded.Ready() == nil })
		must(t, bounded.Close(t.Context()))
		amqptest.WriteSecret(t, dir, map[string]string{"ca.crt": stranger})
		strange := r.engine(t, quick, func(o *Options) { o.Credentials = dir })
		eventually(t, name+": the certificate is refused", func() bool {
			err := strange.Ready()
			return err != nil && strings.Contains(err.Error(), "certificate")
		})
		must(t, e.Close(t.Context()))
	}
}

// authority returns a certificate for 127.0.0.1 that signs itself.
func authority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
