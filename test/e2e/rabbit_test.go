//go:build e2e

package e2e

import (
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// needsRabbitMQ skips tests of brokers and dead letter queues where there is none.
func needsRabbitMQ(t *testing.T) {
	t.Helper()
	if os.Getenv("LAMBDA_RABBITMQ_URL") == "" {
		t.Skip("LAMBDA_RABBITMQ_URL: missing; bring up the cluster with --with=eventing")
	}
}

// rabbitMQ is a channel to the event plane's virtual host, with the rights of the
// controller; the test is skipped where there is no RabbitMQ.
func rabbitMQ(t *testing.T) *amqp.Channel {
	t.Helper()
	needsRabbitMQ(t)
	secret, err := clients.Kube.CoreV1().Secrets(operatorNamespace).Get(t.Context(), "knative-lambda-rabbitmq-topology", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reachable, err := url.Parse(os.Getenv("LAMBDA_RABBITMQ_URL")) // the Secret names a host inside the cluster
	if err != nil {
		t.Fatal(err)
	}
	of := func(key string) string { return string(secret.Data[key]) }
	to := url.URL{
		Scheme: "amqp", User: url.UserPassword(of("username"), of("password")),
		Host: reachable.Host, Path: "/" + of("vhost"),
	}
	conn, err := amqp.Dial(to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func deadEvent(id string, data string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/e2e")
	e.SetType("io.example.order")
	e.SetSubject("a subject")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetExtension("knativeerrorcode", "500")
	e.SetExtension("knativeerrordest", "http://f.team.svc")
	if err := e.SetData("text/plain", data); err != nil {
		panic(err)
	}
	return &e
}
