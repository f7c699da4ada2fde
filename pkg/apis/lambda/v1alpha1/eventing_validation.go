package v1alpha1

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// Bounds of dead letters.
const (
	maxDeadLetterTTL = 365 * 24 * time.Hour
	maxBackoffDelay  = time.Hour
)

func checkLabel(name, field string) *apis.FieldError {
	if errs := validation.IsDNS1123Label(name); len(errs) > 0 {
		return apis.ErrInvalidValue(name, field, strings.Join(errs, "; "))
	}
	return nil
}

// validateTriggers also returns which two of them cannot be beside each other.
func (s *LambdaFunctionSpec) validateTriggers(ctx context.Context) (errs *apis.FieldError) {
	if err := s.checkFilterSize(); err != nil {
		return err // what follows copies and compares
	}
	function := apis.ParentMeta(ctx)
	own := "io.knative.lambda/function/" + function.Namespace + "/" + function.Name // as pkg/events has it
	s = s.DeepCopy()
	s.setEffectiveEventing(ctx) // two triggers may write one broker or delay in two ways
	type split struct {
		exact map[string]string
		rest  []eventingv1.SubscriptionsAPIFilter
	}
	splits := make([]split, len(s.Triggers))
	for i := range s.Triggers {
		t, this := &s.Triggers[i], &splits[i]
		errs = errs.Also(t.validate(ctx, own).ViaFieldIndex("triggers", i))
		this.exact, this.rest = t.Split()
		for j, other := range splits[:i] {
			if t.Broker != s.Triggers[j].Broker || !equality.Semantic.DeepEqual(this.exact, other.exact) {
				continue
			}
			switch {
			case equality.Semantic.DeepEqual(this.rest, other.rest):
				errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("asks for the same events as triggers[%d]: remove one of the two", j), apis.CurrentField).ViaFieldIndex("triggers", i))
			case !equality.Semantic.DeepEqual(t.Delivery, s.Triggers[j].Delivery):
				errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("asks for the same exact attributes as triggers[%d], so that both share one Trigger: give both the same delivery", j), "delivery").ViaFieldIndex("triggers", i))
			}
		}
	}
	return errs
}

func (t *FunctionTrigger) validate(ctx context.Context, ownSource string) (errs *apis.FieldError) {
	errs = errs.Also(checkLabel(t.Broker, "broker"))
	if t.Filter != nil {
		errs = errs.Also(validateAttributes(t.Filter.Attributes, true).ViaField("attributes").ViaField("filter"))
	}
	for j := range t.Filters {
		errs = errs.Also(validateFilter(&t.Filters[j].SubscriptionsAPIFilter).ViaFieldIndex("filters", j))
	}
	switch exact, _ := t.Split(); exact["source"] {
	case ownSource:
		errs = errs.Also(apis.ErrGeneric("the source "+ownSource+" is this function's own: it would be called with its own replies for ever", apis.CurrentField))
	case ownSource + "/schedules":
		errs = errs.Also(apis.ErrGeneric("the source "+ownSource+"/schedules is that of this function's schedules, whose events it gets without a trigger: remove the trigger", apis.CurrentField))
	}
	return errs.Also(validateDelivery(ctx, t.Delivery).ViaField("delivery"))
}

// validateDelivery is Knative's, whatever features the cluster has turned on.
func validateDelivery(ctx context.Context, d *eventingduckv1.DeliverySpec) (errs *apis.FieldError) {
	if d == nil {
		return nil
	}
	ctx = feature.ToContext(apis.AllowDifferentNamespace(ctx), feature.Flags{feature.DeliveryTimeout: feature.Enabled, feature.DeliveryRetryAfter: feature.Enabled})
	checked := d.DeepCopy()
	if sink := checked.DeadLetterSink; sink != nil {
		errs = errs.Also(validateDestination(ctx, sink).ViaField("deadLetterSink"))
		checked.DeadLetterSink = nil
	}
	errs = errs.Also(checked.Validate(ctx))
	if errs != nil && errs.Details == "" {
		errs.Details = "durations are written as 90s or, by ISO 8601, PT1M30S; backoffPolicy is linear or exponential"
	}
	return errs
}

// validateDestination: a reference, or an absolute URL. Credentials in a URL would be in
// the status and in Triggers as well. A query is the sink's own; a fragment is never sent.
func validateDestination(ctx context.Context, d *duckv1.Destination) *apis.FieldError {
	if d.URI != nil && d.URI.User != nil {
		return apis.ErrInvalidValue(config.WithoutUserInfo(d.URI.String()), "uri", config.ErrUserInfo.Error())
	}
	if d.URI != nil && strings.Contains(d.URI.String(), "#") {
		return apis.ErrInvalidValue(d.URI.String(), "uri", "expected a URL without fragment (#…): HTTP does not send it")
	}
	if d.Ref == nil && d.URI != nil && (!d.URI.URL().IsAbs() || d.URI.Host == "") {
		return apis.ErrInvalidValue(d.URI.String(), "uri", "expected a URL that begins with http:// or https://, or a ref")
	}
	if errs := d.Validate(apis.AllowDifferentNamespace(ctx)); errs != nil {
		return errs
	}
	return validateSinkKind(d.Ref)
}

