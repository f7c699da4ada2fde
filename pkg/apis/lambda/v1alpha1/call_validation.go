package v1alpha1

import (
	"context"
	"fmt"
	"time"

	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// MaxDeliveryTimeout is how long an attempt to deliver an event may take: the event plane
// stops with what it has in hand within 15 minutes.
const MaxDeliveryTimeout = 15 * time.Minute

// validate the destinations of outcomes. kind is the owner's, and broker the name of the
// Broker that its calls are on.
func (c *CallSpec) validate(ctx context.Context, kind, broker string) (errs *apis.FieldError) {
	if c.DeliveryTimeout != nil {
		errs = errs.Also(checkDuration(*c.DeliveryTimeout, minTimeout, MaxDeliveryTimeout, "deliveryTimeout"))
	}
	for _, d := range c.destinations() {
		if d.to == nil {
			continue
		}
		errs = errs.Also(validateDestination(ctx, d.to).ViaField(d.field))
		if d.isOwn(ctx, kind, broker) {
			errs = errs.Also(apis.ErrGeneric("is this object itself, or its broker, which has the outcomes already: they would go in a circle", d.field+".ref"))
		}
	}
	return errs
}

// outcomes is a destination, and the field that names it.
type outcomes struct {
	field string
	to    *duckv1.Destination
}

func (c *CallSpec) destinations() []outcomes {
	return []outcomes{{"onSuccess", c.OnSuccess}, {"onFailure", c.OnFailure}}
}

func (o outcomes) isOwn(ctx context.Context, kind, broker string) bool {
	r, owner := o.to.Ref, apis.ParentMeta(ctx)
	if r == nil || r.Namespace != "" && r.Namespace != owner.Namespace {
		return false
	}
	switch r.Kind {
	case kind, "Service":
		return r.Name == owner.Name
	case "Broker":
		return r.Name == broker
	}
	return false
}

// warnTimeout of deliveries that is shorter than what a call may take.
func (c *CallSpec) warnTimeout(least time.Duration, field string) *apis.FieldError {
	if t := c.DeliveryTimeout; t == nil || t.Value() == 0 || t.Value() >= least {
		return nil
	}
	return apis.ErrGeneric(fmt.Sprintf("is shorter than %s, which a call may take by %s: it is delivered again while it is still handled", least, field), "deliveryTimeout").At(apis.WarningLevel)
}

func (c *CallSpec) isSet() bool {
	return c.DeliveryTimeout != nil || c.OnSuccess != nil || c.OnFailure != nil
}

// setEffective fills in what destinations leave out.
func (c *CallSpec) setEffective(ctx context.Context) {
	for _, d := range c.destinations() {
		if d.to != nil {
			d.to.SetDefaults(ctx)
		}
	}
}
