package ingress

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/apis/feature"
)

// Verifier is Knative's: of tokens and, by EventPolicies, of their subjects. It writes the
// status of a refusal to the response.
type Verifier interface {
	VerifyRequest(
		ctx context.Context, features feature.Flags, audience *string, namespace string,
		policies []eventingduckv1.AppliedEventPolicyRef, r *http.Request, w http.ResponseWriter,
	) error
}

// EventPolicies authorizes by token and EventPolicy where the feature authentication-oidc
// is on, and every request otherwise.
type EventPolicies struct {
	Verifier Verifier
	Features func() feature.Flags
}

var _ Authorizer = (*EventPolicies)(nil)

// Authorize implements Authorizer.
func (p *EventPolicies) Authorize(ctx context.Context, r *http.Request, b Broker, e *cloudevents.Event) error {
	features := p.Features()
	if !features.IsOIDCAuthentication() {
		return nil
	}
	// The verifier reads the event for the filters of EventPolicies; the body of the
	// request was read already.
	again := &http.Request{Method: http.MethodPost, Header: http.Header{}}
	if err := cehttp.WriteRequest(binding.WithForceBinary(ctx), (*binding.EventMessage)(e), again); err != nil {
		return refusef(http.StatusBadRequest, "invalid", "the event cannot be sent over HTTP: %v", err)
	}
	again.Header["Authorization"] = r.Header["Authorization"]
	status := &statusWriter{header: http.Header{}}
	err := p.Verifier.VerifyRequest(ctx, features, b.Audience, b.Namespace, b.Policies, again, status)
	if err == nil {
		return nil
	}
	// The error lists subjects of EventPolicies, which the sender need not know.
	slog.DebugContext(ctx, "A sender was not authorized",
		"namespace", b.Namespace, "broker", b.Name, "status", status.code, "error", err)
	switch status.code {
	case http.StatusUnauthorized:
		return refusef(status.code, "unauthorized", "the request has no valid token for the audience of the Broker")
	case http.StatusForbidden:
		return refusef(status.code, "unauthorized", "no EventPolicy of the Broker allows this sender to send this event")
	}
	return refusef(http.StatusInternalServerError, "unauthorized", "the sender could not be verified; see the log of the broker")
}

// statusWriter keeps the status and drops the rest.
type statusWriter struct {
	header http.Header
	code   int
}

func (w *statusWriter) Header() http.Header         { return w.header }
func (w *statusWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *statusWriter) WriteHeader(code int)        { w.code = code }