func (e *FunctionEventing) validate(ctx context.Context) (errs *apis.FieldError) {
	if e == nil {
		return nil
	}
	if !e.Enabled && (e.Broker != "" || e.RabbitMQ != nil || e.DLQ != nil || e.Sink != nil || e.isSet()) {
		errs = errs.Also(apis.ErrGeneric("is not true, so that nothing else of eventing does anything", "enabled").At(apis.WarningLevel))
	}
	if e.Broker != "" {
		errs = errs.Also(checkLabel(e.Broker, "broker"))
	}
	errs = errs.Also(e.RabbitMQ.validate().ViaField("rabbitmq"))
	errs = errs.Also(e.DLQ.validate().ViaField("dlq"))
	errs = errs.Also(e.CallSpec.validate(ctx, "LambdaFunction", e.brokerOrDefault(ctx)))
	if e.Sink == nil {
		return errs
	}
	errs = errs.Also(validateDestination(ctx, e.Sink).ViaField("sink"))
	function := apis.ParentMeta(ctx)
	if r := e.Sink.Ref; r != nil && r.Name == function.Name && (r.Namespace == "" || r.Namespace == function.Namespace) && (r.Kind == "LambdaFunction" || r.Kind == "Service") {
		errs = errs.Also(apis.ErrGeneric("is this function itself: it would be called with its own replies for ever", "sink.ref"))
	}
	return errs
}

func (r *RabbitMQSpec) validate() (errs *apis.FieldError) {
	if r == nil {
		return nil
	}
	if r.ClusterName != "" {
		errs = errs.Also(checkObjectName(r.ClusterName, "clusterName"))
		if r.ConnectionSecret != nil {
			errs = errs.Also(apis.ErrMultipleOneOf("clusterName", "connectionSecret"))
		}
	}
	if r.Namespace != "" {
		errs = errs.Also(checkLabel(r.Namespace, "namespace"))
		if r.ClusterName == "" {
			errs = errs.Also(apis.ErrMissingField("clusterName"))
		}
	}
	if s := r.ConnectionSecret; s != nil {
		errs = errs.Also(checkObjectName(s.Name, "connectionSecret.name"))
	}
	switch r.QueueType {
	case "", "quorum", "classic":
	default:
		errs = errs.Also(apis.ErrInvalidValue(r.QueueType, "queueType", "expected quorum or classic"))
	}
	if r.Parallelism != nil && r.PrefetchCount != nil {
		errs = errs.Also(apis.ErrMultipleOneOf("parallelism", "prefetchCount"))
	}
	for _, n := range []struct {
		value *int32
		field string
	}{{r.Parallelism, "parallelism"}, {r.PrefetchCount, "prefetchCount"}} {
		if n.value != nil && (*n.value < 1 || *n.value > 1000) {
			errs = errs.Also(apis.ErrOutOfBoundsValue(*n.value, 1, 1000, n.field))
		}
	}
	return errs
}

func (d *DeadLetterSpec) validate() (errs *apis.FieldError) {
	if d == nil {
		return nil
	}
	if n := d.RetryMaxAttempts; n != nil && (*n < 0 || *n > 100) {
		errs = errs.Also(apis.ErrOutOfBoundsValue(*n, 0, 100, "retryMaxAttempts"))
	}
	if d.RetryBackoffDelay != nil {
		errs = errs.Also(checkDuration(*d.RetryBackoffDelay, 100*time.Millisecond, maxBackoffDelay, "retryBackoffDelay"))
	}
	switch d.BackoffPolicy {
	case "", "linear", "exponential":
	default:
		errs = errs.Also(apis.ErrInvalidValue(d.BackoffPolicy, "backoffPolicy", "expected linear or exponential"))
	}
	if d.MessageTTL != nil {
		errs = errs.Also(checkDuration(*d.MessageTTL, time.Second, maxDeadLetterTTL, "messageTTL"))
	}
	if n := d.MaxLength; n != nil && *n < 1 {
		errs = errs.Also(apis.ErrInvalidValue(*n, "maxLength", "must be at least 1"))
	}
	switch d.OverflowPolicy {
	case "", "drop-head", "reject-publish":
	default:
		errs = errs.Also(apis.ErrInvalidValue(d.OverflowPolicy, "overflowPolicy", "expected drop-head or reject-publish"))
	}
	return errs
}
