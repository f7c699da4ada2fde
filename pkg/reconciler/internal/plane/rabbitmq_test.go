package plane

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// opened is the connection of an installation.
func opened(t *testing.T, uid types.UID, settings connection.Settings) *Connection {
	t.Helper()
	connections := NewConnections()
	connections.Claim(func() types.UID { return uid })
	changed := make(chan struct{}, 8)
	connections.Observe(func(string) { changed <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	set := (&opener{connections: connections, topology: openTopology, permit: func(string, string, netip.Addr) error { return nil }}).set(ctx)
	set.Apply(map[string]connection.Settings{"team.a": settings})
	t.Cleanup(func() { set.Apply(nil); cancel() })
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("the connection was not checked")
	}
	return connections.Get("team.a")
}

// TestRabbitMQ_SharedVirtualHost: with the permissions of the documentation a virtual host
// is prepared, and a second installation is noticed there.
func TestRabbitMQ_SharedVirtualHost(t *testing.T) {
	t.Parallel()
	host := amqptest.New(t)
	user := host.Name
	host.Must(t, http.MethodPut, "/api/users/"+user, map[string]string{"password": "p", "tags": "management"}, nil)
	t.Cleanup(func() { host.Must(t, http.MethodDelete, "/api/users/"+user, nil, nil) })
	host.Must(t, http.MethodPut, "/api/permissions/"+host.Name+"/"+user,
		map[string]string{"configure": `^lambda\.`, "write": `^(lambda\.|amq\.default$)`, "read": `^lambda\.`}, nil)
	settings := connection.Settings{
		From: "team", Host: host.Host, Port: host.Port, Username: user, Password: "p", VirtualHost: host.Name, Management: host.Management(),
	}
	first := opened(t, "first", settings)
	if err := first.Err(); err != nil {
		t.Fatal(err)
	}
	names, err := first.Queues(t.Context())
	if err != nil || first.Shared(names) || !slices.Contains(names, "lambda.installation.first") || !slices.Contains(names, "lambda.delay.10s") {
		t.Errorf("queues %v, %v", names, err)
	}
	opened(t, "second", settings)
	if names, err := first.Queues(t.Context()); err != nil || !first.Shared(names) {
		t.Errorf("the second installation is not noticed: %v, %v", names, err)
	}
	wrong := settings
	wrong.Password = "wrong"
	if err := opened(t, "third", wrong).Err(); !errors.Is(err, queue.ErrRefused) {
		t.Errorf("wrong credentials: %v", err)
	}
}
