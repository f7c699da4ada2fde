//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// brokered functions have the namespace's broker, with a dead letter queue.
func brokered(s *v1alpha1.LambdaFunctionSpec) {
	s.Eventing = &v1alpha1.FunctionEventing{Enabled: true}
}

// TestSecretsOfBrokers: no Secret in a user's namespace can log in to RabbitMQ and see,
// read, write or bind what is another namespace's.
func TestSecretsOfBrokers(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	needsRabbitMQ(t)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	owned := createFunction(ctx, t, victim, python(victim, "owned", greeting("hello"), brokered))
	ready(ctx, t, attacker, python(attacker, "greeter", greeting("hello"), brokered))
	if _, err := victim.AwaitFunction(ctx, test.Key(owned), "Ready", (*v1alpha1.LambdaFunction).IsReady); err != nil {
		t.Fatal(err)
	}
	queue := events.DeadLetterQueue(victim.Namespace, owned.Name)
	plane, err := admin.Kube.CoreV1().Secrets(operatorNamespace).Get(ctx, "knative-lambda-rabbitmq-topology", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	vhost := string(plane.Data["vhost"])
	if did := trespass(ctx, t, logins(plane.Data, vhost)[0], queue); len(did) == 0 {
		t.Fatalf("the operator's own login does not reach %s: the attack would prove nothing", queue)
	}

	secrets, err := attacker.Kube.CoreV1().Secrets(attacker.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var achieved []string
	tried := 0
	for _, s := range secrets.Items {
		for _, login := range logins(s.Data, vhost) {
			tried++
			for _, did := range trespass(ctx, t, login, queue) {
				achieved = append(achieved, "Secret "+s.Name+" "+did)
			}
		}
	}
	t.Logf("%d Secrets of the attacker, %d of which may log in", len(secrets.Items), tried)
	for _, did := range achieved {
		t.Error(did)
	}
}

// logins to a virtual host are the URLs of RabbitMQ that the data of a Secret holds, as
// they are there or made of their parts.
func logins(data map[string][]byte, vhost string) (all []string) {
	for _, value := range data {
		if u, err := url.Parse(strings.TrimSpace(string(value))); err == nil && strings.HasPrefix(u.Scheme, "amqp") {
			u.Path = "/" + vhost
			all = append(all, u.String())
		}
	}
	user, password, host := string(data["username"]), string(data["password"]), string(data["host"])
	if host == "" {
		if u, err := url.Parse(string(data["uri"])); err == nil {
			host = u.Hostname()
		}
	}
	if user != "" && password != "" && host != "" {
		port := string(data["port"])
		if port == "" {
			port = "5672"
		}
		u := url.URL{Scheme: "amqp", User: url.UserPassword(user, password), Host: net.JoinHostPort(host, port), Path: "/" + vhost}
		all = append(all, u.String())
	}
	return all
}

// trespass returns what a login may do with another namespace's queue. What it does it
// undoes, but one message.
func trespass(ctx context.Context, t *testing.T, login, queue string) (did []string) {
	t.Helper()
	conn, err := amqp.DialConfig(login, amqp.Config{Dial: inCluster(ctx)})
	if err != nil {
		if strings.Contains(err.Error(), "dial") {
			t.Skipf("RabbitMQ is not reached from here: %v", err)
		}
		return nil // it cannot log in
	}
	defer conn.Close()
	for what, try := range map[string]func(*amqp.Channel) error{
		"sees " + queue: func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			return err
		},
		"reads " + queue: func(ch *amqp.Channel) error {
			message, ok, err := ch.Get(queue, false)
			if err == nil && ok {
				err = message.Nack(false, true)
			}
			return err
		},
		"writes " + queue: func(ch *amqp.Channel) error { return publish(ctx, ch, queue) },
		"binds " + queue: func(ch *amqp.Channel) error {
			if err := ch.QueueBind(queue, "tenant-test", "amq.direct", false, nil); err != nil {
				return err
			}
			return ch.QueueUnbind(queue, "tenant-test", "amq.direct", nil)
		},
	} {
		ch, err := conn.Channel() // a refusal ends it
		if err != nil {
			t.Fatal(err)
		}
		if err := try(ch); err == nil {
			did = append(did, what)
		}
		_ = ch.Close()
	}
	return did
}

func publish(ctx context.Context, ch *amqp.Channel, queue string) error {
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirmed, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, amqp.Publishing{ContentType: "text/plain", Body: []byte("forged")})
	if err != nil {
		return err
	}
	in, err := confirmed.WaitContext(ctx)
	if err == nil && !in {
		err = fmt.Errorf("RabbitMQ has refused the message")
	}
	return err
}

// inCluster dials Services by their addresses: their names resolve in pods only.
func inCluster(ctx context.Context) func(network, address string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if parts := strings.Split(host, "."); len(parts) >= 3 && parts[2] == "svc" {
			service, err := admin.Kube.CoreV1().Services(parts[1]).Get(ctx, parts[0], metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			host = service.Spec.ClusterIP
		}
		conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, net.JoinHostPort(host, port))
		if err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
		return conn, conn.SetDeadline(time.Now().Add(30 * time.Second)) // until the handshake is over
	}
}
