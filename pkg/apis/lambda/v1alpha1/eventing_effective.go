package v1alpha1

import (
	"cmp"
	"context"
	"time"

	"github.com/rickb777/date/period"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// ActiveEventing is the eventing of the spec where it is turned on, else nil.
func (s *LambdaFunctionSpec) ActiveEventing() *FunctionEventing {
	if s.Eventing == nil || !s.Eventing.Enabled {
		return nil
	}
	return s.Eventing
}

// WantsEvents reports whether the function receives events or answers them
// elsewhere.
func (s *LambdaFunctionSpec) WantsEvents() bool {
	return len(s.Triggers) > 0 || s.ActiveEventing() != nil
}

// setEffectiveEventing needs the configuration and the function's metadata on the
// context.
func (s *LambdaFunctionSpec) setEffectiveEventing(ctx context.Context) {
	broker := s.ActiveEventing().brokerOrDefault(ctx)
	if e := s.ActiveEventing(); e != nil {
		e.Broker = broker
	}
	if e := s.Eventing; e != nil {
		e.RabbitMQ.setEffective()
		if e.Sink != nil {
			e.Sink.SetDefaults(ctx)
		}
		e.setEffective(ctx)
	}
	for i := range s.Triggers {
		t := &s.Triggers[i]
		t.Broker = cmp.Or(t.Broker, broker)
		setEffectiveDelivery(ctx, t.Delivery)
	}
}

// brokerOrDefault is the Broker of the spec, or else the cluster's default.
func (e *FunctionEventing) brokerOrDefault(ctx context.Context) string {
	if e != nil && e.Broker != "" {
		return e.Broker
	}
	if cfg := config.FromContextOrDefaults(ctx).Eventing; cfg != nil {
		return cfg.DefaultBroker
	}
	return "default"
}

func (r *RabbitMQSpec) setEffective() {
	if r != nil && r.Parallelism == nil {
		r.Parallelism, r.PrefetchCount = r.PrefetchCount, nil
	}
}

// setEffectiveDelivery writes durations as Knative Eventing expects them: users may
// write 90s for PT1M30S.
func setEffectiveDelivery(ctx context.Context, d *eventingduckv1.DeliverySpec) {
	if d == nil {
		return
	}
	for _, text := range []*string{d.BackoffDelay, d.Timeout, d.RetryAfterMax} {
		if text == nil {
			continue
		}
		if v, err := time.ParseDuration(*text); err == nil {
			*text = ISODuration(v)
		}
	}
	d.SetDefaults(ctx)
}

// ISODuration is a length of time as ISO 8601 writes it.
func ISODuration(d time.Duration) string {
	p, _ := period.NewOf(d.Round(100 * time.Millisecond))
	return p.String()
}
