// Package resources makes the objects of eventing that functions and agents both
// have. Nothing here talks to anything.
package resources

import (
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// WantsDeadLetters reports whether there is to be a dead letter queue, and whether the
// owner's own spec says so.
func WantsDeadLetters(spec *v1alpha1.DeadLetterSpec, cfg *config.Eventing) (wanted, explicit bool) {
	if spec != nil && spec.Enabled != nil {
		return *spec.Enabled, true
	}
	return cfg.DeadLetters.Enabled, false
}

// DeadLetterSink is where Brokers of other classes send what they cannot deliver; path is
// the owner's at the receiver.
func DeadLetterSink(path string, cfg *config.Eventing) *duckv1.Destination {
	receiver := cfg.DeadLetters.Receiver
	return &duckv1.Destination{
		Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: receiver.Namespace, Name: receiver.Name},
		URI: &apis.URL{Path: path},
	}
}

// DeadLetterBounds of the owner's queue.
func DeadLetterBounds(spec *v1alpha1.DeadLetterSpec, cfg *config.Eventing) deadletters.Bounds {
	b := deadletters.Bounds{TTL: cfg.DeadLetters.MessageTTL, MaxLength: int64(cfg.DeadLetters.MaxLength), Overflow: cfg.DeadLetters.OverflowPolicy}
	if spec == nil {
		return b
	}
	if t := spec.MessageTTL; t != nil {
		b.TTL = t.Value()
	}
	if n := spec.MaxLength; n != nil {
		b.MaxLength = *n
	}
	if o := spec.OverflowPolicy; o != "" {
		b.Overflow = o
	}
	return b
}
