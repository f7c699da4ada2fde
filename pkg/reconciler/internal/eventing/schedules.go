package eventing

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// SupportsSchedules reports whether a Broker of the class sets the attributes of a
// schedule's events. The condition says why not.
func (p *Pass) SupportsSchedules(broker, class string) bool {
	if class == lambda.BrokerClass {
		return true
	}
	p.Tell(&Trouble{Reason: v1alpha1.ReasonScheduleNotSupported, Failed: true, Message: fmt.Sprintf(
		"schedules: Broker %q is of class %q, which cannot set the type of their events: use a Broker of class %s, or remove the schedules.", broker, class, lambda.BrokerClass)})
	return false
}

// EnsureSchedules makes the PingSources of the owner's schedules, and deletes the others
// of the owner.
func (p *Pass) EnsureSchedules(ctx context.Context, desired []*sourcesv1.PingSource) error {
	if p.Sources == nil {
		if len(desired) > 0 {
			p.Tell(&Trouble{Reason: v1alpha1.ReasonPingSourceNotInstalled, Failed: true,
				Message: "The cluster has no PingSources, which send the events of schedules: install Knative Eventing with its sources, or remove the schedules."})
		}
		return nil
	}
	keep := map[string]bool{}
	for _, d := range desired {
		keep[d.Name] = true
		s, err := p.PingSourceSet().Ensure(ctx, p.Owner, d, resources.MutatePingSource)
		if err != nil {
			if err = p.Refused(err, v1alpha1.ReasonScheduleNotOwned, v1alpha1.ReasonScheduleRejected); err != nil {
				return err
			}
			continue
		}
		p.Unready(v1alpha1.ReasonScheduleNotReady, fmt.Sprintf("PingSource %q of schedule %q", s.Name, d.Labels[lambda.ScheduleLabelKey]), s.Generation, &s.Status.Status)
	}
	existing, err := p.Sources.PingSources.PingSources(p.Owner.GetNamespace()).List(labels.SelectorFromSet(p.Labels))
	if err != nil {
		return err
	}
	for _, s := range existing {
		if keep[s.Name] {
			continue
		}
		if err := p.PingSourceSet().Delete(ctx, p.Owner, s.Name); err != nil {
			return err
		}
	}
	return nil
}
