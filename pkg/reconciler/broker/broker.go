// Package broker reconciles Brokers of the event plane. A Broker needs nothing in
// RabbitMQ: all of them share an exchange. What it has is an address and conditions.
package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	duckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	brokerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/broker"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	"knative.dev/pkg/apis"
	pkgduckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/network"
	"knative.dev/pkg/reconciler"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// endpoints of the ingress.
type endpoints interface {
	Ready() []string
	CACerts() *string
}

// connections to RabbitMQ.
type connections interface {
	// Connect a Broker, and record that in its status.
	Connect(context.Context, *eventingv1.Broker) (*plane.Connection, error)
}

// sinks have addresses.
type sinks interface {
	AddressableFromDestinationV1(ctx context.Context, dest pkgduckv1.Destination, parent any) (*pkgduckv1.Addressable, error)
}

// Reconciler of Brokers of the event plane.
type Reconciler struct {
	endpoints   endpoints
	connections connections
	sinks       sinks
	policies    policylisters.EventPolicyLister
	after       func(types.NamespacedName, time.Duration) // enqueues
}

// configInterval is how often what the configuration of a Broker names is read again. A
// change of a Secret of the Broker's namespace comes by an event.
const configInterval = 30 * time.Second

var _ brokerreconciler.Interface = (*Reconciler)(nil)

// ReconcileKind implements brokerreconciler.Interface.
func (r *Reconciler) ReconcileKind(ctx context.Context, b *eventingv1.Broker) reconciler.Event {
	r.ingress(b)
	r.deadLetterSink(ctx, b)
	r.address(ctx, b)
	return errors.Join(
		r.rabbitMQ(ctx, b),
		r.eventPolicies(ctx, b),
	)
}

func manage(b *eventingv1.Broker) apis.ConditionManager { return b.GetConditionSet().Manage(&b.Status) }

func (r *Reconciler) ingress(b *eventingv1.Broker) {
	if len(r.endpoints.Ready()) == 0 {
		manage(b).MarkFalse(eventingv1.BrokerConditionIngress, ReasonNoReplica,
			"No replica of Deployment %s/%s is ready.", system.Namespace(), plane.Service)
		return
	}
	manage(b).MarkTrue(eventingv1.BrokerConditionIngress)
}

// rabbitMQ says how the connection is. A change of the connection enqueues the Broker.
func (r *Reconciler) rabbitMQ(ctx context.Context, b *eventingv1.Broker) error {
	if assignment.Configured(b) {
		r.after(types.NamespacedName{Namespace: b.Namespace, Name: b.Name}, configInterval)
	}
	connection, err := r.connections.Connect(ctx, b)
	var wrong *plane.ConfigError
	if errors.As(err, &wrong) {
		manage(b).MarkFalse(ConditionRabbitMQ, wrong.Reason, "%s", wrong.Message)
		return nil
	} else if err != nil {
		return fmt.Errorf("failed to read the configuration of the Broker: %w", err)
	}
	var forbidden *egress.ForbiddenError
	switch err := connection.Err(); {
	case !connection.Checked():
		if !b.Status.GetCondition(ConditionRabbitMQ).IsTrue() { // a restart of the controller says nothing
			manage(b).MarkUnknown(ConditionRabbitMQ, ReasonConnecting, "%s", err)
		}
	case errors.As(err, &forbidden):
		manage(b).MarkFalse(ConditionRabbitMQ, ReasonHostNotAllowed, "%s", forbidden)
	case errors.Is(err, queue.ErrRefused):
		manage(b).MarkFalse(ConditionRabbitMQ, ReasonCredentialsRefused, "%s", err)
	case err != nil:
		manage(b).MarkFalse(ConditionRabbitMQ, ReasonUnavailable, "%s", err)
	default:
		manage(b).MarkTrue(ConditionRabbitMQ)
	}
	return nil
}

func (r *Reconciler) deadLetterSink(ctx context.Context, b *eventingv1.Broker) {
	if b.Spec.Delivery == nil || b.Spec.Delivery.DeadLetterSink == nil {
		b.Status.MarkDeadLetterSinkNotConfigured()
		return
	}
	address, err := r.sinks.AddressableFromDestinationV1(ctx, *b.Spec.Delivery.DeadLetterSink, b)
	if err != nil {
		b.Status.MarkDeadLetterSinkResolvedFailed(ReasonSinkNotResolved, "%v", err)
		return // the tracker enqueues the Broker when the sink changes
	}
	b.Status.MarkDeadLetterSinkResolvedSucceeded(duckv1.NewDeliveryStatusFromAddressable(address))
}

// address of the ingress, by the schemes that Knative's transport encryption asks for.
func (r *Reconciler) address(ctx context.Context, b *eventingv1.Broker) {
	flags, ca := feature.FromContextOrDefaults(ctx), r.endpoints.CACerts()
	https, plain := addressOf("https", b), addressOf("http", b)
	https.CACerts = ca
	var all []pkgduckv1.Addressable
	switch {
	case flags.IsStrictTransportEncryption() && ca == nil:
		b.Status.AddressStatus = pkgduckv1.AddressStatus{}
		manage(b).MarkFalse(eventingv1.BrokerConditionAddressable, ReasonNoCertificate,
			"The feature transport-encryption is strict and Secret %s/%s with ca.crt is missing: issue a certificate for the ingress.",
			system.Namespace(), plane.CertificateSecret)
		return
	case flags.IsStrictTransportEncryption():
		all = []pkgduckv1.Addressable{https}
	case flags.IsPermissiveTransportEncryption() && ca != nil:
		all = []pkgduckv1.Addressable{https, plain}
	default:
		all = []pkgduckv1.Addressable{plain}
	}
	if flags.IsOIDCAuthentication() {
		audience := auth.GetAudience(eventingv1.SchemeGroupVersion.WithKind("Broker"), b.ObjectMeta)
		for i := range all {
			all[i].Audience = &audience
		}
	}
	preferred := all[len(all)-1] // http where there is a choice
	b.Status.AddressStatus = pkgduckv1.AddressStatus{Address: &preferred}
	if flags.IsStrictTransportEncryption() || len(all) > 1 {
		b.Status.Addresses = all
	}
	manage(b).MarkTrue(eventingv1.BrokerConditionAddressable)
}

func addressOf(scheme string, b *eventingv1.Broker) pkgduckv1.Addressable {
	return pkgduckv1.Addressable{Name: &scheme, URL: &apis.URL{
		Scheme: scheme, Host: network.GetServiceHostname(plane.Service, system.Namespace()), Path: "/" + b.Namespace + "/" + b.Name,
	}}
}

func (r *Reconciler) eventPolicies(ctx context.Context, b *eventingv1.Broker) error {
	kind := eventingv1.SchemeGroupVersion.WithKind("Broker")
	err := auth.UpdateStatusWithEventPolicies(feature.FromContextOrDefaults(ctx), &b.Status.AppliedEventPoliciesStatus, &b.Status, r.policies, kind, b.ObjectMeta)
	if err != nil {
		return fmt.Errorf("failed to find the EventPolicies of the Broker: %w", err)
	}
	return nil
}
