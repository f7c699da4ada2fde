package server

import (
	"context"
	"net/http"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/observability/otel"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/ingress"
)

// newIngress returns the handler of senders.
func newIngress(d *Dependencies, o Options) (http.Handler, error) {
	telemetry, err := ingress.NewTelemetry(d.Meters, d.Traces)
	if err != nil {
		return nil, err
	}
	handler := (&ingress.Handler{
		Brokers:    ingress.NewListedBrokers(d.Brokers.Lister(), d.Clients.Eventing.EventingV1()),
		Callees:    ingress.IndexedCallees{Triggers: d.Triggers.Informer().GetIndexer()},
		Publisher:  d.Engine,
		Connection: d.Connections.publisher,
		Budget:     d.Requests,
		Telemetry:  telemetry,
		Clock:      clock.RealClock{},
		Authorizer: &ingress.EventPolicies{Verifier: d.Features.verifier, Features: d.Features.store.Load},
		Accepted: func(ctx context.Context, b ingress.Broker, e *cloudevents.Event) {
			d.Features.types.see(ctx, types.NamespacedName{Namespace: b.Namespace, Name: b.Name}, b.UID, e)
		},
		MaxBody: o.MaxBody,
	}).Complete()
	// Metrics of requests by Host header and path are in the hands of senders.
	return otel.NewHandler(encrypted(d.Features.store, handler), "broker.ingress", noopmetric.NewMeterProvider(), d.Traces), nil
}

// encrypted refuses plain HTTP where transport-encryption is strict. As in Knative, 404 is
// what senders try again: not all of them know of the feature at the same moment.
func encrypted(features *feature.Store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && features.Load().IsStrictTransportEncryption() {
			http.Error(w, "the feature transport-encryption is strict: use https", http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}
