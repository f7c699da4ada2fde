package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"knative.dev/eventing/pkg/auth"
	kubeclient "knative.dev/pkg/client/injection/kube/client"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/dispatch"
)

// deliveries are a Dispatcher: of package dispatch, with the delay queues.
type deliveries struct {
	dependencies *Dependencies
	client       *delivery.Client
	dispatcher   *dispatch.Dispatcher
	delays       *delay.Consumer
}

var _ Dispatcher = (*deliveries)(nil)

// NewDispatcher returns what delivers events.
func NewDispatcher(ctx context.Context, d *Dependencies) (Dispatcher, error) {
	metrics, err := dispatch.NewMetrics(d.Meters, d.Traces)
	if err != nil {
		return nil, err
	}
	s := &deliveries{dependencies: d, client: delivery.New(delivery.Options{
		Permit: d.Permit,
		TLS:    delivery.TrustBundles(d.TrustBundles),
		Tokens: auth.NewOIDCTokenProvider(context.WithValue(ctx, kubeclient.Key{}, d.Clients.Kube)),
	})}
	s.dispatcher = dispatch.New(dispatch.Options{
		Subscriber: d.Engine, Publisher: d.Engine, Inspector: d.Engine, Connection: d.Connections.connection,
		Sender: s.client, Budget: d.Deliveries, Metrics: metrics,
		Priority: dispatch.Spread(d.Replica), Replied: d.Features.types.see,
	})
	s.delays = &delay.Consumer{Subscriber: d.Engine, Publisher: d.Engine, Trigger: s.dispatcher.Queue}
	return s, nil
}

// Watch implements Dispatcher. The delay queues are consumed when all Triggers are known:
// an event of an unknown one is dropped.
func (s *deliveries) Watch(ctx context.Context) error {
	if err := s.dispatcher.Watch(ctx, s.dependencies.Triggers, s.dependencies.Brokers); err != nil {
		return err
	}
	if err := s.delays.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("cannot consume the delay queues: %w", err)
	}
	s.dependencies.Connections.deliver(s.consumeDelays(context.WithoutCancel(ctx)), s.dispatcher.Reconnect)
	return nil
}

// consumeDelays of a connection of its own, by its name. Users write into its queues, so
// that what is in hand counts for their namespace. It fails for its arguments only.
func (s *deliveries) consumeDelays(ctx context.Context) func(string, Engine) *delay.Consumer {
	return func(name string, e Engine) *delay.Consumer {
		c := &delay.Consumer{Subscriber: e, Publisher: e, Trigger: s.dispatcher.Queue}
		if b := s.dependencies.Deliveries; b != nil {
			c.Budget = func(n int64) func() { return b.Hold(connection.NamespaceOf(name), n) }
		}
		if err := c.Start(ctx); err != nil {
			slog.ErrorContext(ctx, "Cannot consume the delay queues of a connection", "error", err)
		}
		return c
	}
}

// Register implements Dispatcher.
func (s *deliveries) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+dispatch.GenerationsPath, s.dispatcher.Generations)
}

// Stop implements Dispatcher.
func (s *deliveries) Stop(ctx context.Context) error {
	err := errors.Join(s.dispatcher.Stop(ctx), s.delays.Stop(ctx), s.dependencies.Connections.stop(ctx))
	s.client.Close()
	return err
}
